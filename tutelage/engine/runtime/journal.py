"""The event log of a run (`journal.jsonl`): one JSON object a line, for tools.

The journal holds no wall-clock figures, so that two equal runs have equal journals.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tutelage.errors import InputError
from tutelage.storage.disk import disk_errors


class JournalObserver(Protocol):
    """Follow an event log: the trackers of a run do."""

    def rewound(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Start from the events that the journal holds now: none in a new run."""

    def written(self, event: Mapping[str, Any]) -> None:
        """Take the event that the journal has just added."""

    def closed(self) -> None:
        """End: the run is finished, or stopped for now."""


class EventLog:
    """Append events to a file; `position` and `rewind` keep it in step with a checkpoint.

    Args:
        path: the file.
        observer: follows what is written.

    Raises:
        MachineError: the file cannot be written; so does every function that writes.
    """

    def __init__(self, path: Path, *, observer: JournalObserver | None = None) -> None:
        self._path, self._observer = path, observer
        with disk_errors(path):
            self._file = path.open("ab", buffering=0)

    def write(self, event: str, **facts: Any) -> None:
        """Add one line, handed to the system at once."""
        added = {"event": event, **facts}
        line = json.dumps(added, ensure_ascii=False, allow_nan=False) + "\n"
        left = line.encode("utf-8", "surrogateescape")
        with disk_errors(self._path, needed=len(left)):
            while left:
                left = left[self._file.write(left) :]
        if self._observer is not None:
            self._observer.written(added)

    def position(self) -> int:
        """Return the bytes written so far."""
        return os.fstat(self._file.fileno()).st_size

    def sync(self) -> None:
        """Flush all lines to the disk."""
        with disk_errors(self._path):
            os.fsync(self._file.fileno())

    def rewind(self, position: int) -> None:
        """Drop what was written after a checkpoint that is now continued.

        Raises:
            InputError: the file ends before it.
        """
        if self.position() < position:
            raise InputError(
                "the journal ends before the checkpoint that is to be continued",
                where=self._path,
                found=f"{self.position():,} bytes",
                expected=f"at least {position:,} bytes",
                fix="take the run's folder of checkpoints away to begin this run anew",
            )
        with disk_errors(self._path):
            self._file.truncate(position)
        if self._observer is not None:
            self._observer.rewound(read_events(self._path))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if self._observer is not None:
            self._observer.closed()


def read_events(path: Path) -> list[dict[str, Any]]:
    """Read all complete lines of an event log; a line torn by a crash is left out."""
    events = []
    for line in path.read_bytes().splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            break
    return events


def format_terms(terms: Mapping[str, float]) -> str:
    """Format loss terms on one line.

    >>> format_terms({"label": 0.5, "kd": 1.25})
    'label 0.500  kd 1.250'
    """
    return "  ".join(f"{name} {value:.3f}" for name, value in terms.items())
