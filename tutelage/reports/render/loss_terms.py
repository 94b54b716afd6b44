"""What a student was taught by: each term's points and adapters, its value, its share, how hard it pulls."""

from collections.abc import Sequence
from typing import NamedTuple

from tutelage.reports.record.types import JobRecord, RunRecord, TermRecord
from tutelage.reports.wording import NONE


class TermLine(NamedTuple):
    """One term of the students' objective as text; from the first epoch to the last where it says so."""

    name: str
    weight: str
    value: str
    share: str
    gradient: str
    where: tuple[str, ...]
    adapters: str


class LossTermTable(NamedTuple):
    """The terms of one run, which stands for all with the same settings."""

    run: str
    lines: tuple[TermLine, ...]
    looks_inside: bool


def loss_term_table(record: JobRecord) -> LossTermTable | None:
    """The terms of the first student; None where nobody was taught, or by an older version."""
    run: RunRecord | None = next((run for run in record.of("student") if run.terms), None)
    if run is None:
        return None
    return LossTermTable(
        run.name,
        tuple(map(_line, run.terms)),
        any(term.points for term in run.terms),
    )


def _line(term: TermRecord) -> TermLine:
    adapters = ", ".join(term.adapters)
    if term.parameters:
        adapters = f"{adapters or 'own weights'} ({term.parameters:,} parameters)"
    return TermLine(
        name=term.name.replace("_", "-"),
        weight=f"{term.weight:.4g}",
        value=_course([pull.value for pull in term.pulls], "{:.3g}"),
        share=_course([pull.share for pull in term.pulls], "{:.1f}", 100),
        gradient=_course([pull.gradient for pull in term.pulls], "{:.2g}"),
        where=term.points,
        adapters=adapters or NONE,
    )


def _course(values: Sequence[float | None], form: str, scale: float = 1.0) -> str:
    """The first and the last value that are there."""
    known = [form.format(scale * value) for value in values if value is not None]
    if not known:
        return NONE
    return known[0] if len(known) == 1 else f"{known[0]} to {known[-1]}"
