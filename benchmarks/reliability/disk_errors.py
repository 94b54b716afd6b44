"""A disk that refuses at every single write: is what was there still there, and the message a good one?

    python benchmarks/reliability/disk_errors.py

ENOSPC, EIO, EROFS and EMFILE at each open, write, fsync, rename, unlink ... of a save, of packing,
of the teacher's cache, of a report, and of the other files of a run: from one event on (EIO: at that one
alone), until the verb gives up. Then EFBIG, by the system itself, for which libraries that are not Python
write, too: no file may be as large as the largest of the verb, as the second largest, and so on.
It must end with exit code 5 and say where, or do without. No process may abort. The same command undisturbed
must then end in the bytes of a run that never failed, and leave nothing.
"""

import argparse
import errno
import json
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import tiny
import torch
from disturb import CHANGES, Watch, refusing
from forked import run

from tutelage.commands import pack as packing
from tutelage.commands import train as verbs
from tutelage.engine.checkpoint.format import Checkpoint
from tutelage.engine.checkpoint.rotation import checkpoint_folder, find_latest_checkpoint
from tutelage.engine.checkpoint.writer import CheckpointWriter
from tutelage.errors import TutelageError
from tutelage.reports.write import write_report

LOG_BYTES = 4096
"""What a process must be able to write to its own log in any case."""


class Phase(NamedTuple):
    """What is done below a folder, in which part of it the disk refuses; what is there before; what is wrong
    afterwards.
    """

    name: str
    part: str
    do: Callable[[Path], None]
    before: Callable[[Path], None] = lambda _folder: None
    wrong: Callable[[Path, Path], list[str]] = tiny.differences


def main() -> int:
    """Refuse at each event; 0 where every verb ended as it should."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--phases", nargs="+", help="some of them only")
    words.add_argument("--every", type=int, default=1, help="look at each so-manieth event only")
    words.add_argument("--errors", nargs="+", help="some of them only, such as ENOSPC")
    chosen = words.parse_args()
    numbers = [n for n in CHANGES if not chosen.errors or errno.errorcode[n] in chosen.errors]
    passed = tried = 0
    with tempfile.TemporaryDirectory() as where:
        root = Path(where)
        data = tiny.images(root / "pictures")
        log = root / "log.txt"
        for phase in _phases(root, data, log):
            if chosen.phases and phase.name not in chosen.phases:
                continue
            ok, all_ = _refused(phase, root / "trials" / phase.name, numbers, chosen.every, log)
            print(f"{phase.name}: {ok} of {all_}", flush=True)
            passed, tried = passed + ok, tried + all_
    print(f"disk errors: {passed} of {tried} left what was there, said so, and were continued")
    return 0 if passed == tried else 1


def _phases(root: Path, data: Path, log: Path) -> list[Phase]:
    taught, finished = root / "teacher", root / "job"
    packed = root / "pack"

    def begin() -> None:
        torch.set_num_threads(1)
        packing.pack(data, tiny.single().data, out=packed, quiet=True)
        verbs.train(packed, tiny.single(role="teacher", epochs=1), out=taught, quiet=True)
        assert tiny.do_job(data, finished) == 0

    assert run(lambda: begin(), log=log) == 0, log.read_text()

    def train(folder: Path) -> None:
        torch.set_num_threads(1)
        settings = tiny.single(epochs=1, role="student", teacher=(str(taught),))
        verbs.distill(packed, settings, out=folder / "run", resume=True, quiet=True)

    def report(folder: Path) -> None:
        write_report(folder / "job")

    def unreported(folder: Path) -> None:
        shutil.copytree(finished, folder / "job")
        shutil.rmtree(folder / "job" / "report")

    def repack(folder: Path) -> None:
        packing.pack(data, tiny.single().data, out=folder / "pack", quiet=True)

    return [
        Phase("save", "checkpoints", _save, _twice, _no_checkpoint),
        Phase("pack", "", repack),
        Phase("report", "job", report, unreported, _other_report),
        Phase("cache", "teacher-cache", train),
        Phase("run", "run", train),
    ]


def _save(folder: Path) -> None:
    """Save a third checkpoint beside two; where that is refused it is told, and training goes on."""
    torch.set_num_threads(1)
    told: list[str] = []
    found = find_latest_checkpoint(folder)
    saver = CheckpointWriter(folder, tell=told.append, whole=found.folder)
    first = 1 + int(found.folder.name[-1]) if found.folder else 1
    for step in range(first, max(first, 3) + 1):
        saver.save(Checkpoint({"a": torch.full((64, 64), float(step))}, {"step": step}), step=step)
        saver.settle()
    if told:
        print(*told)
        raise SystemExit(5)


def _no_checkpoint(whole: Path, folder: Path) -> list[str]:
    expected, found = find_latest_checkpoint(whole).folder, find_latest_checkpoint(folder).folder
    least = checkpoint_folder(folder, 3).name
    return [] if expected and found and found.name >= least else [f"the newest is {found}"]


def _other_report(whole: Path, folder: Path) -> list[str]:
    return tiny.differences(whole / "job" / "report", folder / "job" / "report")


def _refused(
    phase: Phase, root: Path, numbers: list[int], every: int, log: Path
) -> tuple[int, int]:
    root.mkdir(parents=True)
    whole, trial, before = root / "whole", root / "trial", root / "before"
    for folder in (whole, before):
        folder.mkdir()
    assert run(lambda: phase.before(before), log=log) == 0, log.read_text()
    shutil.copytree(before, whole, dirs_exist_ok=True)
    kinds_file = root / "kinds.json"
    assert run(lambda: _watched(phase, whole, kinds_file), log=log) == 0, log.read_text()
    kinds = json.loads(kinds_file.read_text())
    print(f"{phase.name}: {len(kinds)} events", flush=True)
    passed = tried = 0
    for name, disturb in _disturbances(phase, whole, kinds, numbers, every):
        shutil.rmtree(trial, ignore_errors=True)
        shutil.copytree(before, trial)
        log.unlink(missing_ok=True)
        code = run(lambda disturb=disturb: _disturbed(phase, trial, disturb), log=log)
        wrong = "" if code in (0, 5) else f"exit {code}: {log.read_text()[-1500:]}"
        if code == 5 and phase.name != "save" and str(trial) not in log.read_text():
            wrong = f"it does not say where: {log.read_text()[-500:]}"
        if phase.name == "save" and not wrong and find_latest_checkpoint(trial).folder is None:
            wrong = "the checkpoint from before is lost"
        again = run(lambda: _undisturbed(phase, trial), log=log)
        if again != 0 and not wrong:
            wrong = f"afterwards exit {again}: {log.read_text()[-1500:]}"
        wrong = wrong or ", ".join(phase.wrong(whole, trial))
        tried += 1
        passed += not wrong
        if wrong:
            print(f"{phase.name}, {name}: {wrong}", flush=True)
    return passed, tried


def _disturbances(
    phase: Phase, whole: Path, kinds: list[str], numbers: list[int], every: int
) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """What can go wrong in a phase, by name, and how a process is told to let it."""
    for number in numbers:
        places = [at for at, kind in enumerate(kinds) if kind in CHANGES[number]]
        for at in places[::every]:
            act = refusing(number, at, once=number == errno.EIO)
            yield (
                f"{errno.errorcode[number]} at {at} ({kinds[at]})",
                lambda folder, act=act: Watch(folder / phase.part, act).install(),
            )
    sizes = {path.stat().st_size for path in (whole / phase.part).rglob("*") if path.is_file()}
    for size in sorted((size for size in sizes if size > LOG_BYTES), reverse=True)[::every]:
        yield (
            f"EFBIG from {size:,} bytes on",
            lambda _folder, most=size - 1: resource.setrlimit(
                resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY)
            ),
        )


def _twice(folder: Path) -> None:
    saver = CheckpointWriter(folder, tell=print)
    for step in (1, 2):
        saver.save(Checkpoint({"a": torch.ones(64, 64)}, {"step": step}), step=step)
        saver.settle(last=True)


def _watched(phase: Phase, folder: Path, kinds_file: Path) -> None:
    watch = Watch(folder / phase.part).install()
    phase.do(folder)
    watch.on = False
    kinds_file.write_text(json.dumps(watch.kinds))


def _disturbed(phase: Phase, folder: Path, disturb: Callable[[Path], object]) -> int:
    disturb(folder)
    return _undisturbed(phase, folder)


def _undisturbed(phase: Phase, folder: Path) -> int:
    try:
        phase.do(folder)
    except TutelageError as error:
        print(error, flush=True)
        return error.exit_code
    except SystemExit as asked:
        return int(asked.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
