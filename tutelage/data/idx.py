"""The IDX files that MNIST and Fashion-MNIST come in: a short header, then bytes.

Source: the format note at http://yann.lecun.com/exdb/mnist (magic 0, 0, type, rank; big-endian
sizes).
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import InputError

_UNSIGNED_BYTE = 8
_LARGEST = 1 << 30


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of unsigned bytes in an IDX file, gzipped or not: images [N, H, W] or labels [N].

    Raises:
        InputError: the file cannot be read, is not IDX, or its length is not what its header says.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError("cannot read an IDX file", where=path.name, found=error) from error
    if len(raw) < 4 or raw[:3] != bytes([0, 0, _UNSIGNED_BYTE]):
        raise InputError(
            "not an IDX file of bytes", where=path.name, found=raw[:4].hex(" ") or "nothing"
        )
    rank = raw[3]
    start = 4 + 4 * rank
    shape = tuple(int(size) for size in np.frombuffer(raw[4:start], ">u4"))
    if len(shape) != rank or len(raw) - start != math.prod(shape):
        raise InputError(
            "an IDX file is cut short or too long",
            where=path.name,
            found=f"{max(len(raw) - start, 0)} bytes",
            expected=f"{math.prod(shape)} bytes for shape {shape}",
            fix="download the file again",
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)
