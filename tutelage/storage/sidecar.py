"""The checksum beside a file that is deployed: `model.onnx.sha256`, which `sha256sum -c` reads as well."""

import hashlib
from pathlib import Path

from tutelage.errors import InputError
from tutelage.storage.atomic import write_bytes
from tutelage.storage.json_files import open_bounded, read_file

SUFFIX = ".sha256"
_LARGEST = 1 << 12


def write_checksum(path: Path, content: bytes) -> None:
    """Write the checksum of a file's bytes beside it.

    Raises:
        MachineError: no room, no permission.
    """
    write_bytes(
        path.with_name(path.name + SUFFIX), _line(path, hashlib.sha256(content).hexdigest())
    )


def require_checksum(path: Path) -> None:
    """Refuse a file that is not the one its checksum was written for.

    Raises:
        InputError: it, or the checksum beside it, is missing or changed.
    """
    beside = path.with_name(path.name + SUFFIX)
    expected = read_file(beside, largest=_LARGEST)
    with open_bounded(path) as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected != _line(path, found):
        raise InputError(
            "a network for deployment that is damaged",
            where=path,
            found=f"its checksum is not that in {beside.name}",
            fix="tutelage export RUN, which writes both again",
        )


def _line(path: Path, digest: str) -> bytes:
    return f"{digest}  {path.name}\n".encode("utf-8", "surrogateescape")
