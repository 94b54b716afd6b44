"""A second student on a pack and cache that are there, beside a plain training job that begins with a folder.

    python benchmarks/second_student.py

Both are whole runs by the public verbs, in turn, several rounds, each round with a seed of its own:

    plain     tutelage.train(FOLDER, ...)     reads, decodes and packs the folder, trains without a teacher
    second    tutelage.distill(PACK, ...)     finds the pack, and in the cache what the teacher says

Each measures its network on the validation images after every epoch and saves it, as runs do.
`seconds` is the run by the clock, `training_seconds` its epochs alone (from `timings.json`). The images
are the bundled sample's 28 x 28 PNGs, which are quickly packed; photographs make the plain job longer. The
runs are short, so that packing counts for more than in a job of 50 epochs and what a run does beside its
epochs counts for more on both sides; `training_ratio` leaves all of this out. The teacher is trained once,
its answers are asked for by a first student, and neither is timed.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from result import write

import tutelage
from tutelage import DataConfig, TrainConfig
from tutelage.data.readers.zip import SAMPLE
from tutelage.evaluation.timing import median_range, median_ratio


class Run(NamedTuple):
    """seconds: the whole run; training: its epochs; accuracy: validation, after the last epoch."""

    seconds: float
    training: float
    accuracy: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--train", type=int, default=3000, help="images to train on")
    parser.add_argument("--val", type=int, default=1000, help="images to validate on")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--teacher-epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--student", default="resnet18")
    parser.add_argument("--teacher", default="resnet34")
    parser.add_argument("--name", default="second_student", help="of the file of results")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images(folder / "photos", {"train": chosen.train, "val": chosen.val})
        plain = TrainConfig(
            model=chosen.student,
            weights="none",
            epochs=chosen.epochs,
            batch_size=chosen.batch,
            device="cpu",
            data=DataConfig(image_size=chosen.size),
            role="control",
            skip_teacher_check=True,  # how long it takes does not depend on what a teacher knows
        )
        teacher = _teacher(folder, plain, chosen)
        second = dataclasses.replace(
            plain, role="student", teacher=(str(teacher),), cache=str(folder / "cache")
        )
        _run(folder, "warm-up", second)
        # Each run times its network for itself where asked to choose; here all take what the first one did.
        found = json.loads((folder / "warm-up" / "environment.json").read_text())["precision"]
        settled = {"precision": {"bfloat16": "bf16"}.get(found, found)}
        plain, second = (dataclasses.replace(one, **settled) for one in (plain, second))
        _run(folder, "warm-up-plain", plain)
        runs = _rounds(folder, plain, second, chosen.rounds)
        write(
            chosen.name,
            precision=plain.precision,
            images={"train": chosen.train, "val": chosen.val, "pixels": chosen.size},
            epochs=chosen.epochs,
            batch=chosen.batch,
            teacher_accuracy=_accuracy(teacher),
            **_told(runs),
        )


def images(folder: Path, counts: dict[str, int]) -> None:
    """So many of the sample's images of each split, every n-th of them, as they are."""
    with zipfile.ZipFile(SAMPLE) as sample:
        for split, count in counts.items():
            names = [name for name in sorted(sample.namelist()) if name.startswith(f"{split}/")]
            if count > len(names):
                raise SystemExit(f"the sample has {len(names)} images in {split}, not {count}")
            for number in range(count):
                name = names[number * len(names) // count]
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(sample.read(name))


def _teacher(folder: Path, plain: TrainConfig, chosen: argparse.Namespace) -> Path:
    settings = dataclasses.replace(
        plain, model=chosen.teacher, epochs=chosen.teacher_epochs, role="teacher"
    )
    tutelage.pack(folder / "photos", plain.data, out=folder / "pack", quiet=True)
    return tutelage.train(folder / "pack", settings, out=folder / "teacher", quiet=True)


def _rounds(
    folder: Path, plain: TrainConfig, second: TrainConfig, rounds: int
) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {"plain": [], "second": []}
    for number in range(rounds):
        sides = [("plain", plain), ("second", second)]
        for name, settings in sides if number % 2 == 0 else reversed(sides):
            seeded = dataclasses.replace(settings, seed=number + 1)
            runs[name].append(_run(folder, f"{name}-{number}", seeded))
            _say(f"round {number + 1}: {name} {runs[name][-1].seconds:.1f} s")
    return runs


def _run(folder: Path, name: str, settings: TrainConfig) -> Run:
    out = folder / name
    begin = time.perf_counter()
    if settings.teacher:
        tutelage.distill(folder / "pack", settings, out=out, quiet=True)
    else:
        tutelage.train(folder / "photos", settings, out=out, quiet=True)
    seconds = time.perf_counter() - begin
    timings = json.loads((out / "timings.json").read_text())
    if timings["teacher_pass_seconds"] is not None and name != "warm-up":
        raise SystemExit(f"{name} asked the teacher: the cache was not used")
    return Run(seconds, sum(epoch["seconds"] for epoch in timings["epochs"]), _accuracy(out))


def _accuracy(run: Path) -> float:
    scores = json.loads((run / "scores.json").read_text())
    return float(scores["last"]["val"]["accuracy"])


def _told(runs: dict[str, list[Run]]) -> dict[str, Any]:
    plain, second = runs["plain"], runs["second"]
    return {
        **{
            name: {
                "seconds": median_range([run.seconds for run in some]),
                "training_seconds": median_range([run.training for run in some]),
                "accuracy": [run.accuracy for run in some],
                "mean_accuracy": round(mean(run.accuracy for run in some), 4),
            }
            for name, some in runs.items()
        },
        "ratio": median_ratio([run.seconds for run in second], [run.seconds for run in plain]),
        "training_ratio": median_ratio(
            [run.training for run in second], [run.training for run in plain]
        ),
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
