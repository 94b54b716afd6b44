"""Open a PyTorch file (zip, or the form before torch 1.6, or a bare pickle) without executing anything.

What it holds is read as plain data; the numbers of a tensor are read only where the tensor is wanted, so
the state of an optimizer costs nothing.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from tutelage.models.weight_files.inert_pickle import (
    LARGEST_PICKLE,
    Reference,
    read_pickle,
)

MOST_MEMBERS = 200_000
_MAGIC = 0x1950A86A20F9469CFC6C
"""The first value of a file before torch 1.6."""
KINDS = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
    "Untyped": torch.uint8,
}

ReadStorage = Callable[[str, torch.dtype], Tensor]
"""Read the numbers of a storage, flat, by its key and type."""


class TorchFile(NamedTuple):
    """What a file holds, as plain data, and how its storages are read."""

    content: Any
    read: ReadStorage


def open_torch_file(path: Path) -> TorchFile:
    """Open a file and read its table of names.

    Raises:
        ValueError: why it is refused, as text for the user.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"PK\x03\x04"):
        return _open_zip(path)
    if head.startswith(b"\x80"):
        return open_pickles(lambda: path.open("rb"))
    return _refuse(f"it is {_kind(head, path)}")


def _kind(head: bytes, path: Path) -> str:
    if head[257:262] == b"ustar":
        return "the tar of a torch before 0.1.10"
    if path.suffix == ".onnx":
        return "an ONNX file, which holds a graph; weights are wanted"
    kinds = {b"\x1f\x8b": "gzipped", b"\x93NUMPY": "a NumPy array", b"\x89HDF": "an HDF5 file"}
    return next(
        (kind for start, kind in kinds.items() if head.startswith(start)), "no PyTorch file"
    )


def _open_zip(path: Path) -> TorchFile:
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if code := next(filter(None, map(_code, names)), None):
            _refuse(code)
        if len(members) > MOST_MEMBERS:
            _refuse(f"it has {len(members):,} members, more than {MOST_MEMBERS:,}")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            _refuse("its members are compressed, which torch.save never does")
        unpacked = sum(member.file_size for member in members)
        if unpacked > size:
            _refuse(f"it unpacks to {unpacked:,} bytes, more than its own {size:,}")
        pickles = [member for member in members if member.filename.endswith("data.pkl")]
        if len(pickles) != 1 or len(set(names)) < len(names):
            _refuse("it holds no single table of tensors")
        if pickles[0].file_size > LARGEST_PICKLE:
            _refuse(f"its table of names has {pickles[0].file_size:,} bytes")
        top = pickles[0].filename.removesuffix("data.pkl")
        if f"{top}byteorder" in names and archive.read(f"{top}byteorder") != b"little":
            _refuse("its numbers are big-endian")
        places = {member.filename: member for member in members}
        content, _ = read_pickle(io.BytesIO(archive.read(pickles[0])))

    @lru_cache(maxsize=1)  # tensors of one storage follow one another
    def read(key: str, dtype: torch.dtype) -> Tensor:
        return _flat(_read_member(path, places[f"{top}data/{key}"]), dtype)

    return TorchFile(content, read)


def _read_member(path: Path, member: zipfile.ZipInfo) -> bytes:
    """Read a stored member without reading the list of all members again."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(30)
        file.seek(sum(struct.unpack("<HH", header[26:30])), 1)  # its name and extra field again
        raw = file.read(member.file_size)
    if header[:4] != b"PK\x03\x04" or zlib.crc32(raw) != member.CRC:
        _refuse(f"{member.filename} is damaged")
    return raw


def _code(name: str) -> str | None:
    """Return what a member of this name makes of the whole file, where that is a program."""
    parts = name.split("/")
    if "constants.pkl" in parts or "code" in parts[1:2]:
        return "it is TorchScript, a program: save the state_dict() of its network instead"
    if parts[-1].endswith("exported_program.json") or parts[-1] == "archive_format":
        return "it is an exported program (pt2), which holds code"
    if name.endswith(".npy"):
        return (
            "it is a NumPy archive: torch.save its tables as tensors, by the names of the network"
        )
    return None


def open_pickles(reopen: Callable[[], IO[bytes]]) -> TorchFile:
    """Open the form before torch 1.6: five pickles, then the storages; or one bare pickle."""
    with reopen() as file:
        first, _ = _next_pickle(file)
        if first != _MAGIC:
            return TorchFile(first, _no_storage)
        _next_pickle(file)  # the protocol's number
        system, _ = _next_pickle(file)
        if isinstance(system, dict) and system.get("little_endian") is False:
            _refuse("its numbers are big-endian")
        content, references = _next_pickle(file)
        keys, _ = _next_pickle(file)
        kinds = {str(one[2]): dtype_of(one[1]) for one in references if len(one) > 4}
        places = _places(file, [str(key) for key in keys], kinds)

    @lru_cache(maxsize=1)  # tensors of one storage follow one another
    def read(key: str, dtype: torch.dtype) -> Tensor:
        start, length = places[key]
        with reopen() as file:
            file.seek(start)
            return _flat(file.read(length), dtype)

    return TorchFile(content, read)


def _next_pickle(file: IO[bytes]) -> tuple[Any, list[Reference]]:
    start = file.tell()
    window = io.BytesIO(file.read(LARGEST_PICKLE))
    found = read_pickle(window)
    file.seek(start + window.tell())
    return found


def _places(
    file: IO[bytes], keys: list[str], kinds: dict[str, torch.dtype]
) -> dict[str, tuple[int, int]]:
    """Find where the storages begin, in the order in which they follow, and their lengths in bytes."""
    at = file.tell()
    end = file.seek(0, 2)
    places = {}
    for key in keys:
        file.seek(at)
        length = int.from_bytes(file.read(8), "little") * kinds[key].itemsize
        if at + 8 + length > end:
            _refuse(f"it claims {length:,} bytes more, and is cut short")
        places[key] = (at + 8, length)
        at += 8 + length
    return places


def _no_storage(key: str, _: torch.dtype) -> Tensor:
    return _refuse(f"the numbers of {key[:40]} are not in it")


def _flat(raw: bytes, dtype: torch.dtype) -> Tensor:
    if len(raw) < dtype.itemsize:
        return torch.empty(0, dtype=dtype)
    return torch.frombuffer(bytearray(raw), dtype=dtype, count=len(raw) // dtype.itemsize)


def dtype_of(storage_type: object) -> torch.dtype:
    """Return the type of the numbers of a storage, by the name of its class.

    Raises:
        ValueError: torch has no such kind, or it is no plain one.
    """
    name = str(storage_type).rpartition(" ")[2].removesuffix("Storage")
    if name not in KINDS:
        _refuse(f"it has numbers of the kind {name[:40]}")
    return KINDS[name]


def _refuse(why: str) -> NoReturn:
    raise ValueError(why)
