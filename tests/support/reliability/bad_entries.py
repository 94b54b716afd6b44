"""The doors that bad input can come in by: every verb, as a command line, and how one is knocked at.

A role is what the spoilt thing stands for on the command line: the data, a network, a recipe and so on. It
says which words a verb is called with; a verb that has no place for it says why.
"""

import contextlib
import io
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tutelage.__main__ import main

ENTRIES = (
    "check",
    "pack",
    "train",
    "distill",
    "run",
    "sweep",
    "evaluate",
    "predict",
    "export",
    "resume",
    "report",
    "cache",
)
TRAINING = ("train", "distill", "run", "sweep")
MANY = int(os.environ.get("TUTELAGE_MANY_FILES", "500"))
"""Files in one folder in case 81; the catalogue says a million."""

LIMIT = 60.0 + MANY / 100
"""Seconds after which a call counts as hung: these files are trained on, too, several times by a sweep."""

PLAIN = ("--device", "cpu", "--precision", "fp32", "--quiet")
SMALL = ("--data.image-size", "16", "--data.max-unreadable", "1")
ONE = (
    "--model",
    "test_resnet",
    "--epochs",
    "1",
    "--batch-size",
    "8",
    "--skip-teacher-check",
    *PLAIN,
)
FINE = (
    *("--teacher.model", "test_resnet", "--teacher.epochs", "1"),
    *("--student.model", "test_resnet", "--student.epochs", "1"),
    *("--teacher.batch-size", "8", "--student.batch-size", "8", "--seeds", "1"),
    *("--skip-teacher-check", *PLAIN),
)
JOB = (*FINE, "--teacher.weights", "none")
SWEEP = ("--compare", "kd")

ROLES: Mapping[str, Mapping[str, tuple[str, ...] | str]] = {
    "data": {
        "check": ("{data}", "--data.image-size", "16"),
        "pack": ("{data}", "--out", "{out}", *SMALL, "--quiet"),
        "train": ("{data}", "--out", "{out}", *SMALL, *ONE),
        "distill": ("{data}", "--teacher", "{run}", "--out", "{out}", *SMALL, *ONE),
        "run": ("{data}", "--out", "{out}", *SMALL, *JOB),
        "sweep": ("{data}", *SWEEP, "--out", "{out}", *SMALL, *JOB),
        "evaluate": ("{run}", "{data}", "--max-unreadable", "1"),
        "predict": ("{run}", "{data}", "--max-unreadable", "1", "--out", "{out}.csv"),
        "export": ("{run}", "--data", "{data}", "--out", "{out}.onnx"),
        "resume": "reads the pack",
        "report": "reads no data",
        "cache": "reads no data",
    },
    "pack": {
        "check": "looks at images",
        "pack": ("{pack}", "--out", "{out}"),
        "train": ("{pack}", "--out", "{out}", *ONE),
        "distill": ("{pack}", "--teacher", "{run}", "--out", "{out}", *ONE),
        "run": ("{pack}", "--out", "{out}", *JOB),
        "sweep": ("{pack}", *SWEEP, "--out", "{out}", *JOB),
        "evaluate": ("{run}", "{pack}"),
        "predict": "takes images",
        "export": "takes images",
        "resume": "as train",
        "report": "as resume",
        "cache": "reads no pack",
    },
    "network": {
        "check": "takes no network",
        "pack": "takes no network",
        "train": ("{good}", "--weights", "{network}", "--out", "{out}", *SMALL, *ONE),
        "distill": ("{good}", "--teacher", "{network}", "--out", "{out}", *SMALL, *ONE),
        "run": ("{good}", "--out", "{out}", *SMALL, *FINE, "--teacher.weights", "{network}"),
        "sweep": (
            "{good}",
            *SWEEP,
            "--out",
            "{out}",
            *SMALL,
            *FINE,
            "--teacher.weights",
            "{network}",
        ),
        "evaluate": ("{network}", "{good}"),
        "predict": ("{network}", "{good}", "--out", "{out}.csv"),
        "export": ("{network}", "--data", "{good}", "--out", "{out}.onnx"),
        "resume": "keeps its own",
        "report": "opens no network",
        "cache": "opens no network",
    },
    "recipe": {
        "check": "takes no recipe",
        "pack": "takes no recipe",
        "train": ("{good}", "--recipe", "{recipe}", "--out", "{out}"),
        "distill": ("{good}", "--teacher", "{run}", "--recipe", "{recipe}", "--out", "{out}"),
        "run": ("{good}", "--recipe", "{recipe}", "--out", "{out}"),
        "sweep": ("{good}", *SWEEP, "--recipe", "{recipe}", "--out", "{out}"),
        "evaluate": "takes no recipe",
        "predict": "takes no recipe",
        "export": "takes no recipe",
        "resume": ("{stopped}",),
        "report": "takes no recipe",
        "cache": "takes no recipe",
    },
    "settings": {
        "check": "trains nothing",
        "pack": "trains nothing",
        "train": ("{good}", "--out", "{out}", *SMALL, *ONE, "{one}", "{value}"),
        "distill": (
            "{good}",
            "--teacher",
            "{run}",
            "--out",
            "{out}",
            *SMALL,
            *ONE,
            "{one}",
            "{value}",
        ),
        "run": ("{good}", "--out", "{out}", *SMALL, *JOB, "{job}", "{value}"),
        "sweep": ("{good}", *SWEEP, "--out", "{out}", *SMALL, *JOB, "{job}", "{value}"),
        "evaluate": "trains nothing",
        "predict": "trains nothing",
        "export": "trains nothing",
        "resume": "settings are kept",
        "report": "trains nothing",
        "cache": "trains nothing",
    },
    "run": {
        "check": "reads no run",
        "pack": "reads no run",
        "train": ("{good}", "--out", "{stopped}", "--resume", *SMALL, *ONE),
        "distill": "as train",
        "run": "as train",
        "sweep": "as train",
        "evaluate": "unfinished",
        "predict": "unfinished",
        "export": "unfinished",
        "resume": ("{stopped}",),
        "report": ("{stopped}",),
        "cache": "reads no run",
    },
    "cache": {
        "check": "asks no teacher",
        "pack": "asks no teacher",
        "train": "asks no teacher",
        "distill": (
            *("{good}", "--teacher", "{teacher}", "--out", "{out}", "--cache", "{shelf}"),
            *("--teacher-outputs", "cached", *SMALL, *ONE),
        ),
        "run": "as distill",
        "sweep": "as distill",
        "evaluate": "asks no teacher",
        "predict": "asks no teacher",
        "export": "asks no teacher",
        "resume": "as distill",
        "report": "asks no teacher",
        "cache": ("verify", "--folder", "{shelf}"),
    },
    "place": {
        "check": "writes nothing",
        "pack": ("{good}", "--out", "{place}", *SMALL, "--quiet"),
        "train": ("{good}", "--out", "{place}", *SMALL, *ONE),
        "distill": ("{good}", "--teacher", "{run}", "--out", "{place}", *SMALL, *ONE),
        "run": ("{good}", "--out", "{place}", *SMALL, *JOB),
        "sweep": ("{good}", *SWEEP, "--out", "{place}", *SMALL, *JOB),
        "evaluate": "writes nothing",
        "predict": ("{run}", "{good}", "--out", "{place}"),
        "export": ("{run}", "--data", "{good}", "--out", "{place}"),
        "resume": "its own folder",
        "report": "its own folder",
        "cache": "writes nothing",
    },
}


class Answer(NamedTuple):
    """What a verb said: exit code, standard output, standard error, seconds."""

    code: int
    out: str
    err: str
    seconds: float


class Hung(BaseException):
    """A verb has not come back within `LIMIT`; nothing of ours catches this."""


def words(entry: str, role: str, places: Mapping[str, Path | str]) -> list[str]:
    """The command line of an entry with the places filled in."""
    template = ROLES[role][entry]
    assert not isinstance(template, str), f"{entry} has no place for a {role}"
    return [entry, *(part.format_map(places) for part in template)]


def call(arguments: list[str], folder: Path) -> Answer:
    """Call a verb in this process as its command would be called, in a working directory of its own."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    before, told, start = Path.cwd(), sys.argv, time.perf_counter()
    os.chdir(folder)
    sys.argv = ["tutelage", *arguments]
    try:
        with limited(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main()
    finally:
        os.chdir(before)
        sys.argv = told
    seconds = time.perf_counter() - start
    said = []
    for stream in (out, err):
        stream.flush()
        said.append(stream.buffer.getvalue().decode())
    return Answer(code, *said, seconds)


@contextlib.contextmanager
def limited(seconds: float = LIMIT) -> Iterator[None]:
    """End what runs in the block by `Hung` when it takes too long, even where it waits for a pipe."""

    def hung(*_: object) -> None:
        raise Hung(f"no answer within {seconds:.0f} s")

    old = signal.signal(signal.SIGALRM, hung)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
