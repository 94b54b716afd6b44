"""The checksum file beside an exported file, such as `model.onnx.sha256`; `sha256sum -c` reads it too."""

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
        MachineError: there is no room or no permission.
    """
    write_bytes(
        path.with_name(path.name + SUFFIX), _line(path, hashlib.sha256(content).hexdigest())
    )


def require_checksum(path: Path) -> None:
    """Verify a file by the checksum beside it.

    Raises:
        InputError: the file or its checksum is missing or changed.
    """
    beside = path.with_name(path.name + SUFFIX)
    expected = read_file(beside, largest=_LARGEST)
    with open_bounded(path) as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected != _line(path, found):
        raise InputError(
            "an exported network that is damaged",
            where=path,
            found=f"its checksum is not that in {beside.name}",
            fix="tutelage export RUN writes both again",
        )


def _line(path: Path, digest: str) -> bytes:
    return f"{digest}  {path.name}\n".encode("utf-8", "surrogateescape")
