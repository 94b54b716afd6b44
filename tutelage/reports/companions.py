"""Networks that learned side by side: the student, its companions, and what all of them say together."""

from pathlib import Path
from typing import NamedTuple

from tutelage.reports.facts import SPLIT_WORDS, Metrics, Record, Run, Split
from tutelage.reports.files import Fields
from tutelage.reports.scores import read_cost, read_metrics
from tutelage.reports.tables import accuracy_with_interval
from tutelage.reports.wording import NONE, number, percent, plain


class Side(NamedTuple):
    """One of those who learned together, as text; `best`: whether it was the best on validation."""

    run: str
    name: str
    network: str
    accuracy: str
    interval: str
    validation: str
    nll: str
    parameters: str
    best: bool


def sides(record: Record) -> list[Side]:
    """Everyone of every run that had companions, the student first and the ensemble last.

    Raises:
        InputError: a field of scores.json is missing or mistyped.
    """
    split = record.split()
    runs = [run for run in record.runs if run.scores.get("companions")]
    return [side for run in runs for side in _of(run, split)]


def sides_note(split: Split) -> str:
    """What must be said below the table."""
    return (
        f"Accuracy on the {SPLIT_WORDS[split]} split after the last epoch. Ensemble: the mean of the "
        "probabilities of all networks of the run, which costs as much as all of them. The best of all was "
        "chosen on the validation images, so there its number is a little too high."
    )


def _of(run: Run, split: Split) -> list[Side]:
    fields = Fields(run.scores, Path(run.name) / "scores.json")
    best = fields.table("best_together").text("name")
    network = run.published_name or run.model
    found = [_side(run, "student", network, run.last.val, run.last.on(split), run.cost.parameters)]
    total = run.cost.parameters
    for told in fields.tables("companions"):
        parameters = read_cost(told.table("cost")).parameters
        total += parameters
        model = plain(told.text("model"))
        found.append(
            _side(run, plain(told.text("name")), model, *_metrics(told, split), parameters)
        )
    together = _metrics(fields.table("ensemble"), split)
    found.append(_side(run, "ensemble", "all of them", *together, total))
    return [side._replace(best=side.name == best) for side in found]


def _metrics(fields: Fields, split: Split) -> tuple[Metrics, Metrics | None]:
    shown = fields.optional_table(split)
    return read_metrics(fields.table("val")), read_metrics(shown) if shown else None


def _side(
    run: Run, name: str, network: str, val: Metrics, shown: Metrics | None, parameters: int
) -> Side:
    cell = accuracy_with_interval(shown)
    return Side(
        run=run.name,
        name=name,
        network=network,
        accuracy=cell.text,
        interval=cell.note or NONE,
        validation=percent(val.accuracy),
        nll=NONE if shown is None else number(shown.nll, 4),
        parameters=number(parameters / 1e6, 2),
        best=False,
    )
