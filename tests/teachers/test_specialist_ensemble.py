"""A generalist and its specialists: planted groups are found, and the combination is the minimum."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from tutelage.errors import InputError
from tutelage.methods.confusion_groups import cluster_classes, confusable_groups
from tutelage.teachers.specialist_ensemble import (
    Specialist,
    SpecialistEnsemble,
    SpecialistOutput,
    combine_outputs,
    dustbin_correction,
)
from tutelage.teachers.teacher import Teacher
from tutelage.types import START, Batch, TeacherOutput


def planted(
    groups: list[list[int]], classes: int, *, images: int = 2000, mixed: float = 0.45, seed: int = 0
) -> np.ndarray:
    """Predictions that give a class of a planted group away to the others of its group, with some noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=images)
    logits = rng.normal(0, 0.3, (images, classes))
    logits[np.arange(images), labels] += 5
    partners = {c: [other for other in group if other != c] for group in groups for c in group}
    for row, label in enumerate(labels):
        if label in partners and rng.random() < mixed:
            logits[row, rng.choice(partners[label])] += 5
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("groups", "classes", "count"),
    [
        ([[0, 1], [2, 3], [4, 5]], 6, 3),
        ([[0, 4, 8], [1, 5], [2, 3, 6, 7]], 9, 3),
        ([[3, 7], [0, 9], [1, 2], [4, 5, 6, 8]], 10, 4),
    ],
)
def test_planted_groups_are_found(
    groups: list[list[int]], classes: int, count: int, seed: int
) -> None:
    """Exactly those, whatever the noise."""
    found = confusable_groups(planted(groups, classes, seed=seed), count)
    assert found == tuple(sorted(tuple(group) for group in groups))


def test_groups_of_many_classes() -> None:
    """Twenty groups in a hundred classes, some of which are harder than others: all are found."""
    rng = np.random.default_rng(0)
    labels = rng.integers(100, size=2000)
    logits = rng.normal(0, 1, (2000, 100))
    logits[np.arange(2000), labels] += 6
    logits[np.arange(2000), labels // 5 * 5 + rng.integers(5, size=2000)] += 4
    weights = np.exp(logits * rng.uniform(0.8, 1.3))
    found = confusable_groups(weights / weights.sum(1, keepdims=True), 20)
    assert found == tuple(tuple(range(first, first + 5)) for first in range(0, 100, 5))


def test_single_classes_are_no_group() -> None:
    """A class that is mixed up with no other needs no specialist."""
    found = confusable_groups(planted([[1, 4]], 5), 4)
    assert found == ((1, 4),)


def test_groups_do_not_depend_on_the_order_of_images_or_classes() -> None:
    """Renumbered classes give the renumbered groups."""
    said = planted([[0, 4, 8], [1, 5], [2, 3, 6, 7]], 9)
    order = np.random.default_rng(1).permutation(9)
    expected = {frozenset(np.argsort(order)[list(g)].tolist()) for g in confusable_groups(said, 3)}
    found = confusable_groups(said[::-1][:, order], 3)
    assert {frozenset(group) for group in found} == expected


def test_clusters_against_every_partition() -> None:
    """On few points K-means finds the least spread there is."""
    for seed in range(5):
        points = np.random.default_rng(seed).normal(size=(7, 2))
        best = math.inf
        for number in range(2**7):
            labels = np.array([(number >> bit) & 1 for bit in range(7)])
            parts = [points[labels == side] for side in (0, 1) if (labels == side).any()]
            best = min(best, sum(((part - part.mean(0)) ** 2).sum() for part in parts))
        found = cluster_classes(points, 2)
        parts = [points[found == side] for side in np.unique(found)]
        spread = sum(((part - part.mean(0)) ** 2).sum() for part in parts)
        assert spread == pytest.approx(best, rel=1e-9)


def test_grouping_is_refused() -> None:
    """Without images, or with more groups than classes."""
    for said, count in ((np.empty((0, 4)), 2), (np.full((3, 2), 0.5), 3)):
        with pytest.raises(InputError, match="cannot be grouped"):
            confusable_groups(said, count)


# ---------------------------------------------------------------------- combination


def made(
    classes: int, groups: list[tuple[int, ...]], *, images: int = 6, seed: int = 0
) -> tuple[Tensor, list[SpecialistOutput]]:
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> Tensor:
        return 2 * torch.randn(*shape, generator=generator, dtype=torch.float64)

    opinions = [SpecialistOutput(numbers(images, len(group) + 1), group) for group in groups]
    return numbers(images, classes), opinions


def objective(
    q: np.ndarray, generalist: np.ndarray, asked: list[SpecialistOutput], row: int
) -> float:
    """Equation 5 for one image, in words: every KL divergence summed class by class."""
    total = sum(p * (math.log(p) - math.log(r)) for p, r in zip(generalist, q, strict=True))
    for opinion in asked:
        said = torch.softmax(opinion.logits[row], 0).tolist()
        for place, c in enumerate(opinion.group):
            total += said[place] * (math.log(said[place]) - math.log(q[c]))
        outside = sum(q[c] for c in range(len(q)) if c not in opinion.group)
        total += said[-1] * (math.log(said[-1]) - math.log(outside))
    return total


@pytest.mark.parametrize(
    "groups",
    [[(0, 1)], [(0, 1), (2, 3)], [(0, 1, 2), (2, 3)], [(0, 2), (1, 2, 4), (0, 4)]],
    ids=str,
)
def test_brute_force(groups: list[tuple[int, ...]]) -> None:
    """No general minimiser finds anything lower, with groups apart and overlapping; active = all classes."""
    generalist, opinions = made(5, groups)
    found = combine_outputs(generalist, opinions, active=5).exp().numpy()
    p = torch.softmax(generalist, 1).numpy()
    for row in range(len(p)):

        def at(z: np.ndarray, row: int = row) -> float:
            q = np.exp(z - z.max())
            return objective(q / q.sum(), p[row], opinions, row)

        best = min(
            minimize(at, start, method="BFGS", options={"gtol": 1e-9}).fun
            for start in (np.zeros(5), np.log(p[row]), np.random.default_rng(row).normal(size=5))
        )
        assert objective(found[row], p[row], opinions, row) <= best + 1e-8
        assert found[row].sum() == pytest.approx(1, abs=1e-12)


def test_nobody_is_asked() -> None:
    """Without specialists, and for images none of them knows, the generalist's word stands."""
    generalist, opinions = made(6, [(0, 1), (2, 3)], images=40)
    expected = generalist.log_softmax(1)
    torch.testing.assert_close(combine_outputs(generalist, []), expected, rtol=1e-12, atol=1e-12)
    found, top = combine_outputs(generalist, opinions), generalist.argmax(1)
    quiet = top >= 4
    assert quiet.any()
    torch.testing.assert_close(found[quiet], expected[quiet], rtol=1e-12, atol=1e-12)
    for number, group in enumerate(((0, 1), (2, 3))):
        asked = (top == group[0]) | (top == group[1])
        assert asked.any()
        alone = combine_outputs(
            generalist[asked], [SpecialistOutput(opinions[number].logits[asked], group)]
        )
        torch.testing.assert_close(found[asked], alone, rtol=1e-10, atol=1e-10)
        assert (found[asked] - expected[asked]).abs().max() > 0.01


def test_agreement() -> None:
    """Specialists that say what the generalist says change nothing."""
    generalist, _ = made(5, [])
    p = torch.softmax(generalist, 1)
    opinions = []
    for group in ((0, 1), (2, 4)):
        inside = p[:, list(group)]
        opinions.append(
            SpecialistOutput(torch.cat([inside, 1 - inside.sum(1, keepdim=True)], 1).log(), group)
        )
    found = combine_outputs(generalist, opinions, active=5)
    torch.testing.assert_close(found, p.log(), rtol=1e-10, atol=1e-10)


def test_closed_form() -> None:
    """One specialist for one of two classes: q is the mean of both distributions."""
    generalist, opinions = made(2, [(0,)])
    mean = (torch.softmax(generalist, 1) + torch.softmax(opinions[0].logits, 1)) / 2
    found = combine_outputs(generalist, opinions, active=2)
    torch.testing.assert_close(found.exp(), mean, rtol=1e-12, atol=1e-12)


def test_extremes() -> None:
    """Sure and contradicting, in half precision: finite, and a distribution."""
    generalist = torch.tensor([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0]], dtype=torch.float16)
    opinion = SpecialistOutput(torch.tensor([[-1e4, 1e4, -1e4], [1e4, -1e4, -1e4]]), (0, 1))
    found = combine_outputs(generalist, [opinion], active=3)
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.exp().sum(1), torch.ones(2))


def test_correction_undoes_the_sampling() -> None:
    """By Bayes' rule: odds learned where group and rest are equally frequent become those of the data."""
    own, others = 300, 2700
    likelihood = 0.8 / 0.1  # of an image under the group, and under the rest
    learned = math.log(likelihood)
    true_odds = (likelihood * own) / others
    assert math.exp(learned - dustbin_correction(own, others)) == pytest.approx(true_odds)


def test_one_round_is_enough_for_one_who_speaks() -> None:
    """With groups apart and one class asked about, many rounds change nothing."""
    generalist, opinions = made(7, [(0, 3), (1, 2, 6)], images=30)
    found = combine_outputs(generalist, opinions)
    # Two of one group, who are asked about none of these images, make it go all rounds.
    rows = ~torch.isin(generalist.argmax(1), torch.tensor([4, 5]))
    some = [SpecialistOutput(one.logits[rows], one.group) for one in opinions]
    quiet = [SpecialistOutput(torch.zeros(int(rows.sum()), 3, dtype=torch.float64), (4, 5))] * 2
    many = combine_outputs(generalist[rows], [*some, *quiet])
    torch.testing.assert_close(many, found[rows], rtol=1e-12, atol=1e-12)


def test_council_word() -> None:
    """Teachers become one: each dustbin corrected, then combined; no features are left."""
    generalist, opinions = made(5, [(0, 1), (2, 4)])
    batch = Batch(torch.zeros(6, 3, 1, 1), torch.zeros(6).long(), torch.arange(6), 0)

    def saying(logits: Tensor) -> Teacher:
        return lambda _batch, _progress=START, /: TeacherOutput(logits, {"layer1": logits})

    members = [
        Specialist(saying(one.logits), one.group, lack)
        for one, lack in zip(opinions, (0.5, 2.0), strict=True)
    ]
    found = SpecialistEnsemble(saying(generalist), members, active=2)(batch)
    for one, lack in zip(opinions, (0.5, 2.0), strict=True):
        one.logits[:, -1] += lack
    assert found.logits is not None
    assert not found.features
    torch.testing.assert_close(found.logits, combine_outputs(generalist, opinions, active=2))


def test_logits_that_do_not_fit() -> None:
    """A specialist must say something of each of its classes, and of the rest."""
    with pytest.raises(InputError, match="do not fit its group"):
        combine_outputs(torch.zeros(3, 5), [SpecialistOutput(torch.zeros(3, 2), (0, 1))])
