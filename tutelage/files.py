"""Files that are either whole or absent: written beside the target, flushed to disk, renamed."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tutelage.bounded import LARGEST_JSON, parse_json, read_file
from tutelage.errors import MachineError


def at_home(path: str | os.PathLike[str]) -> Path:
    """A path with `~` in place; as it is where that user or home folder does not exist."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or none.

    Raises:
        MachineError: no room, no permission.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise _machine_error(path, error) from error


def write_json(path: Path, content: Any) -> None:
    """Write JSON that a person can read; not-a-number is refused."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode("utf-8", "surrogateescape"))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; InputError naming the file where that fails."""
    return parse_json(read_file(path, largest=LARGEST_JSON), path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Fill a private folder beside the target; it takes the target's place only when all went well."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        yield beside
        for file in beside.rglob("*"):
            if file.is_file():
                _sync(file)
        old = path.with_name(f".{path.name}.{os.getpid()}.old")
        if path.exists():
            path.rename(old)
        try:
            beside.rename(path)
        except BaseException:  # a second Ctrl-C too
            if old.exists():
                old.rename(path)
            raise
        _sync(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise _machine_error(path, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def settle(path: Path) -> None:
    """Clear up what a killed process left of `whole_folder`: a folder moved aside is put back.

    Only where no other process can be writing the same folder.
    """
    for old in sorted(path.parent.glob(f".{path.name}.*.old")):
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(path)
    for part in path.parent.glob(f".{path.name}.*.part"):
        shutil.rmtree(part, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _machine_error(path: Path, error: OSError) -> MachineError:
    free = shutil.disk_usage(path.parent).free if path.parent.exists() else 0
    return MachineError(
        f"cannot write {path.name}",
        where=path.parent,
        found=f"{error.strerror}; {free / 1e6:.0f} MB free",
        fix="make room or choose another --out, then the same command with --resume",
    )
