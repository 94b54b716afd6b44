"""Files that are either whole or absent: written beside the target, flushed to disk, renamed."""

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
    """A path with `~` in place; as it is where that user or home folder does not exist."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


_BUFFER = 1 << 20  # a network has many small tensors


class WrittenFile(NamedTuple):
    """A file as it was written: its length and the SHA-256 of its bytes."""

    bytes: int
    sha256: str


def write_new(path: Path, chunks: Iterable[bytes | memoryview]) -> WrittenFile:
    """Write a file that must not exist yet and flush it to the disk; hashed on the way, in one pass.

    Raises:
        OSError: whatever the system refuses; a part of the file may then be there.
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
    """Write a whole file or none.

    Raises:
        MachineError: no room, no permission.
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
    """Write JSON that a person can read; not-a-number is refused."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode("utf-8", "surrogateescape"))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; InputError naming the file where that fails."""
    return parse_json(read_file(path, largest=LARGEST_JSON), path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Fill a private folder beside the target; it takes the target's place only when all went well.

    Raises:
        MachineError: no room, no permission; what was there before is there still.
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
            except BaseException:  # a second Ctrl-C too
                if old.exists():
                    old.rename(path)
                raise
            sync(path.parent)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def recover_partial_writes(folder: Path) -> None:
    """Clear up, in a folder and below it, what killed processes left of the functions above.

    What was being written goes; a folder that was moved aside, and whose successor never came, is put back.
    Only where no other process can be writing there.
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
    """Whether a path is what the functions above write to before it takes its place."""
    return _PRIVATE.fullmatch(path.name) is not None


_PRIVATE = re.compile(r"\.(?P<name>.+)\.\d+-[0-9a-f]{8}\.(?P<what>part|old)", re.DOTALL)


def _private(path: Path, what: str) -> Path:
    """A name beside a path that no other process and no other time has; see `recover_partial_writes`."""
    return path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.{what}")


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are not there; their names are flushed to the disk."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        sync(one.parent)


def sync(path: Path) -> None:
    """Flush a file's bytes, or a folder's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
