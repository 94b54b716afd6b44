"""What a report says beside its verdict: the student at equal compute, and all its generations together."""

from typing import NamedTuple

import numpy as np

from tutelage.reports.compare import SEEDS_NEEDED, Verdict, decimals_for, judge, pair_up, unequal
from tutelage.reports.facts import SPLIT_WORDS, Record
from tutelage.reports.wording import count_of, percent, points


class Ensemble(NamedTuple):
    """A student and those before it, asked together. runs: names; accuracies in 0..1: theirs, and its own."""

    student: str
    runs: tuple[str, ...]
    accuracy: float
    alone: float


def further_sentences(record: Record) -> list[str]:
    """One sentence for each of these that the job has."""
    return [*_compute_sentence(record), *_ensemble_sentence(record)]


def at_equal_compute(record: Record) -> Verdict | None:
    """Student minus plain training of as much compute, by seed; None where there is none of it.

    A student that teaches itself costs more than its control; the time could as well have been spent on
    longer training. Epochs therefore differ; network, images and seeds do not.
    """
    students, longer = record.of("student"), record.of("longer")
    split = record.split()
    if not students or not longer or unequal(students, longer, split, same_epochs=False):
        return None
    return judge(*pair_up(students, longer, split), split)


def ensembles(record: Record) -> list[Ensemble]:
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
        found.append(Ensemble(student, tuple(names), accuracy, alone))
    return found


def _compute_sentence(record: Record) -> list[str]:
    found = at_equal_compute(record)
    if found is None or found.difference is None or found.interval is None:
        return []
    digits = decimals_for(found.interval)
    epochs = record.of("longer")[0].epochs
    against = (
        f"At equal compute, against plain training of {count_of(epochs, 'epoch')}: "
        f"{points(found.difference, digits)} points"
    )
    if len(found.pairs) < SEEDS_NEEDED:
        return [f"{against}; a verdict needs {SEEDS_NEEDED} seeds or more."]
    bounds = " to ".join(points(bound, digits) for bound in found.interval)
    return [f"{against} (95 % interval {bounds}) over {len(found.pairs)} seeds."]


def _ensemble_sentence(record: Record) -> list[str]:
    found = ensembles(record)
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
