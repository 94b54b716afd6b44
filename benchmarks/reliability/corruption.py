"""Every artefact with one file damaged at random: opening it for use, or `tutelage verify`, must find out.

    python benchmarks/reliability/corruption.py --rounds 2000

One round takes an artefact of a type, damages one of its files in one of eight ways, looks whether that is
found, puts the file back and looks whether the whole artefact is taken for damaged then. The last line is
the count; the exit code is 1 where anything was missed, or a whole artefact was refused.
"""

import argparse
import random
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from tutelage.commands import train as verbs
from tutelage.commands.verify import verify
from tutelage.config.job import DistillConfig, NetworkConfig, TrainConfig
from tutelage.data.pack.pack import open_pack
from tutelage.data.readers.zip import SAMPLE
from tutelage.engine.checkpoint.format import Checkpoint, load_checkpoint, save_checkpoint
from tutelage.errors import InputError
from tutelage.models.model_folder import load_model, network_folder
from tutelage.reports.record.read import read_job, read_run
from tutelage.reports.sweep.results import SweepRunInfo, known_results, read_results, write_result
from tutelage.storage.run_results import require_job
from tutelage.storage.sidecar import require_checksum, write_checksum
from tutelage.teachers.cache.key import CacheKey
from tutelage.teachers.cache.table import CachedOutputs, open_cache_table
from tutelage.teachers.cache.writer import CacheWriter, create_cache

PAGE = 4096
CLASSES = ("Bag", "Coat", "Sandal")
Use = Callable[[Path], object]


class Artefact(NamedTuple):
    """A whole artefact, two more of its type to take files from, and how it is opened for use.

    The first of `others` is another one, the second an older state of the same.
    """

    folder: Path
    others: tuple[Path, Path]
    use: Use

    def files(self) -> list[Path]:
        """Its files, relative to the folder; locks and reports are none of them."""
        found = (path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file())
        return sorted(
            path for path in found if not path.name.startswith(".") and "report" not in path.parts
        )


class Told(NamedTuple):
    """What came of all rounds on one type of artefact."""

    rounds: int
    by_use: int
    by_verify: int
    missed: list[str]
    false_alarms: list[str]
    by_way: Counter[str]

    @property
    def found(self) -> int:
        """Damage that was found, either way."""
        return self.by_use + self.by_verify


def _flip(raw: bytes, dice: random.Random) -> bytes:
    changed = bytearray(raw)
    changed[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _byte(raw: bytes, dice: random.Random) -> bytes:
    changed = bytearray(raw)
    changed[dice.randrange(len(raw))] = dice.randrange(256)
    return bytes(changed)


def _page(raw: bytes, dice: random.Random) -> bytes:
    begin = dice.randrange(len(raw)) // PAGE * PAGE
    page = raw[begin : begin + PAGE]
    return raw[:begin] + bytes(len(page)) + raw[begin + PAGE :]


def _tail(raw: bytes, dice: random.Random) -> bytes:
    begin = dice.randrange(len(raw))
    return raw[:begin] + bytes(len(raw) - begin)


WAYS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "a bit flipped": _flip,
    "a byte changed": _byte,
    "a page zeroed": _page,
    "the tail zeroed": _tail,
    "cut short": lambda raw, dice: raw[: dice.randrange(len(raw))],
    "bytes appended": lambda raw, dice: raw + dice.randbytes(dice.randint(1, 64)),
}
"""What a disk, a cable or a crash does to a file; the other two ways take a whole file from elsewhere."""

SWAPS = ("a file of another one", "an old file put back")


def damages(artefact: Artefact, dice: random.Random) -> Iterator[tuple[str, Path, bytes]]:
    """Without end: a way, a file, and its bytes after that, which are never those before it."""
    files, ways = artefact.files(), [*WAYS, *SWAPS]
    while True:
        way, name = dice.choice(ways), dice.choice(files)
        raw = (artefact.folder / name).read_bytes()
        if way in WAYS:
            new = WAYS[way](raw, dice) if raw else raw
        else:
            other = artefact.others[SWAPS.index(way)] / name
            new = other.read_bytes() if other.is_file() else raw
        if new != raw:
            yield way, name, new


def corrupt(artefact: Artefact, rounds: int, seed: int) -> Told:
    """Damage an artefact so many times, and open it undamaged as often."""
    told = Told(rounds, 0, 0, [], [], Counter())
    for _, (way, name, new) in zip(
        range(rounds), damages(artefact, random.Random(seed)), strict=False
    ):
        path = artefact.folder / name
        raw = path.read_bytes()
        path.write_bytes(new)
        by_use = _is_refused(artefact.use, artefact.folder)
        by_verify = not by_use and _is_damaged(artefact.folder)
        path.write_bytes(raw)
        told = told._replace(by_use=told.by_use + by_use, by_verify=told.by_verify + by_verify)
        told.by_way[way] += 1
        if not by_use and not by_verify:
            told.missed.append(f"{name}: {way}")
        if _is_refused(artefact.use, artefact.folder) or _is_damaged(artefact.folder):
            told.false_alarms.append(f"after {name}: {way}")
    return told


def _is_refused(use: Use, folder: Path) -> bool:
    """Whether opening it is an error that names a file; any other error is a bug."""
    try:
        use(folder)
    except InputError as error:
        return error.where is not None
    return False


def _is_damaged(folder: Path) -> bool:
    try:
        return bool(verify(folder).damaged)
    except InputError:
        return True


def make_all(root: Path, *, jobs: bool = True) -> dict[str, Artefact]:
    """Small artefacts of every type, made by the code that makes them for a user; `jobs` take longest."""
    runs = [_run(root, name, seed) for name, seed in (("one", 0), ("other", 1), ("old", 2))]
    cells = [_cells(root / f"cells-{number}", runs[number:]) for number in range(3)]
    below = {"pack": open_pack, "model": load_model}
    made: dict[str, tuple[Sequence[Path], Use]] = {
        "run": (runs, _use_run),
        **{name: ([run / name for run in runs], use) for name, use in below.items()},
        "cache": ([_cache(root / f"cache-{n}", answers=40 - 8 * n) for n in range(3)], _use_cache),
        "cells": (cells, _use_cells([cell.identity for cell in read_results(cells[0])])),
        "checkpoint": ([_checkpoint(root / f"checkpoint-{n}", n) for n in range(3)], load_checkpoint),
        "deployed": ([_deployed(root / f"deployed-{n}", run) for n, run in enumerate(runs)], _use_deployed),
    }  # fmt: skip
    if jobs:
        images = [root / f"images-{run.name}" for run in runs]
        made["job"] = ([_job(root / f"job-{n}", data) for n, data in enumerate(images)], _use_job)
    return {
        name: Artefact(one, (other, old), use) for name, ((one, other, old), use) in made.items()
    }


def _run(root: Path, name: str, seed: int) -> Path:
    images = root / f"images-{name}"
    with zipfile.ZipFile(SAMPLE) as archive:
        for label in CLASSES:
            there = [n for n in sorted(archive.namelist()) if n.startswith(f"train/{label}/")]
            for place, file in enumerate(there[12 * seed : 12 * seed + 12]):
                target = images / ("train" if place < 8 else "val") / label / Path(file).name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(file))
    settings = TrainConfig(
        model="test_resnet", weights="none", epochs=1, batch_size=8, device="cpu", precision="fp32",
        role="control", seed=seed,
    )  # fmt: skip
    out = root / name
    verbs.train(images, settings, out=out, quiet=True)
    return out


def _use_run(folder: Path) -> None:
    require_job(folder)
    read_run(folder)
    open_pack(folder / "pack")
    network_folder(folder)


def _job(out: Path, images: Path) -> Path:
    small = NetworkConfig(model="test_resnet", weights="none", epochs=1, batch_size=8)
    # A few steps make no teacher.
    job = DistillConfig(
        teacher=small,
        student=small,
        seeds=1,
        device="cpu",
        precision="fp32",
        skip_teacher_check=True,
    )
    verbs.run(images, job, out=out, quiet=True)
    return out


def _use_job(folder: Path) -> None:
    read_job(folder)


def _cells(folder: Path, runs: Sequence[Path]) -> Path:
    for number, run in enumerate(runs):
        about = SweepRunInfo(
            name=f"kd-{number}", objective="kd", role="student", identity=f"{folder.name} {number}",
            teacher="a teacher", teacher_epochs=1, plain_epochs=1,
        )  # fmt: skip
        write_result(folder, run, about)
    return folder


def _use_cells(identities: Sequence[str]) -> Use:
    def use(folder: Path) -> None:
        cells = read_results(folder)
        # As a sweep asks for them: the cell of another sweep is whole, and not the one that is looked for.
        for number, identity in enumerate(identities):
            if not known_results(cells, "kd", number, identity):
                raise InputError("no cell of this run", where=folder / f"kd-{number}.json")

    return use


def _cache(folder: Path, *, answers: int) -> Path:
    identity = CacheKey(
        "teacher", "net", "torch", CLASSES, 32, 32, (0.5,) * 3, (0.25,) * 3, "None", True, "cpu", {}
    )
    dice = np.random.default_rng(answers)
    create_cache(folder, identity, {"logits": (len(CLASSES),), "layer4": (8, 2, 2)})
    writer = CacheWriter(folder)
    for view in range(2):
        logits = dice.normal(size=(answers, len(CLASSES))).astype(np.float32)
        features = dice.normal(size=(answers, 8, 2, 2)).astype(np.float32)
        keys = np.arange(answers, dtype=np.int64)
        writer.add(
            CachedOutputs(keys, np.full(answers, view, np.int32), logits, {"layer4": features})
        )
        writer.keep()
    writer.close()
    return folder


def _use_cache(folder: Path) -> None:
    table = open_cache_table(folder)
    for view in range(2):
        table.logits(table.positions(np.unique(table.index["key"]), view))


def _checkpoint(folder: Path, seed: int) -> Path:
    numbers = torch.Generator().manual_seed(seed)
    tensors = {f"student/{n}": torch.randn(50, 20, generator=numbers) for n in range(4)}
    save_checkpoint(folder, Checkpoint(tensors, {"epoch": seed, "step": 10 * seed}))
    return folder


def _deployed(folder: Path, run: Path) -> Path:
    """A deployed file and its checksum; what is in it does not matter to them."""
    folder.mkdir()
    content = (run / "model" / "model.safetensors").read_bytes()
    (folder / "model.onnx").write_bytes(content)
    write_checksum(folder / "model.onnx", content)
    return folder


def _use_deployed(folder: Path) -> None:
    require_checksum(folder / "model.onnx")


def main() -> int:
    """Damage artefacts of every type and print the count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2000, help="for each type (default: 2000)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    total, found, alarms = 0, 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        for name, artefact in make_all(Path(scratch)).items():
            begin = time.monotonic()
            told = corrupt(artefact, arguments.rounds, arguments.seed)
            total, found = total + told.rounds, found + told.found
            alarms += len(told.false_alarms)
            print(
                f"{name}: {told.found} of {told.rounds} found, {told.by_use} by opening, {told.by_verify} "
                f"by verify; {len(told.false_alarms)} false alarms; {time.monotonic() - begin:.0f} s",
                flush=True,
            )
            for line in (*told.missed[:10], *told.false_alarms[:10]):
                print(f"  {line}")
    print(f"corruptions: {found} of {total} found; false alarms: {alarms} of {total}")
    return int(found < total or alarms > 0)


if __name__ == "__main__":
    sys.exit(main())
