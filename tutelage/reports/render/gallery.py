"""Choose the images to show: learned, lost, confidently wrong, and disagreed on."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.reports.record.types import JobRecord, PredictionsRecord, RunRecord, Split


class Prediction(NamedTuple):
    """The prediction of one run for one image."""

    run: str
    role: str
    predicted: int
    """Class index."""
    probability: float
    """Of that class."""


class Shown(NamedTuple):
    """One image of the gallery, with the predictions for which it was chosen."""

    id: int
    label: int
    predictions: tuple[Prediction, ...]


class Change(NamedTuple):
    """Images on which most students differ from most controls."""

    learned: int
    """Images that most students classify correctly, and most controls do not."""
    lost: int
    """The reverse."""
    learned_shown: tuple[Shown, ...]
    lost_shown: tuple[Shown, ...]


def find_changes(record: JobRecord, seeds: tuple[int, ...], split: Split, limit: int) -> Change:
    """Find the images that the students learned and the controls did not, and the reverse; paired seeds.

    *Most* is more than half of the seeds. The images shown have the widest gap in the mean probability of
    the label, among those on which the first pair of runs differs too.
    """
    students = [run for run in record.of("student") if run.seed in seeds]
    controls = [run for run in record.of("control") if run.seed in seeds]
    ours, theirs = _mean_correct(students, split), _mean_correct(controls, split)
    gap = _mean_label_probability(students, split) - _mean_label_probability(controls, split)
    learned = np.flatnonzero((ours > 0.5) & (theirs < 0.5))
    lost = np.flatnonzero((ours < 0.5) & (theirs > 0.5))
    pair = (students[0], controls[0])
    ours_first, theirs_first = (run.predictions[split].labelled().correct() for run in pair)
    first_gained, first_lost = ours_first & ~theirs_first, theirs_first & ~ours_first
    return Change(
        learned=len(learned),
        lost=len(lost),
        learned_shown=_show(_largest(learned[first_gained[learned]], gap, limit), pair, split),
        lost_shown=_show(_largest(lost[first_lost[lost]], -gap, limit), pair, split),
    )


def find_mistakes(run: RunRecord, split: Split, limit: int) -> tuple[Shown, ...]:
    """Find the wrong predictions of one run with the highest probability."""
    found = run.predictions[split].labelled()
    wrong = np.flatnonzero(~found.correct())
    return _show(_largest(wrong, found.probabilities().max(axis=1), limit), (run,), split)


def find_disagreements(
    teacher: RunRecord, student: RunRecord, split: Split, limit: int
) -> tuple[Shown, ...]:
    """Find where teacher and student predict different classes, highest product of probabilities first."""
    first, second = (run.predictions[split].labelled() for run in (teacher, student))
    if not np.array_equal(first.ids, second.ids):
        return ()
    apart = np.flatnonzero(first.predicted() != second.predicted())
    confidence = first.probabilities().max(axis=1) * second.probabilities().max(axis=1)
    return _show(_largest(apart, confidence, limit), (teacher, student), split)


def confused_pairs(confusion: NDArray[np.int64], limit: int) -> list[tuple[int, int, int]]:
    """List the largest off-diagonal cells of [C, C]: label, prediction, count; ties in class order."""
    mistakes = confusion.copy()
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:limit]
    rows, columns = np.unravel_index(order, mistakes.shape)
    return [
        (int(row), int(column), int(mistakes[row, column]))
        for row, column in zip(rows, columns, strict=True)
        if mistakes[row, column] > 0
    ]


def _mean_correct(runs: list[RunRecord], split: Split) -> NDArray[np.float64]:
    rows = [run.predictions[split].labelled().correct() for run in runs]
    return np.asarray(np.mean(rows, axis=0), dtype=np.float64)


def _mean_label_probability(runs: list[RunRecord], split: Split) -> NDArray[np.float64]:
    rows = []
    for run in runs:
        found = run.predictions[split].labelled()
        rows.append(found.probabilities()[np.arange(len(found.ids)), found.labels])
    return np.asarray(np.mean(rows, axis=0), dtype=np.float64)


def _largest(chosen: NDArray[np.int64], key: NDArray[np.float64], limit: int) -> NDArray[np.int64]:
    """Select up to `limit` of the chosen positions with the largest key, ties in order of image."""
    return chosen[np.argsort(-key[chosen], kind="stable")[:limit]]


def _show(
    positions: NDArray[np.int64], runs: tuple[RunRecord, ...], split: Split
) -> tuple[Shown, ...]:
    tables: list[PredictionsRecord] = [run.predictions[split].labelled() for run in runs]
    shown = []
    for position in positions:
        predictions = []
        for run, table in zip(runs, tables, strict=True):
            row = table.rows(slice(position, position + 1))
            predicted = int(row.predicted()[0])
            probability = float(row.probabilities()[0, predicted])
            predictions.append(Prediction(run.name, run.role, predicted, probability))
        first = tables[0]
        shown.append(
            Shown(int(first.ids[position]), int(first.labels[position]), tuple(predictions))
        )
    return tuple(shown)
