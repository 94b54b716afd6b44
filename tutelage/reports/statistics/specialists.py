"""A generalist and its specialists: the classes of each, and what all of them say together."""

from pathlib import Path
from typing import NamedTuple

from tutelage.reports.record.fields import Fields
from tutelage.reports.record.types import SPLIT_WORDS, JobRecord, RunRecord, Split
from tutelage.reports.wording import NONE, count_of, number, percent, plain, points, spell_duration


class SpecialistLine(NamedTuple):
    """Some classes, and how many of their images are named rightly, as text."""

    classes: str
    images: str
    generalist: str
    together: str
    difference: str


class SpecialistTraining(NamedTuple):
    """One specialist, as text: its training images of its classes and of others, an epoch."""

    run: str
    network: str
    classes: str
    own: str
    others: str
    epochs: str
    total: str


class SpecialistsSummary(NamedTuple):
    """What a student was taught by; note: what must be said below the tables."""

    seats: tuple[SpecialistLine, ...]
    trained: tuple[SpecialistTraining, ...]
    note: str


def specialists_summary(record: JobRecord) -> SpecialistsSummary | None:
    """The council of the first student, which is that of all; None where nobody had one.

    Raises:
        InputError: a field of scores.json is missing or mistyped.
    """
    found = _first(record)
    if found is None:
        return None
    facts, split = found
    measured = facts.table(split)
    groups = [_names(Fields({"classes": group}, facts.where)) for group in facts.items("groups")]
    named = zip(groups, measured.tables("by_group"), strict=True)
    seats = [_seat(name, fields) for name, fields in named]
    if len(groups) > 1:
        seats.append(_seat("all of these", measured.table("in_groups")))
    together = measured.table("together")
    whole = {"generalist": measured.number("generalist"), "together": together.number("accuracy")}
    whole |= {"images": together.integer("images")}
    seats.append(_seat("all classes", Fields(whole, facts.where)))
    return SpecialistsSummary(
        tuple(seats),
        tuple(map(_trained, record.specialists)),
        _note(facts.integer("active"), split),
    )


def specialist_sentences(record: JobRecord) -> list[str]:
    """What a generalist and its specialists reach together; none where nobody had them."""
    found = specialists_summary(record)
    if found is None:
        return []
    *groups, whole = found.seats
    count = len(groups) - (len(groups) > 1)
    return [
        f"Together, the generalist and its {count_of(count, 'specialist')} name {whole.together} % of the "
        f"{SPLIT_WORDS[record.split()]} images rightly, the generalist alone {whole.generalist} %; of the "
        f"classes in groups {groups[-1].together} % and {groups[-1].generalist} %."
    ]


def _first(record: JobRecord) -> tuple[Fields, Split] | None:
    for run in record.runs:
        facts = Fields(run.scores, Path(run.name) / "scores.json").optional_table("council")
        if facts is not None:
            return facts, record.split()
    return None


def _names(group: Fields) -> str:
    return ", ".join(plain(str(name)) for name in group.items("classes"))


def _seat(classes: str, fields: Fields) -> SpecialistLine:
    alone, both = fields.optional_number("generalist"), fields.optional_number("together")
    return SpecialistLine(
        classes=classes,
        images=number(fields.integer("images"), 0),
        generalist=NONE if alone is None else percent(alone),
        together=NONE if both is None else percent(both),
        difference=NONE if alone is None or both is None else points(both - alone),
    )


def _trained(run: RunRecord) -> SpecialistTraining:
    facts = Fields(run.scores, Path(run.name) / "scores.json").table("specialist")
    return SpecialistTraining(
        run=run.name,
        network=run.published_name or run.model,
        classes=_names(facts),
        own=number(facts.integer("own"), 0),
        others=f"{facts.integer('drawn'):,} of {facts.integer('others'):,}",
        epochs=str(run.epochs),
        total=spell_duration(run.timings.total_seconds),
    )


def _note(active: int, split: Split) -> str:
    known = "the class" if active == 1 else f"one of the {active} classes"
    chosen = " They also chose the groups." if split == "val" else ""
    return (
        f"Accuracy (%) on the {SPLIT_WORDS[split]} images after the last epoch. A specialist has a class for "
        f"each of its group and one for all others; it is asked about an image where it knows {known} that "
        "the generalist thinks likeliest. Together: the distribution that contradicts all who are asked the "
        f"least, which is what the student was taught.{chosen}"
    )
