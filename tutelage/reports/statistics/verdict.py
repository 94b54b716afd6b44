"""The verdict: student minus control of equal budget, per image and per seed, last epoch.

A sentence needs three seeds. Its interval is the wider of Student's t over seeds and the paired
bootstrap over images, so neither few seeds nor few images can make a small difference look sure.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.reports.record.types import (
    SPLIT_WORDS,
    JobRecord,
    PredictionsRecord,
    RunRecord,
    Split,
)
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
    """One student and its control of the same seed; `gained` and `lost` count images."""

    seed: int
    student: str
    control: str
    student_accuracy: float
    control_accuracy: float
    difference: float
    gained: int
    lost: int


class Verdict(NamedTuple):
    """What can be said; the numbers are None where nothing was paired, shares in -1..1."""

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
    """Whether distillation helped, and how sure that is."""
    split = record.split()
    students, controls = record.of("student"), record.of("control")
    if not students:
        return _nothing("no student", split, "There is no distilled student among these runs.")
    if not controls:
        return _nothing(
            "no control",
            split,
            "No control was trained, so nothing can be said about whether distillation helped.",
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
    companion: str | None = None,
) -> tuple[tuple[SeedPair, ...], NDArray[np.float64]]:
    """Students and controls of the same seed, and the difference by image [N] of all of them.

    With a name of a companion, that network of each student's run is compared in the student's place.
    """
    by_seed = {run.seed: run for run in controls}
    paired = [(run, by_seed[run.seed]) for run in students if run.seed in by_seed]
    said = [s.predictions if companion is None else s.beside[companion] for s, _ in paired]
    answers = [
        (own[split].labelled(), control.predictions[split].labelled())
        for own, (_, control) in zip(said, paired, strict=True)
    ]
    pairs = tuple(
        _pair(run, control, *correct)
        for (run, control), correct in zip(paired, map(_both_correct, answers), strict=True)
    )
    return pairs, difference_by_image(answers)


def difference_by_image(
    answers: Sequence[tuple[PredictionsRecord, PredictionsRecord]],
) -> NDArray[np.float64]:
    """Mean over seeds of student correct minus control correct, [N] in -1..1."""
    rows = [s.correct().astype(np.float64) - c.correct() for s, c in answers]
    return np.asarray(np.mean(rows, axis=0), dtype=np.float64)


def verdict_of(
    pairs: tuple[SeedPair, ...],
    by_image: NDArray[np.float64],
    split: Split,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Verdict:
    """The verdict from the paired differences: [K] over seeds, `by_image` [N] over images."""
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
    """Decimals of a percentage point: two where the interval is narrower than one point."""
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
    """Why no pair is fair, or nothing; with `same_epochs` also where one was trained for longer."""
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


def _both_correct(
    answers: tuple[PredictionsRecord, PredictionsRecord],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return answers[0].correct(), answers[1].correct()


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
