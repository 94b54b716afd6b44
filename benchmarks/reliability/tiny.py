"""A whole job that takes seconds: real images, tiny networks; and whether two of its folders are equal."""

import os
import shutil
import zipfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from tutelage.commands import train as verbs
from tutelage.config.data import DataConfig
from tutelage.config.job import DistillConfig, NetworkConfig, TrainConfig
from tutelage.data.readers.zip import SAMPLE
from tutelage.engine.train import loop
from tutelage.errors import TutelageError
from tutelage.reports.write import write_report

CLASSES = ("Bag", "Coat", "Sandal")
APART = {"timings.json", "incidents.jsonl", ".lock"}
"""Files that may differ between two equal jobs: wall-clock figures, and what happened on the way."""
_TIMED = {"report", "cells", "cells.md", "cells.svg"}
"""What tells wall-clock figures among others."""

_NETWORK = NetworkConfig(model="cifar_resnet8", weights="none", epochs=2, batch_size=12, lr=0.01)
_COMMON = {
    "device": "cpu",
    "precision": "fp32",
    "data": DataConfig(image_size=32),
    "skip_teacher_check": True,
}


def images(folder: Path) -> Path:
    """Real images of three classes: 12 each to train on, 6 to validate, 6 without a class to test."""
    wanted = {"train": 12, "val": 6, "test": 6}
    taken: dict[str, int] = {}
    with zipfile.ZipFile(SAMPLE) as archive:
        for name in sorted(archive.namelist()):
            place, _, _ = name.rpartition("/")
            split, _, label = place.partition("/")
            known = label in CLASSES or split == "test"
            if known and name.endswith(".png") and taken.get(place, 0) < wanted[split]:
                taken[place] = taken.get(place, 0) + 1
                (folder / place).mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(archive.read(name))
    return folder


def job() -> DistillConfig:
    """A teacher, a student that asks it ahead, and a control: two epochs of three steps each."""
    return DistillConfig(teacher=_NETWORK, student=_NETWORK, seeds=1, **_COMMON)


def single(**changes: object) -> TrainConfig:
    """One network of the same kind, trained alone."""
    plain = {"model": "cifar_resnet8", "weights": "none", "epochs": 2, "batch_size": 12, "lr": 0.01}
    return TrainConfig(**{**plain, **_COMMON, "role": "control", **changes})


def do_job(data: Path, out: Path, *, every_step: bool = True) -> int:
    """Begin or continue the job; its exit code. Checkpoints are saved after every step."""
    return _told(lambda: verbs.run(data, job(), out=out, resume=True, quiet=True), every_step)


def do_single(data: Path, out: Path, settings: TrainConfig, *, every_step: bool = True) -> int:
    """Begin or continue a single run; its exit code."""
    return _told(lambda: verbs.train(data, settings, out=out, resume=True, quiet=True), every_step)


def _told(work: object, every_step: bool) -> int:
    torch.set_num_threads(1)
    if every_step:
        loop.CHECKPOINT_SECONDS = -1.0
    try:
        work()  # type: ignore[operator]
    except TutelageError as error:
        print(error, flush=True)
        return error.exit_code
    return 0


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a job or run that two equal ones have in common, but report and cells, by name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder): path for path in files}
    return {
        str(name): path.read_bytes()
        for name, path in names.items()
        if name.name not in APART and name.suffix != ".lock" and not _TIMED.intersection(name.parts)
    }


def differences(whole: Path, other: Path) -> list[str]:
    """Names of files that are not the same bytes in both folders, or in one of them alone."""
    a, b = contents(whole), contents(other)
    return sorted(name for name in {*a, *b} if a.get(name) != b.get(name))


def report_differences(whole: Path, other: Path) -> list[str]:
    """As `differences`, of the reports: written again from the results of `other` and the times of `whole`.

    A report shows wall-clock times, all of which it reads from the files timings.json.
    """
    for path in whole.rglob("timings.json"):
        shutil.copy(path, other / path.relative_to(whole))
    shutil.rmtree(other / "report")
    write_report(other)
    return differences(whole / "report", other / "report")
