"""What of a folder would be left if the power failed now: a model of a disk that keeps only what was flushed.

Bytes of a file are safe when the file was flushed, its name when the folder that holds it was. What was not
may be there or not, folder by folder, and bytes that are missing may be cut off or be zeros: a rename can
reach a disk before the bytes of what was renamed.
"""

import os
import random
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    """What a name in a folder stands for."""

    number: int
    is_folder: bool


class Disk:
    """Sees each flush of this process; `left` writes down what could be left of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bytes: dict[int, bytes] = {}
        self._names: dict[int, dict[str, Entry]] = {}
        self._open: dict[
            int, int
        ] = {}  # so that the number of a file that is removed is not given again

    def install(self) -> "Disk":
        """See flushes from now on."""
        real: Callable[[int], None] = os.fsync

        def fsync(handle: int) -> None:
            real(handle)
            self._flushed(handle)

        os.fsync = fsync  # type: ignore[assignment]
        return self

    def _flushed(self, handle: int) -> None:
        status = os.fstat(handle)
        place = Path(f"/proc/self/fd/{handle}")
        if not place.resolve().is_relative_to(self._folder.resolve()):
            return
        if stat.S_ISDIR(status.st_mode):
            self._names[status.st_ino] = _listed(place)
        else:
            self._bytes[status.st_ino] = place.read_bytes()
        if status.st_ino not in self._open:
            self._open[status.st_ino] = os.dup(handle)

    def left(self) -> Iterator[dict[str, bytes | None]]:
        """Each thing that could be left, as bytes by relative path; None for a folder."""
        now = {path.stat().st_ino: path for path in (self._folder, *self._folder.rglob("*"))}
        dice = random.Random(len(self._bytes) + len(self._names))
        whole, none = (lambda: True), (lambda: False)
        for every_name in (none, whole, lambda: dice.random() < 0.5):
            for filled in (_all, _cut, _zeros):
                found: dict[str, bytes | None] = {}
                self._collect(self._folder.stat().st_ino, "", now, every_name, filled, found)
                yield found

    def _collect(
        self,
        number: int,
        path: str,
        now: dict[int, Path],
        every_name: Callable[[], bool],
        filled: Callable[[bytes, bytes], bytes],
        found: dict[str, bytes | None],
    ) -> None:
        flushed = self._names.get(number, {})
        names = _listed(now[number]) if number in now and every_name() else flushed
        for name, entry in names.items():
            inner = f"{path}{name}"
            if entry.is_folder:
                found[inner] = None
                self._collect(entry.number, f"{inner}/", now, every_name, filled, found)
            else:
                safe = self._bytes.get(entry.number, b"")
                written = now[entry.number].read_bytes() if entry.number in now else safe
                found[inner] = filled(safe, written)


def write_down(left: dict[str, bytes | None], folder: Path) -> None:
    """Make a folder that holds what is left."""
    folder.mkdir(parents=True)
    for name, content in left.items():
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)


def _listed(folder: Path) -> dict[str, Entry]:
    with os.scandir(folder) as entries:
        return {entry.name: Entry(entry.inode(), entry.is_dir()) for entry in entries}


def _all(_safe: bytes, written: bytes) -> bytes:
    return written


def _cut(safe: bytes, _written: bytes) -> bytes:
    return safe


def _zeros(safe: bytes, written: bytes) -> bytes:
    return safe + bytes(max(0, len(written) - len(safe)))
