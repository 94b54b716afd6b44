"""Read a run's journal: its epochs, loss terms and notes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from tutelage.reports.record.files import json_lines, to_record
from tutelage.reports.record.types import EpochRecord, PullRecord, TermRecord

T = TypeVar("T")


class Journal(NamedTuple):
    """The journal of one run, as far as a report shows it."""

    epochs: tuple[EpochRecord, ...]
    terms: tuple[TermRecord, ...]
    """Empty in runs of older versions."""
    notes: tuple[str, ...]


class _Begin(NamedTuple):
    terms: tuple[TermRecord, ...] = ()


class _Gradients(NamedTuple):
    epoch: int
    norms: Mapping[str, float | None]


class _Note(NamedTuple):
    text: str = ""


def read_journal(text: str, path: Path) -> Journal:
    """Parse journal.jsonl. If a resumed run wrote an epoch twice, the later line holds.

    Raises:
        InputError: a field is missing or has another type.
    """
    lines = json_lines(text, path)

    def events(kind: str, cls: type[T]) -> list[T]:
        return [
            to_record(cls, event, path, f"line {number}: ")
            for number, event in lines.items()
            if event.get("event") == kind
        ]

    by_number = {epoch.epoch: epoch for epoch in events("epoch", EpochRecord)}
    epochs = tuple(by_number[number] for number in sorted(by_number))
    begin = next(iter(events("begin", _Begin)), _Begin())
    norms = events("gradients", _Gradients)
    return Journal(
        epochs=epochs,
        terms=tuple(t._replace(pulls=_pulls(t.name, epochs, norms)) for t in begin.terms),
        notes=tuple(note.text for note in events("note", _Note)),
    )


def _pulls(
    term: str, epochs: Sequence[EpochRecord], events: Sequence[_Gradients]
) -> tuple[PullRecord, ...]:
    # Networks that are updated one after the other each write an event with their own terms.
    norms = {e.epoch: norm for e in events if (norm := e.norms.get(term)) is not None}
    return tuple(
        PullRecord(e.train.terms.get(term), e.train.shares.get(term), norms.get(e.epoch))
        for e in epochs
    )
