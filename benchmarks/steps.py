"""What a teacher costs at each step, and what a whole epoch costs beside its bare steps.

    python benchmarks/steps.py --sizes 32 64 224

ResNet-34 teaches ResNet-18 on the bundled sample's images, batch 32, Adam 1e-3, no augmentation, in the
number format that training chooses on this machine. Networks have random weights: a step takes no longer
for what they know, so there is no accuracy to stand beside these figures.

Steps: plain, cached and live in turn, each on the same resident batch: the teacher's word, forward,
backward, update. Every window is one step. Reported: medians, and ratios to plain taken round by round.

Epochs: the loop of a run (`engine.loop.fit`) with its loader, teacher, sums, clock and screen, from the end
of one validation to the beginning of the next; validation, journal and checkpoints are not in it. After every
epoch as many bare steps follow on one resident batch, with the same student and optimizer: forward,
backward, update. The epochs are short (`steps_an_epoch`), so what an epoch costs once counts for more than
in a real one.
"""

import argparse
import dataclasses
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from result import write

from tutelage import DataConfig, TrainConfig
from tutelage.commands.benchmark_step import (
    Kind,
    StepBenchmark,
    first_batch,
    open_step_benchmark,
    step_timer,
)
from tutelage.data.loading.loader import Loader
from tutelage.engine.context import RunContext
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.signals import StopRequest
from tutelage.engine.train.context import FitArguments
from tutelage.engine.train.loop import fit
from tutelage.engine.train.state import TrainingState
from tutelage.engine.train.step import train_step
from tutelage.evaluation.metrics import Metrics, scores_of
from tutelage.evaluation.timing import Way, median_range, median_ratio, time_interleaved
from tutelage.evaluation.timing_table import timing_table
from tutelage.teachers.teacher import Teacher
from tutelage.types import Progress


class Amount(NamedTuple):
    """rounds: of single steps; epochs: timed ones; steps: in each of them."""

    rounds: int
    epochs: int
    steps: int


AMOUNTS = {32: Amount(41, 15, 40), 64: Amount(31, 11, 20), 224: Amount(15, 7, 8)}
"""At 224 px about six minutes on two cores, less elsewhere."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 224])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--student", default="resnet18")
    parser.add_argument("--teacher", default="resnet34")
    parser.add_argument("--rounds", type=int, help="single steps of each kind")
    parser.add_argument("--epochs", type=int, help="timed epochs")
    parser.add_argument("--steps", type=int, help="steps in an epoch")
    parser.add_argument("--name", default="steps", help="of the file of results")
    chosen = parser.parse_args()
    results = {f"{size} px": _at(size, chosen) for size in chosen.sizes}
    write(chosen.name, batch=chosen.batch, **results)


def _at(size: int, chosen: argparse.Namespace) -> dict[str, Any]:
    usual = AMOUNTS.get(size, AMOUNTS[224])
    amount = Amount(
        chosen.rounds or usual.rounds, chosen.epochs or usual.epochs, chosen.steps or usual.steps
    )
    settings = TrainConfig(
        model=chosen.student,
        weights="none",
        batch_size=chosen.batch,
        device="cpu",
        precision=chosen.precision,
        data=DataConfig(image_size=size),
    )
    with tempfile.TemporaryDirectory() as name:
        trial = open_step_benchmark(
            "sample",
            settings,
            teacher=chosen.teacher,
            folder=Path(name),
            images=amount.steps * chosen.batch,
            say=_say,
        )
        return {
            "computes": str(trial.runtime),
            "steps": steps(trial, rounds=amount.rounds),
            "steps_an_epoch": amount.steps,
            "epochs": {
                kind: whole_epochs(trial, kind, amount.epochs) for kind in ("plain", "cached")
            },
        }


def steps(trial: StepBenchmark, *, rounds: int) -> dict[str, Any]:
    """One step plain, cached and live: milliseconds, images/s, ratio to plain."""
    batch = first_batch(trial)
    ways: dict[str, Way] = {}
    kinds: tuple[Kind, ...] = ("plain", "cached", "live")
    for kind in kinds:
        state = trial.state(kind)
        ways[kind] = step_timer(state, trial.teacher_for(kind, state), batch)
    found = timing_table(
        time_interleaved(ways, rounds=rounds, settle=trial.settle), images=len(batch.ids)
    )
    _say(f"{trial.pack.image_size} px: cached / plain {found['cached']['ratio']['median']:.3f}")
    return found


def whole_epochs(
    trial: StepBenchmark, kind: Kind, rounds: int, state: TrainingState | None = None
) -> dict[str, Any]:
    """Images/s of whole epochs and of as many bare steps, and the ratio of the two speeds.

    Args:
        trial: images and networks.
        kind: of the steps.
        rounds: timed epochs; one more is the warm-up.
        state: the student in training; made where it is not given.
    """
    state = state or trial.state(kind)
    loader = trial.loader()
    seconds = _timed(trial, loader, state, trial.teacher_for(kind, state), rounds)
    images = sum(loader.sizes())
    speed = median_ratio(seconds["bare"], seconds["epoch"])
    _say(f"{trial.pack.image_size} px: {kind} epoch / bare steps {speed['median']:.3f} in speed")
    return {
        "images_per_second": round(images / median_range(seconds["epoch"])["median"], 1),
        "bare_images_per_second": round(images / median_range(seconds["bare"])["median"], 1),
        "ratio": speed,
    }


def _timed(
    trial: StepBenchmark, loader: Loader, state: TrainingState, teacher: Teacher, rounds: int
) -> dict[str, list[float]]:
    """Seconds of epochs and of bare steps in turn. The loop's validation is where the bare ones happen."""
    batch = next(iter(loader.epoch()))
    signal = teacher(batch)
    start = Progress(epoch=0, step=0, fraction=0.0)
    seconds: dict[str, list[float]] = {"epoch": [], "bare": []}
    clock = {"begin": time.perf_counter()}

    def stop_watch(name: str) -> None:
        trial.settle()
        now = time.perf_counter()
        seconds[name].append(now - clock["begin"])
        clock["begin"] = now

    def validate(state: TrainingState) -> Metrics:
        stop_watch("epoch")
        for _ in range(len(loader)):
            train_step(state, batch, signal, start, rate=1e-3, clip=None)
        stop_watch("bare")
        return _nothing_measured()

    with tempfile.TemporaryDirectory() as name:
        fit(
            state,
            FitArguments(
                context=RunContext(
                    f"{trial.pack.image_size} px",
                    Path(name),
                    Path(name),
                    Console(quiet=True),
                    StopRequest(),
                ),
                settings=dataclasses.replace(trial.settings, epochs=rounds + 1),
                loader=loader,
                teacher=teacher,
                validate=validate,
                identity={},
                facts={},
                journal=None,
            ),
        )
    return {name: values[1:] for name, values in seconds.items()}


def _nothing_measured() -> Metrics:
    return scores_of(np.eye(2, dtype=np.float32), np.arange(2), ("one", "other"))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
