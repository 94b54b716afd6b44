"""Networks that learned side by side: the student, its companions, and what all of them say together."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tutelage.config.renamed import current_run_name
from tutelage.reports.record.fields import Fields
from tutelage.reports.record.scores import read_cost, read_metrics
from tutelage.reports.record.types import SPLIT_WORDS, JobRecord, MetricsRecord, RunRecord, Split
from tutelage.reports.render.tables import accuracy_with_interval
from tutelage.reports.wording import NONE, number, percent, plain, points


class PeerLine(NamedTuple):
    """One of those who learned together, as text.

    alone: the same network's accuracy without the others; gain: how much better it is with them; best:
    whether it was the best on validation.
    """

    run: str
    name: str
    network: str
    accuracy: str
    interval: str
    validation: str
    nll: str
    parameters: str
    alone: str
    gain: str
    best: bool


def peer_lines(record: JobRecord) -> list[PeerLine]:
    """Everyone of every run that had companions, the student first and the ensemble last.

    Raises:
        InputError: a field of scores.json is missing or mistyped.
    """
    split = record.split()
    runs = [run for run in record.runs if run.scores.get("companions")]
    return [side for run in runs for side in _of(run, split, _alone(record, run))]


def peer_note(split: Split) -> str:
    """What must be said below the table."""
    return (
        f"Accuracy on the {SPLIT_WORDS[split]} split after the last epoch. Ensemble: the mean of the "
        "probabilities of all networks of the run, which costs as much as all of them. The best of all was "
        "chosen on the validation images, so there its number is a little too high. Alone: the same network "
        "with the same first weights, images and budget, without the others; the student's is its control."
    )


def _alone(record: JobRecord, run: RunRecord) -> dict[str, MetricsRecord | None]:
    """How those of a run did where they were trained without the others, by their names."""
    found = {}
    for own in (*record.of("control"), *record.of("peer-control")):
        if own.seed == run.seed:
            found[
                "student"
                if own.role == "control"
                else current_run_name(own.name).partition("-control-")[0]
            ] = own
    return {name: own.last.on(record.split()) for name, own in found.items()}


def _of(run: RunRecord, split: Split, alone: Mapping[str, MetricsRecord | None]) -> list[PeerLine]:
    fields = Fields(run.scores, Path(run.name) / "scores.json")
    best = fields.table("best_together").text("name")
    network = run.published_name or run.model
    student = run.last.val, run.last.on(split)
    found = [_side(run, "student", network, student, run.cost.parameters, alone.get("student"))]
    total = run.cost.parameters
    for told in fields.tables("companions"):
        parameters = read_cost(told.table("cost")).parameters
        total += parameters
        name, model = plain(told.text("name")), plain(told.text("model"))
        found.append(_side(run, name, model, _metrics(told, split), parameters, alone.get(name)))
    together = _metrics(fields.table("ensemble"), split)
    found.append(_side(run, "ensemble", "all of them", together, total, None))
    return [side._replace(best=side.name == best) for side in found]


def _metrics(fields: Fields, split: Split) -> tuple[MetricsRecord, MetricsRecord | None]:
    shown = fields.optional_table(split)
    return read_metrics(fields.table("val")), read_metrics(shown) if shown else None


def _side(
    run: RunRecord,
    name: str,
    network: str,
    metrics: tuple[MetricsRecord, MetricsRecord | None],
    parameters: int,
    without: MetricsRecord | None,
) -> PeerLine:
    val, shown = metrics
    cell = accuracy_with_interval(shown)
    return PeerLine(
        run=run.name,
        name=name,
        network=network,
        accuracy=cell.text,
        interval=cell.note or NONE,
        validation=percent(val.accuracy),
        nll=NONE if shown is None else number(shown.nll, 4),
        parameters=number(parameters / 1e6, 2),
        alone=NONE if without is None else percent(without.accuracy),
        gain=NONE
        if without is None or shown is None
        else points(shown.accuracy - without.accuracy, 1),
        best=False,
    )
