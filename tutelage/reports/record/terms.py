"""Read from a run's journal which loss terms it had, where they looked and how hard they pulled."""

from collections.abc import Sequence

from tutelage.reports.record.fields import Fields
from tutelage.reports.record.types import PullRecord, TermRecord
from tutelage.reports.wording import plain


def read_loss_terms(events: Sequence[Fields]) -> tuple[TermRecord, ...]:
    """The terms of a run from its journal; none where an older version wrote it.

    Raises:
        InputError: a field is not what it should be.
    """
    begin = next((event for event in events if event.plain.get("event") == "begin"), None)
    if begin is None or not begin.plain.get("terms"):
        return ()
    return tuple(
        TermRecord(
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


def _pulls(events: Sequence[Fields], term: str) -> tuple[PullRecord, ...]:
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
        pulls[epoch] = PullRecord(
            value=train.table("terms").optional_number(term),
            share=shares.optional_number(term) if shares else None,
            gradient=norms.get(epoch),
        )
    return tuple(pulls[epoch] for epoch in sorted(pulls))
