"""Read the IDX files of MNIST and Fashion-MNIST: a short header, then bytes.

Source: the format note at http://yann.lecun.com/exdb/mnist (magic 0, 0, type, rank; big-endian sizes).
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import InputError

_UNSIGNED_BYTE = 8
LARGEST = 256 << 20
"""Bytes of an array; the largest of MNIST and Fashion-MNIST has 47 million."""


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read the array of unsigned bytes in an IDX file, gzipped or not: images [N, H, W] or labels [N].

    Raises:
        InputError: the file cannot be read, is not IDX, or its length is not what its header declares.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return parse_idx(file, path.name)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError("cannot read an IDX file", where=path.name, found=error) from error


def parse_idx(file: IO[bytes] | gzip.GzipFile, name: str) -> NDArray[np.uint8]:
    """Read an array from an open IDX file; no more of it is read than its header declares.

    Raises:
        InputError: see `read_idx`.
        OSError, EOFError, zlib.error: the file cannot be read or decompressed.
    """
    magic = file.read(4)
    if len(magic) < 4 or magic[:3] != bytes([0, 0, _UNSIGNED_BYTE]) or not 1 <= magic[3] <= 3:
        raise InputError("not an IDX file of bytes", where=name, found=magic.hex(" ") or "nothing")
    sizes = file.read(4 * magic[3])
    shape = tuple(int.from_bytes(sizes[at : at + 4], "big") for at in range(0, len(sizes), 4))
    length = math.prod(shape)
    if length > LARGEST:
        raise InputError(
            "an IDX file claims to be too large",
            where=name,
            found=f"shape {shape}",
            expected=f"at most {LARGEST:,} bytes",
        )
    raw = file.read(length + 1)  # read() allocates the requested size up front
    if len(sizes) != 4 * magic[3] or len(raw) != length:
        raise InputError(
            "an IDX file is truncated or too long",
            where=name,
            found=f"{len(raw)} bytes" if len(raw) <= length else f"more than {length} bytes",
            expected=f"{length} bytes for shape {shape}",
            fix="download the file again",
        )
    return np.frombuffer(raw, np.uint8).reshape(shape)
