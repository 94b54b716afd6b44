"""Packing shared between real processes: the same bytes as one makes, and one's error is everyone's."""

import dataclasses
import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch.distributed
import torch.multiprocessing

from support.images.plant import Plant
from tutelage.config.data import DataConfig
from tutelage.data.pack import store as storing
from tutelage.data.pack.lock import pack_lock
from tutelage.data.pack.write import write_pack
from tutelage.data.readers.open import open_source
from tutelage.distributed import ALONE, World
from tutelage.errors import Interrupted

DATA = DataConfig(image_size=16, max_unreadable=0.5)
STRICT = DataConfig(image_size=16, max_unreadable=0.01)
BAD = {"train/bag/00.png": b"bad", "train/coat/1x.png": b"", "val/coat/9.png": b"<html></html>"}
NAMES = [f"{part}/{n}.png" for part in ("train/bag", "train/coat", "val/bag") for n in range(8)]
GOOD = len(NAMES)


def pack(
    base: Path,
    name: str,
    world: World,
    *,
    settings: DataConfig = DATA,
    progress: Callable[[int, int], None] = lambda *_: None,
    fewer: bool = False,
) -> str:
    """How packing ended: the number of images, or the error."""
    source = open_source(base / "data", settings)
    if fewer:
        source = dataclasses.replace(source, items=source.items[1:])
    try:
        return str(len(write_pack(source, settings, base / name, progress=progress, world=world)))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def stop(*_: int) -> None:
    raise Interrupted("stopped")


def fail(*_: int) -> None:
    raise ValueError("a bug")


def nothing(*_: int) -> None:
    """Go on."""


def process(rank: int, place: str) -> None:
    """One of two processes: packs in many ways, and writes down how each ended."""
    base, world = Path(place), World(rank, 2, rank)
    store = torch.distributed.FileStore(str(base / "store"), 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    storing.DURABLE_SECONDS = -1.0
    storing.chunk_of = lambda _: 2  # type: ignore[attr-defined]
    told = {"whole": pack(base, "whole", world)}

    told["stopped"] = pack(base, "cut", world, progress=stop if rank else nothing)
    told["journals"] = str(sorted(path.name for path in (base / ".cut.part").glob("*.jsonl")))
    world.wait()
    if rank == 0:  # continued by one process, which is stopped too
        told["alone"] = pack(base, "cut", ALONE, progress=stop)
    world.wait()
    told["continued"] = pack(base, "cut", world)

    told["refused"] = pack(base, "none", world, settings=STRICT)
    told["other data"] = pack(base, "none", world, fewer=rank == 1)
    with pack_lock(base / "none") if rank == 0 else nullcontext():
        told["held"] = pack(base, "none", world)
    told["failed"] = pack(base, "bug", world, progress=fail if rank else nothing)
    (base / f"told-{rank}.json").write_text(json.dumps(told))
    torch.distributed.destroy_process_group()


@pytest.fixture
def told(plant: Plant, tmp_path: Path) -> list[dict[str, str]]:
    """What each of two processes says of packing the same data together."""
    plant(*NAMES, **BAD)
    torch.multiprocessing.spawn(process, (str(tmp_path),), nprocs=2)
    return [json.loads((tmp_path / f"told-{rank}.json").read_text()) for rank in (0, 1)]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_two_processes_pack_as_one(told: list[dict[str, str]], tmp_path: Path) -> None:
    """Whole, or stopped in one, continued by one and completed by two: the same bytes.

    A refusal, other data, a lock that is held or a bug in one process is an error in both.
    """
    assert pack(tmp_path, "one", ALONE) == str(GOOD)
    for one in told:
        assert one["whole"] == one["continued"] == str(GOOD)
        assert one["stopped"] == "Interrupted: stopped"
        assert one["journals"] == "['0.jsonl', '1.jsonl']"
        assert one["refused"].startswith("InputError: too many files cannot be used")
        assert one["other data"].startswith("InputError: the processes read different data")
        assert one["held"].startswith("UsageError: another process is packing")
    assert told[0]["alone"] == "Interrupted: stopped"
    assert told[0]["failed"].startswith("MachineError: another process failed")
    assert "ValueError: a bug" in told[0]["failed"]
    assert told[1]["failed"] == "ValueError: a bug"
    for name in ("whole", "cut"):
        assert content(tmp_path / name) == content(tmp_path / "one"), name
    hidden = [name for name in os.listdir(tmp_path) if name.startswith(".")]  # noqa: PTH208
    assert hidden == [".bug.part"]
