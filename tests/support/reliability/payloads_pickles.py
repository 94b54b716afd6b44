"""Pickles in checkpoints that are otherwise whole: every way in which one could call, import or take."""

import importlib
import io
import logging
import pickle
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from support.reliability.payloads import Action, Calls, Code, payload
from support.reliability.payloads_weights import reads, saved

BEGIN, MARK, STOP = b"\x80\x02", b"(", b"."


def weights() -> dict[str, Tensor]:
    return {"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}


def instructions(folder: Path, raw: bytes) -> Action:
    """A zip whose table of names is these instructions."""
    with zipfile.ZipFile(folder / "w.pt", "w") as archive:
        archive.writestr("w/data.pkl", raw)
        archive.writestr("w/data/0", bytes(16))
        archive.writestr("w/version", b"3")
    return reads(folder / "w.pt")


for _where in ("args", "optimizer", "callbacks"):

    @payload(f"a pickle beside whole weights: {_where}")
    def _beside(folder: Path, marker: Path, where: str = _where) -> Action:
        return saved(folder, {"state_dict": weights(), where: {"x": [Code(marker)]}})


@payload("an object that writes a file where it is made", "harmless")
def _handler(folder: Path, marker: Path) -> Action:
    return saved(folder, {"model": weights(), "log": Calls(logging.FileHandler, str(marker))})


@payload("a method that is looked up by its name", "harmless")
def _getattr(folder: Path, marker: Path) -> Action:
    class Made:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return getattr, (marker, "mkdir")

    return saved(folder, {"model": weights(), "made": Calls(map, Made(), [0o777])})


@payload("a class of a module that acts when it is imported", "harmless")
def _imported(folder: Path, marker: Path) -> Action:
    (folder / "acts_when_imported.py").write_text("class A(dict):\n    pass\n")
    sys.path.insert(0, str(folder))
    module = importlib.import_module("acts_when_imported")
    torch.save({"state_dict": weights(), "args": module.A(a=1)}, folder / "w.pt")
    del sys.modules["acts_when_imported"]
    (folder / "acts_when_imported.py").write_text(f"import os\nos.mkdir({str(marker)!r})\n")
    return reads(folder / "w.pt")


@payload("a tensor that is made by a program")
def _derived(folder: Path, marker: Path) -> Action:
    call = (
        torch._tensor._rebuild_from_type_v2,
        (Code(marker).__reduce__()[0], Tensor, (str(marker),), {}),
    )
    return saved(folder, {"weight": Calls(*call), "bias": torch.zeros(2)})


@payload("a storage that is a pickle itself")
def _storage(folder: Path, marker: Path) -> Action:
    inner = io.BytesIO()
    torch.save(Code(marker), inner, _use_new_zipfile_serialization=False)
    storage = Calls(torch.storage._load_from_bytes, inner.getvalue())
    tensor = Calls(torch._utils._rebuild_tensor_v2, storage, 0, (2, 2), (2, 1), False, {})
    (folder / "w.pkl").write_bytes(pickle.dumps({"weight": tensor, "bias": torch.zeros(2)}))
    return reads(folder / "w.pkl")


@payload("the same bytes opened 100,000 times")
def _often(folder: Path, _marker: Path) -> Action:
    load = b"ctorch.storage\n_load_from_bytes\nq\x01"
    text = b"B" + struct.pack("<I", 4 << 20) + bytes(4 << 20) + b"q\x02"
    once = b"h\x01h\x02\x85R0"
    return instructions(folder, BEGIN + load + b"0" + text + b"0" + 100_000 * once + b"}" + STOP)


@payload("a name of 4 MB, called 100,000 times")
def _long_name(folder: Path, _marker: Path) -> Action:
    text = b"X" + struct.pack("<I", 4 << 20) + b"a" * (4 << 20) + b"q\x01"
    return instructions(folder, BEGIN + text + b"0" + 100_000 * b"h\x01h\x01\x93)R0" + b"}" + STOP)


@payload("60 million instructions")
def _many(folder: Path, _marker: Path) -> Action:
    return instructions(folder, BEGIN + (60 << 20) * b"]" + STOP)


for _name, _raw in {
    "a list in itself": b"]q\x01h\x01a",
    "a table in itself": b"}q\x01X\x01\0\0\0ah\x01s",
    "lists in lists, a million deep": 1_000_000 * b"(" + 1_000_000 * b"l",
    "tables in tables": 300_000 * b"}X\x01\0\0\0a" + b"N" + 300_000 * b"s",
    "an instruction of an extension": b"\x82\x01",
    "a buffer from elsewhere": b"\x97",
    "a memo that was never filled": b"h\x09",
    "an empty stack": b"0000R",
    "a mark that was never set": b"t",
    "a number of ten million digits": b"I" + b"9" * 10_000_000 + b"\n",
    "a long of 4 GB": b"\x8b\xff\xff\xff\x7f",
    "a text of 2^60 bytes": b"\x8d" + struct.pack("<Q", 1 << 60),
    "a persistent id of anything": b"}Q",
    "a call of nothing": b"N)R",
    "a table that is a number": b"K\x01K\x02K\x03s",
}.items():

    @payload(f"a table of names with {_name}")
    def _odd(folder: Path, _marker: Path, raw: bytes = _raw) -> Action:
        return instructions(folder, BEGIN + raw + STOP)


for _name, _sizes in {
    "2^62 numbers": ((0,), (1 << 62,), (1,)),
    "a negative stride": ((0,), (2, 2), (-1, 1)),
    "an offset beyond its storage": ((1 << 40,), (2, 2), (2, 1)),
    "a stride beyond its storage": ((0,), (2, 2), (1 << 61, 1)),
    "a thousand dimensions": ((0,), (1,) * 1000, (1,) * 1000),
    "more strides than sides": ((0,), (2, 2), (2, 1, 1)),
    "sides that are texts": ((0,), ("2", "2"), (2, 1)),
}.items():

    @payload(f"a tensor with {_name}")
    def _tensor(folder: Path, _marker: Path, sizes: Any = _sizes) -> Action:
        (offset,), shape, stride = sizes
        raw = (
            BEGIN + b"}X\x06\0\0\0weightctorch._utils\n_rebuild_tensor_v2\n"
            b"((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ"
        )  # fmt: skip
        parts = b"".join(pickle.dumps(part, 2)[2:-1] for part in (offset, shape, stride))
        return instructions(folder, raw + parts + b"\x89}tRs" + STOP)


@payload("a member that lies about where it is")
def _place(folder: Path, _marker: Path) -> Action:
    torch.save(weights(), folder / "w.pt")
    raw = bytearray((folder / "w.pt").read_bytes())
    at = raw.rindex(b"/data/0") - 46 - len("w")
    where = raw.rindex(b"PK\x01\x02", 0, at + 46) + 42
    raw[where : where + 4] = struct.pack("<I", len(raw) - 40)
    (folder / "w.pt").write_bytes(raw)
    return reads(folder / "w.pt")


@payload("numbers that were changed")
def _changed(folder: Path, _marker: Path) -> Action:
    torch.save({"weight": torch.full((2, 2), 3.0), "bias": torch.zeros(2)}, folder / "w.pt")
    raw = (folder / "w.pt").read_bytes()
    old = struct.pack("<4f", 3, 3, 3, 3)
    assert raw.count(old) == 1
    (folder / "w.pt").write_bytes(raw.replace(old, struct.pack("<4f", 4, 3, 3, 3)))
    return reads(folder / "w.pt")


@payload("a network whose parts are each other's")
def _cycle(folder: Path, _marker: Path) -> Action:
    one, two = torch.nn.Sequential(), torch.nn.Sequential()
    one._modules["a"], two._modules["a"] = two, one
    return saved(folder, one)
