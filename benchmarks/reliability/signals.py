"""Ctrl-C and SIGTERM in each phase of a job, once and twice: the right exit code, soon, and nothing lost?

    python benchmarks/reliability/signals.py --rounds 100

A command is told to stop at a random moment after it has entered a phase: packing, asking the teacher,
training, measuring an epoch, measuring the run, the report, a sweep's table, an export. It must exit within
3 s with 130 or 143, and leave a checkpoint that is whole of each run that is not finished; a second Ctrl-C
must end it at once. What it left is continued (each tenth time) and must end in the bytes of an uninterrupted
command.
"""

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import tiny
import torch
from forked import end, run, start

from tutelage import __main__ as command
from tutelage.engine.checkpoint.rotation import find_latest_checkpoint

FULL = 10

SOON = 3.0
"""Seconds: a step and a save of this network take less than 0.1; the rest is for a busy machine."""

_SMALL = (
    "--{0}.model cifar_resnet8 --{0}.weights none --{0}.epochs 2 --{0}.batch-size 12 --{0}.lr 0.01"
)
_JOB = f"--skip-teacher-check --device cpu --precision fp32 --data.image-size 32 {_SMALL.format('teacher')} "
_JOB += _SMALL.format("student")


class Phase(NamedTuple):
    """Where a phase is entered, and how the command goes that comes to it."""

    name: str
    module: str
    function: str
    words: Callable[[Path, Path], list[str]]
    trained: bool = False


def job(data: Path, out: Path) -> list[str]:
    """The whole job."""
    return ["run", str(data), "--out", str(out), "--resume", *_JOB.split()]


def sweep(data: Path, out: Path) -> list[str]:
    """Plain distillation beside no teacher."""
    return ["sweep", str(data), "--out", str(out), "--compare", "kd", *_JOB.split()]


def export(_data: Path, out: Path) -> list[str]:
    """A finished run's network as ONNX."""
    run_folder = out.parents[2] / "whole" / "job" / "student-0"
    return ["export", str(run_folder), "--out", str(out / "model.onnx")]


PHASES = [
    Phase("packing", "tutelage.data.pack.write", "store_items", job),
    Phase("teacher pass", "tutelage.engine.precompute", "fill_cache", job),
    Phase("training", "tutelage.engine.train.loop", "train_step", job, trained=True),
    Phase("validation", "tutelage.engine.validate", "read_logits", job, trained=True),
    Phase("evaluation", "tutelage.engine.finish", "predict_splits", job, trained=True),
    Phase("report", "tutelage.commands.session", "write_report", job),
    Phase("sweep", "tutelage.commands.sweep", "write_result", sweep),
    Phase("export", "tutelage.exporters.onnx", "_require_packages", export),
]


def main() -> int:
    """Signal until there are enough; 0 where every command ended as it should."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--rounds", type=int, default=100, help="of each phase")
    flags.add_argument("--phases", nargs="+", help="some of them only")
    flags.add_argument("--seed", type=int, default=0, help="of the moments")
    chosen = flags.parse_args()
    moments = random.Random(chosen.seed)
    passed = tried = 0
    slowest = 0.0
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        data = tiny.images(root / "pictures")
        log = root / "log.txt"
        for made in (job, sweep):
            whole = root / "whole" / made.__name__
            assert run(partial(_answer, made(data, whole)), log=log) == 0, log.read_text()
        for phase in PHASES:
            if chosen.phases and phase.name not in chosen.phases:
                continue
            ok = 0
            times: list[float] = []
            _just_before(phase, root, data, log)
            for number in range(chosen.rounds):
                wrong, seconds = _round(phase, root, data, number, moments, log)
                ok += not wrong
                times.append(seconds)
                if wrong:
                    print(f"{phase.name}, round {number}: {wrong}", flush=True)
                shutil.rmtree(root / phase.name / "now")
            took = f"{statistics.median(times):.2f} s to exit, at most {max(times):.2f}"
            print(f"{phase.name}: {ok} of {chosen.rounds}; {took}", flush=True)
            passed, tried = passed + ok, tried + chosen.rounds
            slowest = max(slowest, *times)
    print(
        f"signals: {passed} of {tried} ended with their exit code, at most {slowest:.2f} s later, and went on"
    )
    return 0 if passed == tried else 1


def _answer(words: list[str]) -> int:
    """What the command line does with some words."""
    torch.set_num_threads(1)
    sys.argv = ["tutelage", *words]
    return command.main()


def _just_before(phase: Phase, root: Path, data: Path, log: Path) -> None:
    """Keep what is there when a command enters a phase, where it is killed: every round goes on from it."""
    before = root / phase.name / "before"
    (before / "job").mkdir(parents=True)
    read, write = os.pipe()
    child = start(lambda: _tell(phase, phase.words(data, before / "job"), write, 0), log=log)
    os.close(write)
    assert os.read(read, 1), log.read_text()
    os.close(read)
    os.kill(child, signal.SIGKILL)
    assert end(child) == -signal.SIGKILL


def _round(
    phase: Phase,
    root: Path,
    data: Path,
    number: int,
    moments: random.Random,
    log: Path,
) -> tuple[str, float]:
    """One command, signalled in a phase: what is wrong with how it ended, and the seconds until it had."""
    now = root / phase.name / "now"
    out = now / "job"
    log.unlink(missing_ok=True)
    shutil.copytree(now.with_name("before"), now)
    first, twice = moments.choice([signal.SIGINT, signal.SIGTERM]), number % 4 == 3
    skipped = moments.randrange(4) if phase.trained else 0
    read, write = os.pipe()
    child = start(lambda: _tell(phase, phase.words(data, out), write, skipped), log=log)
    os.close(write)
    entered = os.read(read, 1)
    os.close(read)
    if not entered:
        return f"the phase was never entered: exit {end(child)}: {log.read_text()[-1500:]}", 0.0
    time.sleep(moments.uniform(0.0, 0.02))
    begin = time.monotonic()
    os.kill(child, first)
    if twice:
        time.sleep(moments.uniform(0.0, 0.01))
        os.kill(child, signal.SIGINT)
    code = end(child)
    seconds = time.monotonic() - begin
    told = f"exit {code} after {seconds:.1f} s: {log.read_text()[-1500:]}"
    right = {130, 143} if twice else {128 + first}
    if code not in right or seconds > SOON:
        return told, seconds
    if phase.trained and not twice and not _stands(out):
        return f"no checkpoint is whole: {told}", seconds
    return _what_is_left(phase, root, data, log, number=number), seconds


def _what_is_left(phase: Phase, root: Path, data: Path, log: Path, *, number: int) -> str:
    """What is wrong with what a command has left, and, each tenth time, with what it becomes."""
    out = root / phase.name / "now" / "job"
    if phase.words is export:
        return "" if not list(out.glob(".*.part")) else f"left behind: {list(out.iterdir())}"
    if number % FULL != FULL - 1:
        return ""
    if again := run(lambda: _answer(phase.words(data, out)), log=log):
        return f"continued: exit {again}: {log.read_text()[-1500:]}"
    return ", ".join(tiny.differences(root / "whole" / phase.words.__name__, out))


def _stands(out: Path) -> bool:
    """Whether each run that has begun is finished, or has a checkpoint that is whole."""
    return all(
        json.loads((folder / "run.json").read_text())["finished"]
        or find_latest_checkpoint(folder).folder
        for folder in (path.parent for path in out.glob("*/run.json"))
    )


def _tell(phase: Phase, words: list[str], pipe: int, skipped: int) -> int:
    """Answer a command, and say through a pipe when it enters the phase for the so-manieth time."""
    module: Any = importlib.import_module(phase.module)
    real, left = getattr(module, phase.function), [skipped]

    def entering(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == -1:
            os.write(pipe, b".")
        return real(*arguments, **options)

    setattr(module, phase.function, entering)
    return _answer(words)


if __name__ == "__main__":
    sys.exit(main())
