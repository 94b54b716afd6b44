"""What it costs that a step which is not finite changes nothing: a step with the guard and without.

    python benchmarks/reliability/guard.py
    python benchmarks/reliability/guard.py --size 64 --rounds 150

The sample's images, a student under a teacher whose answers are kept, Adam. One student takes steps of
both kinds in turn; the ratio is taken round by round, and its median is what counts. Exit code 1 where it
is above `--most`. What the guard does depends on the network alone, so its share grows as images shrink.
"""

import functools
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.optim import Optimizer

sys.path.insert(
    0, str(Path(__file__).resolve().parents[1])
)  # for the modules that benchmarks share
from taught import make_class, open_sample, parser, steps

from tutelage.config.job import TrainConfig
from tutelage.engine.train.nonfinite_guard import NonfiniteGuard
from tutelage.evaluation.timing import median_ratio, time_interleaved
from tutelage.types import Batch, Progress

EPOCHS = 10


class Blind(NonfiniteGuard):
    """Lets every step pass, as if nobody looked."""

    def begin(self) -> None:
        """Nothing is kept."""

    def heed(self, batch: Batch, total: Tensor) -> None:
        """No loss is looked at."""

    def judge(self, optimizer: Optimizer, scaler: GradScaler) -> None:
        """No gradient is looked at."""

    def settle(self) -> None:
        """Nothing is put back."""

    def close(self, progress: Progress) -> Tensor:  # noqa: ARG002  whatever it was
        """Every step is taken."""
        return torch.ones((), dtype=torch.float64)


def main() -> int:
    flags = parser(str(__doc__), "guard")
    flags.set_defaults(size=224, rounds=60)
    flags.add_argument("--most", type=float, default=0.01, help="share of a step that is allowed")
    chosen = flags.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trial = open_sample(Path(folder), chosen)
        settings = TrainConfig(
            model=chosen.student,
            weights="none",
            epochs=EPOCHS,
            batch_size=chosen.batch,
            data=trial.settings.data,
        )
        taught = make_class(trial, settings, [chosen.teacher])
        going = steps(taught, trial.loader(), epochs=EPOCHS)
        guards = {
            "with": taught.state.guard,
            "without": Blind(taught.state.method, trial.runtime.device, every=1),
        }

        def step(name: str) -> None:
            taught.state.guard = guards[name]
            next(going)

        ways = {name: functools.partial(step, name) for name in guards}
        seconds = time_interleaved(ways, rounds=chosen.rounds, warm_up=5, settle=trial.settle)
    cost = median_ratio(seconds["with"], seconds["without"])
    print(f"{trial.runtime}; a step without: {1000 * min(seconds['without']):.1f} ms at best")
    extra = cost["median"] - 1
    print(
        f"guard: {100 * extra:+.2f} % of a step at {chosen.size} px, median of {chosen.rounds} rounds "
        f"(at most {100 * chosen.most:g} %)"
    )
    return int(extra > chosen.most)


if __name__ == "__main__":
    sys.exit(main())
