"""A pack in the making: a folder beside its place, which the next run finds and continues.

identity.json what is being packed, and with which decoder images.bin uint8 [slots, S, S, 3]: one slot for
each image, filled in any order R.jsonl the images that process R has decoded; see `entries` closing the gaps
in images.bin are being closed: slots are no longer where they were pack/ the finished files, gathered for the
last step
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.data.pack.compact import compact
from tutelage.data.pack.entries import Entry, StoredEntry, read_entries
from tutelage.errors import InputError
from tutelage.storage.atomic import read_json, write_bytes, write_json


@dataclass(frozen=True, slots=True)
class PartialPack:
    """The folder of a pack in the making."""

    folder: Path
    slots: int
    """Number of images."""
    slot_bytes: int
    """Bytes of one image."""

    @property
    def images(self) -> Path:
        """The file of slots."""
        return self.folder / "images.bin"

    @property
    def gathered(self) -> Path:
        """Where the finished files are collected until they are complete."""
        return self.folder / "pack"

    @property
    def _identity(self) -> Path:
        return self.folder / "identity.json"

    @property
    def _closing(self) -> Path:
        return self.folder / "closing"

    def journal(self, rank: int) -> Path:
        """Return the journal of one process."""
        return self.folder / f"{rank}.jsonl"

    def entries(self) -> dict[int, Entry]:
        """Return what is known already, by slot, from all processes and runs."""
        journals = sorted(self.folder.glob("*.jsonl"))
        found = (one for path in journals for one in read_entries(path, self.slots)[0])
        return {one.slot: one for one in found}

    def resume_or_start(self, identity: Mapping[str, Any]) -> None:
        """Continue an earlier attempt at the same pack; otherwise start again."""
        finished = self.gathered / self.images.name
        if finished.is_file():
            finished.replace(self.images)
        if not self._is(identity) or (self._closing.exists() and not self.close(again=True)):
            self._begin(identity)
        for path in self.folder.glob("*.jsonl"):
            _, length = read_entries(path, self.slots)
            os.truncate(path, length)

    def _is(self, identity: Mapping[str, Any]) -> bool:
        if self.folder.is_symlink() or not self.images.is_file():
            return False
        try:
            same = read_json(self._identity) == dict(identity)
        except InputError:
            return False
        whole = self.images.stat().st_size == self.slots * self.slot_bytes
        return same and (whole or self._closing.exists())

    def _begin(self, identity: Mapping[str, Any]) -> None:
        self.remove()
        self.folder.mkdir()
        with self.images.open("wb") as file:
            file.truncate(self.slots * self.slot_bytes)
        write_json(self._identity, dict(identity))

    def close(self, *, again: bool = False) -> bool:
        """Close the gaps in the file of slots once every image is known; return False if one is lost."""
        known = self.entries()
        kept = [one for _, one in sorted(known.items()) if isinstance(one, StoredEntry)]
        if len(known) < self.slots:
            return False
        if len(kept) == self.slots or (self._closing.exists() and not again):
            return True
        write_bytes(self._closing, b"")
        return compact(self.images, kept, self.slot_bytes, again=again)

    def missing_bytes(self) -> int:
        """Return the bytes of slots for which no disk space has been allocated yet."""
        status = self.images.stat()
        return max(0, self.slots * self.slot_bytes - getattr(status, "st_blocks", 0) * 512)

    def remove(self) -> None:
        """Remove the folder, its identity first, so that a partly removed one is never continued."""
        if self.folder.is_symlink() or self.folder.is_file():
            self.folder.unlink()
        elif self.folder.exists():
            self._identity.unlink(missing_ok=True)
            shutil.rmtree(self.folder)


def partial_folder(folder: Path) -> Path:
    """Return where the pack that is to become `folder` is made."""
    return folder.parent / f".{folder.name}.part"
