"""What a report states beside its verdict: equal compute, peers, specialists, ensembles of generations."""

from typing import NamedTuple

import numpy as np

from tutelage.config.renamed import current_run_name
from tutelage.reports.record.types import SPLIT_WORDS, JobRecord
from tutelage.reports.statistics.specialists import specialist_sentences
from tutelage.reports.statistics.verdict import (
    SEEDS_NEEDED,
    Verdict,
    decimals_for,
    pair_up,
    unequal_budgets,
    verdict_of,
)
from tutelage.reports.wording import count_of, percent, points


class EnsembleGain(NamedTuple):
    """A student and the generations before it as an ensemble; accuracies in 0..1."""

    student: str
    runs: tuple[str, ...]
    """Names, the student's last."""
    accuracy: float
    """Of the ensemble."""
    alone: float
    """Of the student."""


def secondary_sentences(record: JobRecord) -> list[str]:
    """Write one sentence for each of these comparisons that the job has."""
    sentences = specialist_sentences(record)
    equal = at_equal_compute(record)
    if equal is not None:
        epochs = count_of(record.of("control-equal-compute")[0].epochs, "epoch")
        name = f"Compared with training without a teacher at equal compute ({epochs})"
        sentences += _difference(name, equal)
    for peer, found in peers_against_alone(record).items():
        sentences += _difference(f"{peer}, compared with the same network trained alone", found)
    return sentences + _ensemble_sentence(record)


def at_equal_compute(record: JobRecord) -> Verdict | None:
    """Compare students with controls of equal compute, by seed; None if there are no such controls.

    A student that is its own teacher costs more than its control, so the control may train for longer.
    Epochs therefore differ; network, images and seeds do not.
    """
    students, longer = record.of("student"), record.of("control-equal-compute")
    split = record.split()
    if not students or not longer or unequal_budgets(students, longer, split, same_epochs=False):
        return None
    return verdict_of(*pair_up(students, longer, split), split)


def peers_against_alone(record: JobRecord) -> dict[str, Verdict]:
    """Compare each peer with the same network trained alone, by seed: peer name -> verdict."""
    students, split = record.of("student"), record.split()
    found = {}
    for name in dict.fromkeys(name for run in students for name in run.peers):
        own = [run for run in students if name in run.peers]
        alone = [
            run
            for run in record.of("peer-control")
            if current_run_name(run.name) == f"{name}-control-{run.seed}"
        ]
        if {run.seed for run in own} & {run.seed for run in alone}:
            found[name] = verdict_of(*pair_up(own, alone, split, peer=name), split)
    return found


def ensemble_gains(record: JobRecord) -> list[EnsembleGain]:
    """Measure the ensemble of each student and its earlier generations: the mean of their probabilities.

    Furlanello et al. 2018, arXiv:1805.04770: born-again network ensembles.
    """
    split, by_name = record.split(), {run.name: run for run in record.runs}
    found = []
    for student, names in record.ensembles.items():
        predictions = [by_name[name].predictions[split].labelled() for name in names]
        mean = np.mean([one.probabilities() for one in predictions], axis=0)
        accuracy = float((mean.argmax(axis=1) == predictions[-1].labels).mean())
        alone = float(by_name[student].predictions[split].labelled().correct().mean())
        found.append(EnsembleGain(student, names, accuracy, alone))
    return found


def _difference(comparison: str, found: Verdict) -> list[str]:
    if found.difference is None or found.interval is None:
        return []
    digits = decimals_for(found.interval)
    text = f"{comparison}: {points(found.difference, digits)} points"
    if len(found.pairs) < SEEDS_NEEDED:
        return [f"{text}; a verdict needs {SEEDS_NEEDED} seeds or more."]
    bounds = " to ".join(points(bound, digits) for bound in found.interval)
    return [f"{text} (95 % interval {bounds}) over {len(found.pairs)} seeds."]


def _ensemble_sentence(record: JobRecord) -> list[str]:
    found = ensemble_gains(record)
    if not found:
        return []
    together = float(np.mean([gain.accuracy for gain in found]))
    alone = float(np.mean([gain.alone for gain in found]))
    seeds = f", mean over {len(found)} seeds" if len(found) > 1 else ""
    return [
        f"The ensemble of the {len(found[0].runs)} generations (mean of their probabilities) reaches "
        f"{percent(together)} % on the {SPLIT_WORDS[record.split()]} split, the last generation alone "
        f"{percent(alone)} %{seeds}."
    ]
