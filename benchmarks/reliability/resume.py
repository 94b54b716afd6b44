"""Stop a run after each of its steps and continue it, again and again: does it end in the same bytes?

    python benchmarks/reliability/resume.py

In fp32 and bf16, with a moving average and without, with accumulated batches and without, in one process and
in two. Weights, scores, predictions and journal are compared with those of a run that was never
stopped: what was lost or doubled at any of the stops would be seen there.
"""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path
from typing import Any

import tiny
from events import pack, together
from forked import run

from tutelage.data.pack.pack import open_pack
from tutelage.distributed import World
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.signals import StopRequest
from tutelage.errors import Interrupted

STEPS = 100


class AtSteps(StopRequest):
    """Asked to stop from the beginning, and heard after a step only."""

    def __init__(self) -> None:
        super().__init__()
        self.signal = 2

    def poll(self, _done: int = 0, _count: int = 0) -> None:
        """Go on."""


def main() -> int:
    """Stop at every step; 0 where all ended in the same bytes."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    words.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    chosen = words.parse_args()
    same = tried = 0
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        log = root / "log.txt"
        packed = root / "pack"
        data = tiny.images(root / "pictures")
        assert run(lambda: pack(data, packed), log=log) == 0, log.read_text()
        cases = itertools.product(chosen.precisions, (None, 0.9), (1, 3), chosen.processes)
        for number, (precision, average, accumulate, size) in enumerate(cases):
            changes = {
                "precision": precision,
                "ema_decay": average,
                "grad_accum_steps": accumulate,
                "batch_size": 12 if accumulate == 1 else 6,
            }
            stops, wrong = _case(root / str(number), packed, changes, size, log)
            tried += stops
            same += 0 if wrong else stops
            told = f"{precision}, average {average}, accumulate {accumulate}, {size} processes"
            print(f"{told}: {stops} stops, {wrong or 'the same bytes'}", flush=True)
    print(f"resume: {same} of {tried} stops ended in the same bytes")
    return 0 if same == tried > 0 else 1


def _case(
    root: Path, packed: Path, changes: dict[str, Any], size: int, log: Path
) -> tuple[int, str]:
    root.mkdir()
    whole, stopped = root / "whole", root / "stopped"
    if together(size, lambda world: _do(whole, packed, changes, world, StopRequest()), root, log):
        return 0, log.read_text()[-2000:]
    for stops in range(STEPS):
        code = together(
            size, lambda world: _do(stopped, packed, changes, world, AtSteps()), root, log
        )
        if code == 0:
            return stops, ", ".join(tiny.differences(whole, stopped))
        if code != 130:
            return stops, f"exit {code}: {log.read_text()[-2000:]}"
    return STEPS, "it did not end"


def _do(
    folder: Path, packed: Path, changes: dict[str, Any], world: World, stop: StopRequest
) -> int:
    place = RunContext(
        "run", folder, folder.parent / "cache", Console(quiet=True), stop, world=world
    )
    try:
        train_one(tiny.single(**changes), open_pack(packed), place)
    except Interrupted:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
