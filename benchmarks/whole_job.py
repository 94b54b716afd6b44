"""The whole job with a new teacher cache, beside plain training: packing, teacher pass, 50 epochs.

    python benchmarks/whole_job.py

Too long to run on two cores, so it is put together from measured parts (7,800 images, 224 px, batch 32, no
augmentation), of which the step is by far the largest:

    pack     seconds an image of `tutelage.pack`, from 500 x 375 JPEGs
    open     seconds to open a complete cache in a run, with its audit
    ask      seconds an image of the teacher's pass, `teachers.cache.fill`
    plain    seconds a step without a teacher
    ratio    a cached step by a plain one, round by round, each on the same resident batch

    cached job / plain job = (N pack + open + N ask + E N / B plain ratio) / (N pack + E N / B plain)

What costs both sides the same (validation, saving, images to validate on) is left out, which makes the
ratio larger. Only the images are needed here, not what the networks learn from them: they have random
weights, and accuracy is measured by other benchmarks.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from folder_of_images import make
from result import write

import tutelage
from tutelage import DataConfig, TrainConfig
from tutelage.commands.benchmark_step import (
    StepBenchmark,
    first_batch,
    open_step_benchmark,
    step_timer,
)
from tutelage.distributed import ALONE
from tutelage.evaluation.timing import median_range, median_ratio, time_interleaved
from tutelage.teachers.cache.cached import CacheQuery, fill_cache
from tutelage.teachers.cache.key import CacheKey
from tutelage.teachers.cache.table import open_cache_table
from tutelage.teachers.cache.writer import create_cache
from tutelage.teachers.teacher import Teacher

IMAGES, EPOCHS = 7800, 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=480, help="packed and asked about")
    parser.add_argument("--rounds", type=int, default=5, help="of packing and asking")
    parser.add_argument("--steps", type=int, default=31, help="timed steps of each kind")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--student", default="resnet18")
    parser.add_argument("--teacher", default="resnet34")
    parser.add_argument("--name", default="whole_job", help="of the file of results")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "photos", size=224, train=chosen.images, val=10)
        packing = _packing(folder, chosen)
        settings = TrainConfig(
            model=chosen.student,
            weights="none",
            batch_size=chosen.batch,
            device="cpu",
            data=DataConfig(image_size=chosen.size),
        )
        trial = open_step_benchmark(
            folder / "pack-0",
            settings,
            teacher=chosen.teacher,
            folder=folder,
            images=chosen.images,
            say=_say,
        )
        parts = {"pack": packing, **_asking(trial, chosen.rounds), **_steps(trial, chosen.steps)}
        write(
            chosen.name,
            computes=str(trial.runtime),
            images_measured=chosen.images,
            seconds={name: median_range(values) for name, values in parts.items()},
            **_together(parts, chosen.batch),
        )


def _packing(folder: Path, chosen: argparse.Namespace) -> list[float]:
    """Seconds an image, each time into another folder."""
    numbers = itertools.count()

    def pack() -> None:
        out = folder / f"pack-{next(numbers)}"
        tutelage.pack(folder / "photos", DataConfig(image_size=chosen.size), out=out, quiet=True)

    images = chosen.images + 10
    return [seconds / images for seconds in _repeated(pack, chosen.rounds)]


def _asking(trial: StepBenchmark, rounds: int) -> dict[str, list[float]]:
    """Seconds an image of the teacher's pass, and seconds to open a cache that is complete."""
    state = trial.state("cached")
    live = trial.teacher_for("live", state)
    trial.teacher_for("cached", state)  # now it is complete
    numbers = itertools.count()

    def ask() -> None:
        _fill(trial, live, trial.folder / f"asked-{next(numbers)}")

    images = len(trial.pack.rows("train"))
    return {
        "ask": [seconds / images for seconds in _repeated(ask, rounds)],
        "open": _repeated(lambda: trial.teacher_for("cached", state), rounds),
    }


def _fill(trial: StepBenchmark, teacher: Teacher, folder: Path) -> None:
    pack = trial.pack
    identity = CacheKey(
        teacher="measured",
        model=trial.teacher,
        libraries="",
        classes=pack.classes,
        stored_size=pack.image_size,
        input_size=pack.image_size,
        mean=pack.mean,
        std=pack.std,
        precision=str(trial.runtime.autocast),
        folded=True,
        device=trial.runtime.device.type,
        views={},
    )
    create_cache(folder, identity, {"logits": (len(pack.classes),)})
    question = CacheQuery(pack, trial.settings, 1, trial.runtime.device)
    fill_cache(open_cache_table(folder), teacher, question, world=ALONE, progress=lambda *_: None)


def _steps(trial: StepBenchmark, rounds: int) -> dict[str, list[float]]:
    batch = first_batch(trial)
    states = {"plain": trial.state("plain"), "cached": trial.state("cached")}
    ways = {
        "plain": step_timer(states["plain"], trial.teacher_for("plain", states["plain"]), batch),
        "cached": step_timer(
            states["cached"], trial.teacher_for("cached", states["cached"]), batch
        ),
    }
    return time_interleaved(ways, rounds=rounds)


def _together(parts: dict[str, list[float]], batch: int) -> dict[str, Any]:
    one = {name: median_range(values)["median"] for name, values in parts.items()}
    step = median_ratio(parts["cached"], parts["plain"])
    steps = EPOCHS * IMAGES / batch
    packing, asking = IMAGES * one["pack"], IMAGES * one["ask"] + one["open"]
    plain = packing + steps * one["plain"]
    cached = packing + asking + steps * one["plain"] * step["median"]
    return {
        "step_ratio": step,
        "formula": "(N pack + open + N ask + E N / B plain step_ratio) / (N pack + E N / B plain)",
        "N": IMAGES,
        "E": EPOCHS,
        "B": batch,
        "plain_job_seconds": round(plain, 1),
        "teacher_pass_seconds": round(asking, 1),
        "ratio": round(cached / plain, 4),
    }


def _repeated(way: Callable[[], object], rounds: int) -> list[float]:
    """Seconds of each time; the first is the warm-up."""
    seconds = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        way()
        seconds.append(time.perf_counter() - begin)
    return seconds[1:]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
