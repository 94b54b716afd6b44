"""Kill a run at every single file event of a save, before it and after it: does it go on, and lose nothing?

    python benchmarks/reliability/events.py --processes 1 2

A run is continued from the checkpoint of its second step and killed at one event of the save that follows its
third: each `open`, `write`, `fsync`, `rename`, `unlink` ... among its checkpoints, once before it is done and
once after. It must then go on from the third step, if its checkpoint had taken its place, else from the
second; end in the bytes of a run that was never killed; and leave nothing behind.
"""

import argparse
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import tiny
import torch
import torch.distributed as dist
from disturb import Watch
from forked import end, run, start

from tutelage.commands.pack import pack as pack_data
from tutelage.data.pack.pack import open_pack
from tutelage.distributed import World
from tutelage.engine.checkpoint.format import Checkpoint
from tutelage.engine.checkpoint.rotation import find_latest_checkpoint
from tutelage.engine.checkpoint.writer import CheckpointWriter
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.engine.runtime import process_group as processes
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.signals import StopRequest
from tutelage.engine.train import loop
from tutelage.errors import Interrupted
from tutelage.storage.atomic import recover_partial_writes

SETTINGS = tiny.single(epochs=2)


def main() -> int:
    """Kill at each event; 0 where every run ended as it should."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    words.add_argument("--every", type=int, default=1, help="look at each so-manieth event only")
    words.add_argument(
        "--saves", action="store_true", help="saves alone, without a run: in seconds"
    )
    chosen = words.parse_args()
    passed = tried = 0
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        if chosen.saves:
            passed, tried = _saves(root)
            print(f"events: {passed} of {tried} kills lost no checkpoint")
            return 0 if passed == tried else 1
        data = tiny.images(root / "pictures")
        packed = root / "pack"
        log = root / "log.txt"
        assert run(lambda: pack(data, packed), log=log) == 0, log.read_text()
        for size in chosen.processes:
            ok, all_ = _all_events(root / f"{size}", packed, size, chosen.every, log)
            passed, tried = passed + ok, tried + all_
    print(f"events: {passed} of {tried} kills were continued without loss to the same bytes")
    return 0 if passed == tried else 1


def pack(data: Path, packed: Path) -> None:

    pack_data(data, SETTINGS.data, out=packed, quiet=True)


def _all_events(root: Path, packed: Path, size: int, every: int, log: Path) -> tuple[int, int]:
    root.mkdir()
    whole, begun = root / "whole", root / "begun"
    assert together(size, lambda world: train(whole, packed, world), root, log) == 0, (
        log.read_text()
    )
    stopping = together(size, lambda world: train(begun, packed, world, steps=2), root, log)
    assert stopping == 130, log.read_text()
    trial = root / "trial"
    kinds_file = root / "kinds.json"
    shutil.copytree(begun, trial)
    together(size, lambda world: _watched(trial, packed, world, kinds_file=kinds_file), root, log)
    kinds = json.loads(kinds_file.read_text())
    passed = tried = 0
    for at in range(0, len(kinds), every):
        for moment in ("before", "after"):
            shutil.rmtree(trial)
            shutil.copytree(begun, trial)
            together(
                size,
                lambda world, at=at, moment=moment: _watched(
                    trial, packed, world, at=at, moment=moment
                ),
                root,
                log,
            )
            placed = (trial / "checkpoints" / "step-00000003").exists()
            found = find_latest_checkpoint(trial)
            wrong = "" if found.folder else "no checkpoint"
            if found.folder and found.folder.name != f"step-0000000{2 + placed}":
                wrong = f"{found.folder.name} is the newest whole one"
            if together(size, lambda world: train(trial, packed, world), root, log) != 0:
                wrong = log.read_text()[-2000:]
            wrong = wrong or ", ".join(tiny.differences(whole, trial))
            if left := [path.name for path in trial.rglob(".*.part")]:
                wrong = f"left behind: {left}"
            tried += 1
            passed += not wrong
            if wrong:
                print(f"{size} processes, {moment} event {at} ({kinds[at]}): {wrong}", flush=True)
    print(
        f"{size} processes: {len(kinds)} events of a save ({_counted(kinds)}): {passed} of {tried}"
    )
    return passed, tried


def _saves(root: Path) -> tuple[int, int]:
    """Kill at each event of a third save, twice: before it is done and after it."""
    log, before, trial = root / "log.txt", root / "before", root / "trial"
    run(lambda: save(before, 1, 2), log=log)
    shutil.copytree(before, trial)
    kinds_file = root / "kinds.json"

    def watched(at: int | None, moment: str) -> None:
        def kill(number: int, _kind: str) -> None:
            if number == at:
                os.kill(os.getpid(), signal.SIGKILL)

        before, after = (kill if moment == name else _nothing for name in ("before", "after"))
        watch = Watch(trial / "checkpoints", before, after).install()
        save(trial, 3)
        watch.on = False
        kinds_file.write_text(json.dumps(watch.kinds))

    assert run(lambda: watched(None, ""), log=log) == 0, log.read_text()
    kinds = json.loads(kinds_file.read_text())
    passed = tried = 0
    for at, moment in itertools.product(range(len(kinds)), ("before", "after")):
        shutil.rmtree(trial)
        shutil.copytree(before, trial)
        code = run(lambda at=at, moment=moment: watched(at, moment), log=log)
        found = find_latest_checkpoint(trial).folder
        placed = (trial / "checkpoints" / "step-00000003").exists()
        good = code == -9 and found is not None and found.name == f"step-0000000{2 + placed}"
        good &= run(lambda: save(trial, 4), log=log) == 0
        left = sorted(path.name for path in (trial / "checkpoints").iterdir())
        good &= left == [found.name if found else "", "step-00000004"]
        tried, passed = tried + 1, passed + good
        if not good:
            print(f"{moment} event {at} ({kinds[at]}): {left}")
    return passed, tried


def save(folder: Path, *steps: int) -> None:
    """Continue after the newest checkpoint of a folder, and save a small state for each of some steps."""
    recover_partial_writes(folder)
    saver = CheckpointWriter(folder, tell=print, whole=find_latest_checkpoint(folder).folder)
    for step in steps:
        state = Checkpoint({"a": torch.full((64, 64), float(step))}, {"step": step})
        saver.save(state, step=step)
        saver.settle(last=True)


def _counted(kinds: list[str]) -> str:
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))


def together(size: int, work: Callable[[World], int], root: Path, log: Path) -> int:
    """Some work in one process or several that meet; the exit code of the first."""
    meeting = root / "meeting"
    meeting.unlink(missing_ok=True)

    def one(rank: int) -> int:
        torch.set_num_threads(1)
        if size == 1:
            return work(World())
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
        processes._steps = dist.new_group(timeout=processes.PATIENCE)
        return work(World(rank, size, rank))

    children = [start(lambda rank=rank: one(rank), log=log) for rank in range(size)]
    first, *_others = [end(child) for child in children]
    return first


def train(
    folder: Path, packed: Path, world: World, *, steps: int = 100, every: float = -1.0
) -> int:
    """Begin or continue the run, up to so many steps, saving after each; its exit code."""
    loop.CHECKPOINT_SECONDS = every
    stop = StopRequest()
    real = loop.train_step

    def train_step(state: object, *arguments: object, **options: object) -> object:
        learned = real(state, *arguments, **options)  # type: ignore[arg-type]
        if state.step >= steps:  # type: ignore[attr-defined]
            stop.signal = signal.SIGINT
        return learned

    loop.train_step = train_step  # type: ignore[assignment]
    place = RunContext(
        "run", folder, folder.parent / "cache", Console(quiet=True), stop, world=world
    )
    try:
        train_one(SETTINGS, open_pack(packed), place)
    except Interrupted as error:
        print(error)
        return 130
    return 0


def _watched(
    folder: Path,
    packed: Path,
    world: World,
    *,
    at: int | None = None,
    moment: str = "",
    kinds_file: Path | None = None,
) -> int:
    """Continue the run by one step and be killed at an event of its save, or note what events there are."""

    def kill(number: int, _kind: str) -> None:
        if number == at:
            os.kill(os.getpid(), signal.SIGKILL)

    if world.first:
        before, after = (kill if moment == name else _nothing for name in ("before", "after"))
        watch = Watch(folder / "checkpoints", before, after).install()
    code = train(folder, packed, world, steps=3)
    if world.first and kinds_file is not None:
        watch.on = False
        kinds_file.write_text(json.dumps(watch.kinds))
    return code


def _nothing(_number: int, _kind: str) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
