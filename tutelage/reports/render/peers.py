"""The section about networks trained side by side: the student, its peers, and their ensemble."""

from pathlib import Path
from typing import NamedTuple

from tutelage.config.renamed import current_run_name
from tutelage.reports.record.files import to_record
from tutelage.reports.record.types import (
    SPLIT_WORDS,
    CostRecord,
    JobRecord,
    RunRecord,
    ScoredRecord,
)
from tutelage.reports.render.section import Section
from tutelage.reports.render.tables import accuracy_with_interval, metric_value
from tutelage.reports.wording import NONE, number, percent, points
from tutelage.storage.scores import Metrics


class PeerLine(NamedTuple):
    """One network, or the ensemble, as text."""

    run: str
    name: str
    network: str
    accuracy: str
    interval: str
    validation: str
    nll: str
    parameters: str
    alone: str
    """Accuracy of the same network trained without the others."""
    gain: str
    """Accuracy minus `alone`."""
    best: str
    """"yes" for the best of the run on validation."""


class _Member(NamedTuple):
    name: str
    model: str
    val: Metrics
    cost: CostRecord
    test: Metrics | None = None


class _Best(NamedTuple):
    name: str


class _Scores(NamedTuple):
    """What scores.json of a student with peers has besides."""

    companions: tuple[_Member, ...]
    ensemble: ScoredRecord
    best_together: _Best


def peer_sections(record: JobRecord) -> list[Section]:
    """Describe the runs with peers in one section; empty if there are none."""
    lines = peer_lines(record)
    if not lines:
        return []
    return [
        Section(
            id="peer",
            title="Learned side by side",
            head=("Run", "Member", "Network", "Accuracy (%)", "95 % interval", "Validation (%)",
                  "Negative log-likelihood", "Parameters (M)", "Alone (%)", "Gain (points)",
                  "Best on validation"),
            align="lllrlrrrrrl",
            rows={f"{line.run}/{line.name}": line for line in lines},
            note=f"Accuracy on the {SPLIT_WORDS[record.split()]} split after the last epoch. Ensemble: the "
            "mean of the probabilities of all networks of the run; it costs as much as all of them. The best "
            "network was chosen on the validation images, so its number there is a little too high. Alone: "
            "the same network with the same initial weights, images and budget, trained without the others; "
            "the student's is its control.",
        )
    ]  # fmt: skip


def peer_lines(record: JobRecord) -> list[PeerLine]:
    """List the networks of every run with peers, the student first and the ensemble last.

    Raises:
        InputError: a field of scores.json is missing or mistyped.
    """
    runs = [run for run in record.runs if run.scores.get("companions")]
    return [line for run in runs for line in _lines_of(run, record)]


def _lines_of(run: RunRecord, record: JobRecord) -> list[PeerLine]:
    scores = to_record(_Scores, run.scores, Path(run.name) / "scores.json")
    peers, alone = scores.companions, _trained_alone(record, run)
    total = run.cost.parameters + sum(peer.cost.parameters for peer in peers)
    members = [
        ("student", run.network, run.last, run.cost.parameters),
        *((p.name, p.model, ScoredRecord(p.val, p.test), p.cost.parameters) for p in peers),
        ("ensemble", "all of them", scores.ensemble, total),
    ]
    lines = []
    for name, network, scored, parameters in members:
        shown, cell = scored.on(record.split()), accuracy_with_interval(scored.on(record.split()))
        gain = None if name not in alone or cell.value is None else cell.value - alone[name]
        lines.append(
            PeerLine(
                run.name, name, network, cell.text, cell.note or NONE,
                validation=percent(scored.val["accuracy"]),
                nll=number(metric_value(shown, "nll"), 4),
                parameters=number(parameters / 1e6, 2),
                alone=percent(alone.get(name)),
                gain=points(gain),
                best="yes" if name == scores.best_together.name else "",
            )
        )  # fmt: skip
    return lines


def _trained_alone(record: JobRecord, run: RunRecord) -> dict[str, float]:
    """Find the accuracies of the networks of a run where they were trained without the others, by name."""
    pairs = [("student", own) for own in record.of("control")]
    for own in record.of("peer-control"):
        pairs.append((current_run_name(own.name).partition("-control-")[0], own))
    return {
        name: accuracy
        for name, own in pairs
        if own.seed == run.seed
        and (accuracy := metric_value(own.last.on(record.split()), "accuracy")) is not None
    }
