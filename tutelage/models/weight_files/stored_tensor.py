"""Recognize the tensors among the plain data of a PyTorch file; numbers are read when they are wanted."""

import io
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tutelage.models.weight_files.inert_pickle import STORAGE, Inert, Reference
from tutelage.models.weight_files.torch_file import KINDS, ReadStorage, dtype_of, open_pickles

_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in KINDS.values()}
_REBUILT = re.compile(r"torch\._utils _rebuild_tensor(_v2|_v3)?")
_WRAPPED = re.compile(r"torch\._utils _rebuild_parameter(_with_state)?")
_DERIVED = "torch._tensor _rebuild_from_type_v2"
_MOST_WRAPPINGS = 8


class StoredTensor(NamedTuple):
    """A tensor of a file, not read yet."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]
    """Read its numbers.

    Raises:
        ValueError: the file does not hold them all.
    """


def stored_tensor(value: object, read: ReadStorage) -> StoredTensor | None:
    """Return the tensor that a value of a file stands for; None: it stands for none, or not a plain one.

    Args:
        value: of `TorchFile.content`.
        read: `TorchFile.read`.
    """
    for _ in range(_MOST_WRAPPINGS):
        if not isinstance(value, Inert):
            return None
        name, given = value.name, value.arguments
        if _WRAPPED.fullmatch(name) and given:
            value = given[0]
        elif name == _DERIVED and len(given) > 2 and isinstance(given[2], tuple):
            value = Inert(str(given[0])[:100], given[2])
        elif _REBUILT.fullmatch(name) and len(given) > 3:
            return _plain_tensor(given, read)
        else:
            return None
    return None


def _plain_tensor(given: tuple[Any, ...], read: ReadStorage) -> StoredTensor | None:
    storage, offset, shape, stride = given[:4]
    numbers = [offset, *shape, *stride]
    if len(numbers) > 64 or not all(type(n) is int and n >= 0 for n in numbers):
        return None
    if isinstance(storage, Inert) and storage.name == STORAGE:
        raw = storage.arguments[0]
        storage.opened = storage.opened or open_pickles(lambda: io.BytesIO(raw))
        storage, read = storage.opened
    if not isinstance(storage, Reference) or len(storage) < 5 or storage[0] != "storage":
        return None
    kind = dtype_of(storage[1])
    named = str(given[6]).removeprefix("torch ") if len(given) > 6 else ""
    dtype = _DTYPES.get(named, kind)

    def numbers_of() -> Tensor:
        flat = read(str(storage[2]), kind)
        if len(storage) > 5 and isinstance(storage[5], tuple):  # a view of a storage
            _, first, count = storage[5]
            flat = flat[first : first + count]
        flat = flat.view(dtype)
        last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
        if math.prod(shape) > len(flat) or (math.prod(shape) and last >= len(flat)):
            raise ValueError("a tensor has more numbers than the file stores")
        return torch.as_strided(flat, tuple(shape), tuple(stride), offset)

    return StoredTensor(tuple(shape), dtype, numbers_of)
