"""100,000 small steps in one process: does memory grow, do files stay open, does the disk fill?

    python benchmarks/reliability/soak.py --steps 100000

A real run of `train` on the bundled sample at 32 pixels with a very small network, saved every second. What
the process holds is read every second (Linux with glibc), after the allocator has given back what is free:
it keeps up to 20 MB of that otherwise, now more, now less. Memory counts as constant where the medians of the
second and the last quarter of the readings differ by less than a megabyte.
"""

import argparse
import ctypes
import json
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from torch import nn

from tutelage.commands import train as verbs
from tutelage.config.data import DataConfig
from tutelage.config.job import TrainConfig
from tutelage.engine.train import loop

BATCH = 8
ALLOWED_MB = 1.0
TRAINED = 7_800
"""Training images of the bundled sample."""


class Reading(NamedTuple):
    """What the process holds at a moment: anonymous memory, open files, threads, and bytes on the disk."""

    megabytes: float
    files: int
    threads: int
    disk: int


def small_network(classes: int) -> nn.Module:
    """A convolution with BatchNorm and a linear layer."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 8, stride=8), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(128, classes)
    )


def reading(run: Path) -> Reading:
    """What the process holds now."""
    ctypes.CDLL(None).malloc_trim(0)
    status = Path("/proc/self/status").read_text().splitlines()
    facts = dict(line.split(":", 1) for line in status)
    return Reading(
        int(facts["RssAnon"].split()[0]) / 1024,
        sum(1 for _ in Path("/proc/self/fd").iterdir()),
        int(facts["Threads"]),
        sum(_size(path) for path in run.glob("checkpoints/**/*")),
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # rotated away in this very moment
        return 0


def watch(run: Path, readings: list[Reading], end: threading.Event) -> None:
    """Read once a second until the end."""
    while not end.wait(1.0):
        if (run / "journal.jsonl").is_file():
            readings.append(reading(run))


def grown(readings: Sequence[Reading]) -> tuple[float, bool]:
    """Megabytes from the second quarter to the last, and whether open files and threads stayed the same.

    A save opens files for a moment: the fewest of each quarter count.
    """
    quarter = len(readings) // 4
    second, last = readings[quarter : 2 * quarter], readings[-quarter:]
    megabytes = median(r.megabytes for r in last) - median(r.megabytes for r in second)
    held = [(min(r.files for r in part), min(r.threads for r in part)) for part in (second, last)]
    return megabytes, held[0] == held[1]


def main() -> None:
    """Train, watch, say what grew."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--steps", type=int, default=100_000)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    loop.CHECKPOINT_SECONDS = 1.0
    an_epoch = -(-TRAINED // BATCH)
    epochs = -(-steps // an_epoch)
    settings = TrainConfig(
        role="control",
        weights="none",
        epochs=epochs,
        batch_size=BATCH,
        optimizer="sgd",
        lr=1e-3,
        device="cpu",
        precision="fp32",
        data=DataConfig(image_size=32),
    )
    readings: list[Reading] = []
    end = threading.Event()
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        watching = threading.Thread(target=watch, args=(run, readings, end))
        watching.start()
        try:
            verbs.train("sample", settings, out=run, network=small_network, quiet=True)
        finally:
            end.set()
            watching.join()
        lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
        done = sum(line["event"] == "epoch" for line in lines) * an_epoch
        left = list(run.glob("checkpoints/*"))
    megabytes, same = grown(readings)
    one = max(1, min(r.disk for r in readings if r.disk))
    most = max(r.disk for r in readings)
    print(f"readings: {len(readings)}; first {readings[0]}, last {readings[-1]}")
    print(f"disk: checkpoints took at most {most / one:.1f} times the smallest; {len(left)} left")
    good = abs(megabytes) < ALLOWED_MB and same and not left and done >= steps
    print(
        f"soak: {done:,} steps, memory {megabytes:+.2f} MB from the second quarter to the last, "
        f"open files and threads {'constant' if same else 'not constant'}"
    )
    sys.exit(not good)


if __name__ == "__main__":
    main()
