"""The power fails at each file event of a run, in simulation: does it go on, and is no checkpoint lost?

    python benchmarks/reliability/power.py
    python benchmarks/reliability/power.py --work job --every 40

Saves alone, a run from its beginning to its end with a checkpoint after each step, or a whole job. At each
`open`, `write`, `fsync`, `rename`, `unlink` ... in its folder, what a disk may then hold is written down, in
up to nine forms (see `unflushed`). In each the newest checkpoint must be the last that was saved, or a newer
one; continued, the work must end in the bytes of one that nothing happened to.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import events
import tiny
from disturb import Watch
from forked import run
from unflushed import Disk, write_down

from tutelage.distributed import World
from tutelage.engine.checkpoint.rotation import find_latest_checkpoint
from tutelage.engine.checkpoint.writer import CheckpointWriter
from tutelage.errors import InputError
from tutelage.storage.run_results import read_run_facts

Work = Callable[[Path], int]


def main() -> int:
    """Let the power fail at each event; 0 where nothing was lost."""
    words = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    words.add_argument("--work", choices=("saves", "run", "job"), default="run")
    words.add_argument("--every", type=int, default=1, help="look at each so-manieth event only")
    chosen = words.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        log, packed, whole, watched = (root / name for name in ("log", "pack", "whole", "watched"))
        data = tiny.images(root / "pictures")
        work: Work = {
            "saves": _saves,
            "run": lambda folder: events.train(folder, packed, World()),
            "job": lambda folder: tiny.do_job(data, folder / "job"),
        }[chosen.work]
        if chosen.work == "run":
            assert run(lambda: events.pack(data, packed), log=log) == 0, log.read_text()
        for folder in (whole, watched):
            folder.mkdir()
        assert run(lambda: work(whole), log=log) == 0, log.read_text()
        code = run(lambda: _watched(watched, work, chosen.every, root / "left"), log=log)
        assert code == 0, log.read_text()
        passed = tried = 0
        for left in sorted((root / "left").iterdir()):
            about = json.loads((left / "about.json").read_text())
            log.unlink(missing_ok=True)
            wrong = _lost(left / "folder", about["saved"])
            if not wrong and chosen.work != "saves":
                code = run(lambda left=left: work(left / "folder"), log=log)
                wrong = f"exit {code}: {log.read_text()[-1500:]}" if code else ""
                wrong = wrong or ", ".join(tiny.differences(whole, left / "folder"))
            shutil.rmtree(left)
            tried, passed = tried + 1, passed + (not wrong)
            if wrong:
                print(f"{about['event']}, after {about['saved']}: {wrong}", flush=True)
    print(f"power: {passed} of {tried} disks held all that was saved when the power failed")
    return 0 if passed == tried else 1


def _saves(folder: Path) -> int:
    events.save(folder, 1, 2, 3, 4)
    return 0


def _watched(folder: Path, work: Work, every: int, out: Path) -> int:
    """Do all of the work; at each event, write down what could be left, once where it is the same."""
    disk = Disk(folder).install()
    saved: dict[str, int] = {}
    seen: set[int] = set()
    real = CheckpointWriter.save

    def save(self: CheckpointWriter, *arguments: Any, step: int, **options: Any) -> None:
        real(self, *arguments, step=step, **options)
        self.settle()  # one thing after the other: what is left is the same every time
        saved[str(self._run.relative_to(folder))] = step

    def note(number: int, kind: str) -> None:
        if number % every:
            return
        for left in disk.left():
            if (one := hash((*saved.items(), *sorted(left.items())))) in seen:
                continue
            seen.add(one)
            place = out / f"{len(seen):06d}"
            write_down(left, place / "folder")
            about = {"event": f"{kind} (event {number})", "saved": saved}
            (place / "about.json").write_text(json.dumps(about))

    CheckpointWriter.save = save  # type: ignore[method-assign]
    watch = Watch(folder, after=note).install()
    code = work(folder)
    watch.on = False
    return code


def _lost(folder: Path, saved: Mapping[str, int]) -> str:
    """Which checkpoint is not left, of a step of each run that was saved."""
    for name, step in saved.items():
        try:
            if (folder / name / "run.json").is_file() and read_run_facts(folder / name)["finished"]:
                continue
            found = find_latest_checkpoint(folder / name).folder
        except InputError as error:
            return str(error)
        if found is None or int(found.name.removeprefix("step-")) < step:
            return f"the newest checkpoint of {name} is {found and found.name}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
