"""What a student was taught by: each term's points and adapters, its value, its share, how hard it pulls."""

from collections.abc import Sequence
from typing import NamedTuple

from tutelage.reports.facts import Pull, Record, Run, TermFacts
from tutelage.reports.files import Fields
from tutelage.reports.wording import NONE, plain


class TermLine(NamedTuple):
    """One term of the students' objective as text; from the first epoch to the last where it says so."""

    name: str
    weight: str
    value: str
    share: str
    gradient: str
    where: tuple[str, ...]
    adapters: str


class Lesson(NamedTuple):
    """The terms of one run, which stands for all with the same settings."""

    run: str
    lines: tuple[TermLine, ...]
    looks_inside: bool


def read_terms(events: Sequence[Fields]) -> tuple[TermFacts, ...]:
    """The terms of a run from its journal; none where an older version wrote it.

    Raises:
        InputError: a field is not what it should be.
    """
    begin = next((event for event in events if event.plain.get("event") == "begin"), None)
    if begin is None or not begin.plain.get("terms"):
        return ()
    return tuple(
        TermFacts(
            name=plain(term.text("name")),
            weight=term.number("weight"),
            points=tuple(map(_point, term.tables("points"))),
            adapters=tuple(plain(str(adapter)) for adapter in term.items("adapters")),
            parameters=term.integer("parameters"),
            pulls=_pulls(events, term.text("name")),
        )
        for term in begin.tables("terms")
    )


def _point(point: Fields) -> str:
    sides = []
    for role in ("student", "teacher"):
        shape = " x ".join(str(size) for size in point.items(f"{role}_shape"))
        sides.append(f"{plain(point.text(role))} [{shape}]")
    return " | ".join(sides)


def _pulls(events: Sequence[Fields], term: str) -> tuple[Pull, ...]:
    """A term at the end of each epoch, with the norm of its gradient where that was measured."""
    # Where networks are updated one after the other, each tells of its own terms.
    norms = {
        event.integer("epoch"): norm
        for event in events
        if event.plain.get("event") == "gradients"
        and (norm := event.table("norms").optional_number(term)) is not None
    }
    pulls = {}
    for event in events:
        if event.plain.get("event") != "epoch":
            continue
        train, epoch = event.table("train"), event.integer("epoch")
        shares = train.optional_table("shares")
        pulls[epoch] = Pull(
            value=train.table("terms").optional_number(term),
            share=shares.optional_number(term) if shares else None,
            gradient=norms.get(epoch),
        )
    return tuple(pulls[epoch] for epoch in sorted(pulls))


def lesson(record: Record) -> Lesson | None:
    """The terms of the first student; None where nobody was taught, or by an older version."""
    run: Run | None = next((run for run in record.of("student") if run.terms), None)
    if run is None:
        return None
    return Lesson(
        run.name,
        tuple(map(_line, run.terms)),
        any(term.points for term in run.terms),
    )


def _line(term: TermFacts) -> TermLine:
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
