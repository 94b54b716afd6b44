"""What a report says beside its verdict: at equal compute, of companions, of all generations together."""

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
    """A student and those before it, asked together. runs: names; accuracies in 0..1: theirs, and its own."""

    student: str
    runs: tuple[str, ...]
    accuracy: float
    alone: float


def secondary_sentences(record: JobRecord) -> list[str]:
    """One sentence for each of these that the job has."""
    return [
        *specialist_sentences(record),
        *_compute_sentence(record),
        *_beside_sentences(record),
        *_ensemble_sentence(record),
    ]


def at_equal_compute(record: JobRecord) -> Verdict | None:
    """Student minus plain training of as much compute, by seed; None where there is none of it.

    A student that teaches itself costs more than its control; the time could as well have been spent on
    longer training. Epochs therefore differ; network, images and seeds do not.
    """
    students, longer = record.of("student"), record.of("control-equal-compute")
    split = record.split()
    if not students or not longer or unequal_budgets(students, longer, split, same_epochs=False):
        return None
    return verdict_of(*pair_up(students, longer, split), split)


def peers_against_alone(record: JobRecord) -> dict[str, Verdict]:
    """Each network that learned beside the students minus itself trained alone, by seed; by its name."""
    students, split = [run for run in record.of("student") if run.beside], record.split()
    names = dict.fromkeys(name for run in students for name in run.beside)
    found = {}
    for name in names:
        own = [run for run in students if name in run.beside]
        alone = [
            run
            for run in record.of("peer-control")
            if current_run_name(run.name) == f"{name}-control-{run.seed}"
        ]
        if {run.seed for run in own} & {run.seed for run in alone}:
            found[name] = verdict_of(*pair_up(own, alone, split, companion=name), split)
    return found


def ensemble_gains(record: JobRecord) -> list[EnsembleGain]:
    """For each student with earlier generations, the accuracy of the mean of all their probabilities.

    Furlanello et al. 2018, arXiv:1805.04770: born-again network ensembles.
    """
    split, by_name = record.split(), {run.name: run for run in record.runs}
    found = []
    for student, names in record.ensembles.items():
        answers = [by_name[name].predictions[split].labelled() for name in names]
        mean = np.mean([answer.probabilities() for answer in answers], axis=0)
        labels = answers[-1].labels
        accuracy = float((mean.argmax(axis=1) == labels).mean())
        alone = float(by_name[student].predictions[split].labelled().correct().mean())
        found.append(EnsembleGain(student, tuple(names), accuracy, alone))
    return found


def _compute_sentence(record: JobRecord) -> list[str]:
    found = at_equal_compute(record)
    if found is None:
        return []
    epochs = count_of(record.of("control-equal-compute")[0].epochs, "epoch")
    return _difference(f"At equal compute, against plain training of {epochs}", found)


def _beside_sentences(record: JobRecord) -> list[str]:
    return [
        sentence
        for name, found in peers_against_alone(record).items()
        for sentence in _difference(f"{name}, against itself trained alone", found)
    ]


def _difference(against: str, found: Verdict) -> list[str]:
    if found.difference is None or found.interval is None:
        return []
    digits = decimals_for(found.interval)
    told = f"{against}: {points(found.difference, digits)} points"
    if len(found.pairs) < SEEDS_NEEDED:
        return [f"{told}; a verdict needs {SEEDS_NEEDED} seeds or more."]
    bounds = " to ".join(points(bound, digits) for bound in found.interval)
    return [f"{told} (95 % interval {bounds}) over {len(found.pairs)} seeds."]


def _ensemble_sentence(record: JobRecord) -> list[str]:
    found = ensemble_gains(record)
    if not found:
        return []
    together, alone = (
        float(np.mean([getattr(one, key) for one in found])) for key in ("accuracy", "alone")
    )
    seeds = f", mean over {len(found)} seeds" if len(found) > 1 else ""
    return [
        f"Together, by the mean of their probabilities, {len(found[0].runs)} generations reach "
        f"{percent(together)} % on the {SPLIT_WORDS[record.split()]} split, the last one alone "
        f"{percent(alone)} %{seeds}."
    ]
