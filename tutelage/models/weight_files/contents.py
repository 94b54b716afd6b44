"""List what a weight file holds, at any depth: its tensors by path, and what it says about its network."""

import json
import math
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from tutelage.models.weight_files.inert_pickle import Inert
from tutelage.models.weight_files.stored_tensor import StoredTensor, stored_tensor
from tutelage.models.weight_files.torch_file import ReadStorage, open_torch_file

LARGEST_HEADER = 16 << 20
"""Bytes."""
_DEEPEST = 24
_CHANNELS = re.compile(r"(image_|pixel_|norm_)?(mean|std)")
_SAYS = re.compile(
    r"(model|encoder|backbone|net|network)?_?(arch|architecture|model|name|net|network|backbone|encoder|variant)"
    r"|(image_|pixel_|norm_)?(mean|std)"
    r"|class(_)?(names|es)|class_to_idx|idx_to_class|label(_names|s)|id2label"
)
"""Last keys of the values that are kept: the name of the network, its normalization, its classes."""
_NOT_SHOWN = ("_content", "_val", "__dict__")
"""Keys by which OmegaConf wraps a value."""


class Contents(NamedTuple):
    """What a weight file holds."""

    tensors: dict[str, StoredTensor]
    """By path: the keys of all tables around it and its own name, joined by dots."""

    homes: dict[str, str]
    """The path of the table, or of the network, in which each tensor stands."""

    says: dict[str, Any]
    """By path: numbers, texts and lists of them that tell of the network."""


def list_contents(path: Path) -> Contents:
    """List the tensors of a safetensors or PyTorch file, told apart by content; none is read yet.

    Raises:
        ValueError: why it is refused, as text for the user.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(9)
    named = path.suffix == ".safetensors" and not head.startswith((b"PK", b"\x80"))
    if named or head[8:] == b"{":
        return _list_safetensors(path)
    found = open_torch_file(path)
    return list_tree(found.content, found.read)


def list_tree(content: Any, read: ReadStorage) -> Contents:
    """List the tensors of plain data, from the outermost table inwards, in the order of the file."""
    found = Contents({}, {}, {})
    seen: set[int] = set()
    waiting = [_Place("", "", content, 0, within=False, wanted=True)]
    for place in waiting:  # grows while it is read
        if place.wanted and (tensor := stored_tensor(place.value, read)) is not None:
            found.tensors[place.path] = tensor
            found.homes[place.path] = place.home
        elif isinstance(place.value, dict | list | tuple | Inert):
            _note(found.says, place.path, place.value)
            if id(place.value) not in seen and place.depth < _DEEPEST:
                seen.add(id(place.value))
                waiting += _inside(place)
        else:
            _note(found.says, place.path, place.value)
    return found


def channel_numbers(contents: Contents) -> dict[str, list[float]]:
    """Read the tensors that hold a mean or a deviation of each channel, as layers that normalize have them.

    Raises:
        ValueError: the file does not store one whole.
    """
    return {
        path: [float(number) for number in tensor.read().flatten()]
        for path, tensor in contents.tensors.items()
        if _CHANNELS.fullmatch(path.rpartition(".")[2].lower())
        and math.prod(tensor.shape) in (1, 3)
    }


class _Place(NamedTuple):
    """A value, where it lies, and whether it is part of a network, or of what tensors are taken from."""

    path: str
    home: str
    value: Any
    depth: int
    within: bool
    wanted: bool


def _inside(place: _Place) -> Iterator[_Place]:
    """List what lies in a table, a list or an object."""
    path, value, deeper = place.path, place.value, place.depth + 1
    if isinstance(value, dict):
        tables: list[Any] = [value]
    elif isinstance(value, Inert):
        tables = [value.table, *value.states]
        own = {key: table for state in value.states for key, table in state.items()}
        if isinstance(own.get("_modules"), dict) and isinstance(own.get("_parameters"), dict):
            home = place.home if place.within else path
            passing = own.pop("_non_persistent_buffers_set", None)
            for name in ("_parameters", "_buffers", "_modules"):
                table = own.pop(name, None)
                for key, inner in table.items() if isinstance(table, dict) else ():
                    if not (name == "_buffers" and isinstance(passing, list) and key in passing):
                        yield _Place(_joined(path, key), home, inner, deeper, True, place.wanted)
            yield from (
                _Place(_joined(path, key), home, inner, deeper, within=False, wanted=False)
                for key, inner in own.items()
            )
            return
    else:
        tables = [dict(enumerate(value))]
    for table in tables:
        for key, inner in table.items():
            yield _Place(_joined(path, key), path, inner, deeper, False, place.wanted)


def _joined(path: str, key: object) -> str:
    name = str(key)[:500]
    if name in _NOT_SHOWN:
        return path
    return f"{path}.{name}" if path else name


def _note(says: dict[str, Any], path: str, value: Any) -> None:
    """Keep a value that tells of the network."""
    if path in says or not _SAYS.fullmatch(path.rpartition(".")[2].lower()):
        return
    if isinstance(value, dict):
        inner: Any = value.values()
    else:
        inner = value if isinstance(value, list | tuple) else [value]
    if inner and all(isinstance(one, str | int | float) for one in inner):
        says[path] = value


def _list_safetensors(path: Path) -> Contents:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > LARGEST_HEADER:
            raise ValueError(f"its header claims {length:,} bytes, more than {LARGEST_HEADER:,}")
        header = json.loads(file.read(length), object_pairs_hook=_each_once)
    tensors = {}
    with safe_open(path, framework="pt") as opened:  # checks shapes and places
        for name in opened.keys():  # noqa: SIM118 - it is no dict
            part = opened.get_slice(name)
            tensors[name] = StoredTensor(
                tuple(part.get_shape()),
                _SAFETENSORS.get(part.get_dtype(), torch.uint8),
                partial(_read_one, path, name),
            )
    says: dict[str, Any] = {}
    for key, value in header.get("__metadata__", {}).items():
        _note(says, str(key), value)
    return Contents(tensors, dict.fromkeys(tensors, ""), says)


_SAFETENSORS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "BOOL": torch.bool,
}


def _read_one(path: Path, name: str) -> Tensor:
    with safe_open(path, framework="pt") as opened:
        tensor: Tensor = opened.get_tensor(name)
        return tensor


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("its header holds a name twice")
    return table
