"""What a step of a student costs under one, two and four finished teachers whose answers are kept.

    python benchmarks/teachers.py
    python benchmarks/teachers.py --student test_resnet --teacher test_resnet --images 160 --name tiny

For each count and each way of combining: the seconds of a training step (forward, backward, update) with
all teachers in the cache, the ways in turn, several rounds; beside them one teacher asked live. `bytes` is
the most that the tensors of a step take at once, beyond what is there between steps, by count of teachers.
Networks have random weights: how long a step takes does not depend on what they know.
"""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from result import write
from taught import Class, make_class, open_sample, parser

from tutelage.commands.benchmark_step import StepBenchmark, first_batch, step_timer
from tutelage.config.methods import MethodOptions, MultiTeacherConfig
from tutelage.evaluation.memory import peak_bytes
from tutelage.evaluation.timing import Way, median_range, median_ratio, time_interleaved
from tutelage.types import Batch

COUNTS = (1, 2, 4)
COMBINED = ("probabilities", "logits", "divergences")


def main() -> None:
    chosen = parser(__doc__, "teachers").parse_args()
    with tempfile.TemporaryDirectory() as name:
        trial = open_sample(Path(name), chosen)
        write(
            chosen.name,
            networks={"student": chosen.student, "teacher": chosen.teacher},
            pixels=chosen.size,
            batch=chosen.batch,
            steps=_steps(trial, chosen.rounds),
            bytes=_bytes(trial),
        )


def _class(trial: StepBenchmark, count: int, combine: Any, ask: Any) -> Class:
    """A student in training and the word of so many teachers."""
    own = MethodOptions(multi_teacher=MultiTeacherConfig(combine=combine))
    settings = dataclasses.replace(
        trial.settings, method="multi-teacher", methods=own, teacher_outputs=ask
    )
    return make_class(trial, settings, [trial.teacher] * count)


def _way(taught: Class, batch: Batch) -> Way:
    return step_timer(taught.state, taught.word, batch)


def _steps(trial: StepBenchmark, rounds: int) -> dict[str, Any]:
    batch = first_batch(trial)
    ways: dict[str, Way] = {}
    for count in COUNTS:
        for combine in COMBINED if count > 1 else COMBINED[:1]:
            ways[f"{count} {combine}"] = _way(_class(trial, count, combine, "cached"), batch)
    ways["1 live"] = _way(_class(trial, 1, COMBINED[0], "live"), batch)
    found = time_interleaved(ways, rounds=rounds, warm_up=3, settle=trial.settle)
    first = found[f"1 {COMBINED[0]}"]
    return {
        name: {"seconds": median_range(seconds), "beside_one": median_ratio(seconds, first)}
        for name, seconds in found.items()
    }


def _bytes(trial: StepBenchmark) -> dict[str, int]:
    """The most bytes of tensors alive at once in a step, beyond those that are there between steps."""
    batch, found = first_batch(trial), {}
    for count in COUNTS:
        step = _way(_class(trial, count, COMBINED[0], "cached"), batch)
        step()  # the optimizer makes its state, the cache turns to the view
        found[str(count)] = peak_bytes(step, trial.runtime.device)
    return found


if __name__ == "__main__":
    main()
