"""Write files that are either complete or absent: written beside the target, flushed, renamed."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.storage.disk import disk_errors
from tutelage.storage.json_files import LARGEST_JSON, parse_json, read_file


def expand_user(path: str | os.PathLike[str]) -> Path:
    """Expand `~` in a path; leave it if that user or home folder does not exist."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


_BUFFER = 1 << 20  # a network has many small tensors


class WrittenFile(NamedTuple):
    """A file that was written."""

    bytes: int
    sha256: str
    """Hexadecimal, of its bytes."""


def write_new(path: Path, chunks: Iterable[bytes | memoryview]) -> WrittenFile:
    """Write a file that must not exist yet and flush it to disk, hashing it in the same pass.

    Raises:
        OSError: the system refused to write; part of the file may then exist.
    """
    digest = hashlib.sha256()
    with path.open("xb", buffering=_BUFFER) as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
        return WrittenFile(file.tell(), digest.hexdigest())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file completely or not at all.

    Raises:
        MachineError: there is no room or no permission.
    """
    beside = _private(path, "part")
    with disk_errors(path, needed=len(content)):
        try:
            write_new(beside, [content])
            beside.replace(path)
        except BaseException:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            raise
        sync(path.parent)


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON; ValueError for NaN and infinity."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode("utf-8", "surrogateescape"))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; InputError with the file's name if that fails."""
    return parse_json(read_file(path, largest=LARGEST_JSON), path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Fill a private folder beside the target, which it replaces only if the block succeeds.

    Raises:
        MachineError: there is no room or no permission; the target is then as before.
    """
    beside, old = _private(path, "part"), _private(path, "old")
    with disk_errors(path):
        try:
            make_folder(path.parent)
            beside.mkdir()
            yield beside
            for file in beside.rglob("*"):
                sync(file)
            sync(beside)
            if path.exists():
                path.rename(old)
            try:
                beside.rename(path)
            except BaseException:  # also a second Ctrl-C
                if old.exists():
                    old.rename(path)
                raise
            sync(path.parent)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def recover_partial_writes(folder: Path) -> None:
    """Clean up what the functions above left in a folder and below it when their process was killed.

    Partial files are removed; a folder that was moved aside without being replaced is moved back. Call it
    only where no other process can be writing.
    """
    for path in sorted(folder.rglob(".*")):
        found = _PRIVATE.fullmatch(path.name)
        if found is None or path.is_symlink() or not path.exists():
            continue
        target = path.with_name(found["name"])
        if found["what"] == "old" and not target.exists():
            path.rename(target)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def is_private(path: Path) -> bool:
    """Return whether a path is a temporary of the functions above."""
    return _PRIVATE.fullmatch(path.name) is not None


_PRIVATE = re.compile(r"\.(?P<name>.+)\.\d+-[0-9a-f]{8}\.(?P<what>part|old)", re.DOTALL)


def _private(path: Path, what: str) -> Path:
    """Name a temporary beside a path, unique to this call; see `recover_partial_writes`."""
    return path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.{what}")


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, and flush their names to disk."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        sync(one.parent)


def sync(path: Path) -> None:
    """Flush a file's bytes, or a folder's names, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
