"""The verdict: pairing, the wider interval, and when nothing may be said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tutelage.reports.record.read import read_job
from tutelage.reports.record.types import JobRecord, RunRecord
from tutelage.reports.statistics.verdict import SeedPair, Verdict, compare_runs, verdict_of


@pytest.fixture(scope="module")
def record(job: Path) -> JobRecord:
    return read_job(job)


def pairs_of(*differences: float) -> tuple[SeedPair, ...]:
    return tuple(
        SeedPair(seed, f"s{seed}", f"c{seed}", 0.5 + d, 0.5, d, 0, 0)
        for seed, d in enumerate(differences)
    )


def by_image(plus: int, minus: int, count: int) -> np.ndarray:
    return np.array([1.0] * plus + [-1.0] * minus + [0.0] * (count - plus - minus))


def judged(differences: tuple[float, ...], plus: int, minus: int) -> Verdict:
    return verdict_of(pairs_of(*differences), by_image(plus, minus, 1000), "val")


def without(record: JobRecord, *names: str) -> JobRecord:
    return replace(record, runs=tuple(run for run in record.runs if run.name not in names))


def test_differences_equal_a_slow_loop(record: JobRecord) -> None:
    """Per seed: images gained less images lost, over all; then the mean over seeds."""
    verdict, runs = compare_runs(record), {run.name: run for run in record.runs}
    for pair in verdict.pairs:
        ours, theirs = (runs[n].predictions["val"] for n in (pair.student, pair.control))
        gained = lost = 0
        for image in range(len(ours.ids)):
            right = max(range(10), key=lambda k: ours.logits[image, k]) == ours.labels[image]
            other = max(range(10), key=lambda k: theirs.logits[image, k]) == theirs.labels[image]
            gained += right and not other
            lost += other and not right
        assert (pair.gained, pair.lost) == (gained, lost)
        assert pair.difference == pytest.approx((gained - lost) / len(ours.ids))
        assert pair.student_accuracy == pytest.approx(runs[pair.student].last.val["accuracy"])
    differences = [pair.difference for pair in verdict.pairs]
    assert verdict.difference == pytest.approx(sum(differences) / 3)
    assert verdict.deviation == pytest.approx(np.std(differences, ddof=1))


def test_the_wider_interval_is_taken() -> None:
    """Scattered seeds make the interval over seeds rule, equal seeds that over images."""
    scattered = judged((0.10, 0.02, 0.00), 100, 60)
    assert scattered.interval == scattered.over_seeds
    equal = judged((0.04, 0.04, 0.04), 100, 60)
    assert equal.interval == equal.over_images


def test_outcomes() -> None:
    """Above zero helps, below hurts, across zero cannot be told."""
    helped = judged((0.09, 0.10, 0.11), 120, 20)
    assert helped.outcome == "helped"
    assert helped.sentence.startswith("Distillation helped: +10.0 points (95 % interval +")
    hurt = judged((-0.09, -0.10, -0.11), 20, 120)
    assert hurt.outcome == "hurt"
    assert hurt.sentence.startswith("Distillation hurt: -10.0 points (95 % interval -")
    unclear = judged((0.01, -0.01, 0.0), 50, 50)
    assert unclear.outcome == "unclear"
    assert unclear.sentence.startswith("These data cannot tell the difference from zero")


def test_an_interval_that_touches_zero_says_nothing() -> None:
    """No difference at all gives the interval 0 to 0, and no claim."""
    assert judged((0.0, 0.0, 0.0), 0, 0).outcome == "unclear"


@pytest.mark.parametrize(("differences", "word"), [((0.2,), "One seed"), ((0.2, 0.2), "Two seeds")])
def test_fewer_than_three_seeds_cannot_tell(differences: tuple[float, ...], word: str) -> None:
    """However large the difference, one or two seeds give no verdict."""
    verdict = judged(differences, 250, 50)
    assert verdict.outcome == "too few seeds"
    assert verdict.sentence.startswith(f"{word} cannot tell")


def test_never_a_claim_without_a_control(record: JobRecord) -> None:
    """Without controls, without students, and without common seeds nothing is claimed."""
    controls = [run.name for run in record.of("control")]
    students = [run.name for run in record.of("student")]
    assert compare_runs(without(record, *controls)).outcome == "no control"
    assert compare_runs(without(record, *students)).outcome == "no student"
    apart = without(record, "student-0", "control-1", "control-2")
    assert compare_runs(apart).outcome == "unequal"


def test_only_common_seeds_count(record: JobRecord) -> None:
    """A student whose control is missing is left out of the pairs."""
    assert [pair.seed for pair in compare_runs(without(record, "control-1")).pairs] == [0, 2]


def test_unequal_budgets_are_not_compared(record: JobRecord) -> None:
    """Other epochs, another network, a doubled seed or other images stop the comparison."""

    def changed(**what: object) -> JobRecord:
        runs = [replace(r, **what) if r.name == "control-0" else r for r in record.runs]  # type: ignore[arg-type]
        return replace(record, runs=tuple(runs))

    control: RunRecord = next(run for run in record.runs if run.name == "control-0")
    answers = control.predictions["val"]
    shifted = {"val": answers._replace(ids=answers.ids + 1)}
    for what in ({"epochs": 99}, {"model": "vgg11"}, {"seed": 1}, {"predictions": shifted}):
        verdict = compare_runs(changed(**what))
        assert verdict.outcome == "unequal"
        assert verdict.difference is None


def test_order_of_images_does_not_matter(record: JobRecord) -> None:
    """Runs whose predictions are stored in another order are joined by id."""
    turned = [
        replace(run, predictions={"val": type(p)(*(part[::-1] for part in p))})
        if run.role == "control"
        else run
        for run in record.runs
        for p in [run.predictions["val"]]
    ]
    assert compare_runs(replace(record, runs=tuple(turned))) == compare_runs(record)
