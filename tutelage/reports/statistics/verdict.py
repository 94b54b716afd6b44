"""The verdict: student minus control of equal budget, per image and per seed, after the last epoch.

It needs three seeds. Its interval is the wider of Student's t over seeds and the paired bootstrap over
images, so neither few seeds nor few images can make a small difference look certain.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.reports.record.types import SPLIT_WORDS, JobRecord, RunRecord, Split
from tutelage.reports.statistics.intervals import (
    RESAMPLES,
    Interval,
    bootstrap_interval,
    t_interval,
)
from tutelage.reports.wording import count_of, percent, points

Outcome = Literal[
    "helped", "hurt", "unclear", "too few seeds", "no student", "no control", "unequal"
]
SEEDS_NEEDED = 3


class SeedPair(NamedTuple):
    """A student and its control of the same seed."""

    seed: int
    student: str
    control: str
    student_accuracy: float
    control_accuracy: float
    difference: float
    """Of the accuracies: student minus control."""
    gained: int
    """Images that only the student classifies correctly."""
    lost: int
    """Images that only the control classifies correctly."""


class Verdict(NamedTuple):
    """The result of a comparison; numbers are None where nothing was paired, shares in -1..1."""

    outcome: Outcome
    sentence: str
    split: Split
    images: int
    pairs: tuple[SeedPair, ...]
    difference: float | None
    deviation: float | None
    """Standard deviation of the difference over seeds."""
    interval: Interval | None
    """The wider of the next two; with one seed there is only the one over images."""
    over_seeds: Interval | None
    over_images: Interval | None


def compare_runs(record: JobRecord, *, resamples: int = RESAMPLES, seed: int = 0) -> Verdict:
    """Compare students with controls of equal budget: whether distillation helped, and how sure that is."""
    split = record.split()
    students, controls = record.of("student"), record.of("control")
    if not students:
        return _nothing("no student", split, "There is no distilled student among these runs.")
    if not controls:
        return _nothing(
            "no control",
            split,
            "No control was trained, so the report cannot say whether distillation helped.",
        )
    reason = unequal_budgets(students, controls, split)
    if reason:
        return _nothing("unequal", split, f"Student and control cannot be compared: {reason}.")
    return verdict_of(*pair_up(students, controls, split), split, resamples=resamples, seed=seed)


def pair_up(
    students: Sequence[RunRecord],
    controls: Sequence[RunRecord],
    split: Split,
    *,
    peer: str | None = None,
) -> tuple[tuple[SeedPair, ...], NDArray[np.float64]]:
    """Pair students and controls of the same seed; also return their mean difference by image, [N].

    With `peer`, that network of each student's run is compared in the student's place.
    """
    by_seed = {run.seed: run for run in controls}
    paired = [(run, by_seed[run.seed]) for run in students if run.seed in by_seed]
    pairs, rows = [], []
    for run, control in paired:
        predictions = run.predictions if peer is None else run.peers[peer]
        ours, theirs = (p[split].labelled().correct() for p in (predictions, control.predictions))
        pairs.append(_pair(run, control, ours, theirs))
        rows.append(ours.astype(np.float64) - theirs)
    return tuple(pairs), np.asarray(np.mean(rows, axis=0), dtype=np.float64)


def verdict_of(
    pairs: tuple[SeedPair, ...],
    by_image: NDArray[np.float64],
    split: Split,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Verdict:
    """Compute the verdict from paired seeds and the mean difference by image, [N]."""
    differences = np.array([pair.difference for pair in pairs])
    over_images = bootstrap_interval(by_image, resamples=resamples, seed=seed)
    over_seeds = t_interval(differences) if len(pairs) > 1 else None
    interval = over_images
    if over_seeds is not None and over_seeds.width > over_images.width:
        interval = over_seeds
    outcome: Outcome = "unclear"
    if len(pairs) < SEEDS_NEEDED:
        outcome = "too few seeds"
    elif interval.lower > 0:
        outcome = "helped"
    elif interval.upper < 0:
        outcome = "hurt"
    return Verdict(
        outcome=outcome,
        sentence=_sentence(outcome, pairs, float(differences.mean()), interval, by_image, split),
        split=split,
        images=len(by_image),
        pairs=pairs,
        difference=float(differences.mean()),
        deviation=float(differences.std(ddof=1)) if len(pairs) > 1 else None,
        interval=interval,
        over_seeds=over_seeds,
        over_images=over_images,
    )


def decimals_for(interval: Interval | None) -> int:
    """Return how many decimals of a percentage point to show: two if the interval is below one point."""
    return 2 if interval is not None and interval.width < 0.01 else 1


def _sentence(
    outcome: Outcome,
    pairs: tuple[SeedPair, ...],
    difference: float,
    interval: Interval,
    by_image: NDArray[np.float64],
    split: Split,
) -> str:
    digits = decimals_for(interval)
    shown = f"{points(difference, digits)} points"
    on = count_of(len(by_image), f"{SPLIT_WORDS[split]} image")
    if outcome == "too few seeds":
        few = "One seed" if len(pairs) == 1 else "Two seeds"
        return (
            f"{few} cannot tell whether distillation helped: the difference is {shown} of accuracy "
            f"on {on}, and a verdict needs {SEEDS_NEEDED} seeds or more."
        )
    bounds = f"{points(interval.lower, digits)} to {points(interval.upper, digits)}"
    student = percent(float(np.mean([pair.student_accuracy for pair in pairs])), digits)
    control = percent(float(np.mean([pair.control_accuracy for pair in pairs])), digits)
    opening = {
        "helped": "Distillation helped",
        "hurt": "Distillation hurt",
        "unclear": "These data cannot tell the difference from zero",
    }[outcome]
    return (
        f"{opening}: {shown} (95 % interval {bounds}), student {student} % against control "
        f"{control} % accuracy over {len(pairs)} seeds on {on}."
    )


def unequal_budgets(
    students: Sequence[RunRecord],
    controls: Sequence[RunRecord],
    split: Split,
    *,
    same_epochs: bool = True,
) -> str:
    """Explain why runs cannot be compared; empty if they can. With `same_epochs`, epochs must be equal."""
    for word, runs in (("students", students), ("controls", controls)):
        if len({run.seed for run in runs}) != len(runs):
            return f"several {word} have the same seed"
    if not {run.seed for run in students} & {run.seed for run in controls}:
        return "they have no seed in common"
    runs = [*students, *controls]
    if len({run.model for run in runs}) > 1:
        return "they are different networks"
    if same_epochs and len({run.epochs for run in runs}) > 1:
        return "they were trained for different numbers of epochs"
    first = runs[0].predictions[split].labelled()
    for run in runs[1:]:
        other = run.predictions[split].labelled()
        if not (
            np.array_equal(first.ids, other.ids) and np.array_equal(first.labels, other.labels)
        ):
            return "they were measured on different images or labels"
    return "they have no labelled images" if len(first.ids) == 0 else ""


def _pair(
    run: RunRecord, control: RunRecord, ours: NDArray[np.bool_], theirs: NDArray[np.bool_]
) -> SeedPair:
    gained, lost = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    return SeedPair(
        seed=run.seed,
        student=run.name,
        control=control.name,
        student_accuracy=float(ours.mean()),
        control_accuracy=float(theirs.mean()),
        difference=(gained - lost) / len(ours),
        gained=gained,
        lost=lost,
    )


def _nothing(outcome: Outcome, split: Split, sentence: str) -> Verdict:
    return Verdict(outcome, sentence, split, 0, (), None, None, None, None, None)
