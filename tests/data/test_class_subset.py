"""A pack as a specialist sees it, and its epochs of half and half."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from tutelage.config.augmentation import AugmentationConfig
from tutelage.data.class_subset import class_subset, dustbin_class
from tutelage.data.loading.balanced_halves import BalancedHalves, balanced_halves
from tutelage.data.loading.loader import Loader, training_loader
from tutelage.data.pack.pack import Pack
from tutelage.distributed import ALONE, World
from tutelage.errors import InputError, UsageError
from tutelage.types import Batch

CPU = torch.device("cpu")
GROUP = ("Coat", "Ankle boot", "Shirt")


def loader(pack: Pack, *, size: int = 25, seed: int = 0, world: World = ALONE) -> Loader:
    views = AugmentationConfig(flip=True)
    return training_loader(
        pack, batch_size=size, views=views, seed=seed, device=CPU, world=world, dustbin=True
    )


def ids(batches: list[Batch]) -> list[int]:
    return [row for batch in batches for row in batch.ids.tolist()]


# ---------------------------------------------------------------------- the view


def test_labels_and_names(small_pack: Pack) -> None:
    """The group's classes count from 0 as they are given, all others are one, the unlabelled stay so."""
    found = class_subset(small_pack, GROUP)
    assert found.classes == (*GROUP, "(others)")
    for label, own in zip(small_pack.labels.tolist(), found.labels.tolist(), strict=True):
        if label < 0:
            assert own == -1
        else:
            name = small_pack.classes[label]
            assert found.classes[own] == (name if name in GROUP else "(others)")
    assert (found.labels[small_pack.rows("test")] == -1).all()
    assert np.array_equal(found.splits, small_pack.splits)
    assert np.shares_memory(found.images, small_pack.images)


def test_other_views_are_other_packs(small_pack: Pack) -> None:
    """The fingerprint tells groups and their order apart, and each of them from the whole pack."""
    views = [
        small_pack,
        *(class_subset(small_pack, group) for group in (GROUP, GROUP[::-1], GROUP[:2])),
    ]
    assert len({view.fingerprint for view in views}) == len(views)
    assert (
        class_subset(small_pack, GROUP).fingerprint == class_subset(small_pack, GROUP).fingerprint
    )


def test_a_class_may_have_the_dustbins_name(small_pack: Pack) -> None:
    """Then the dustbin has another one."""
    classes = ["(others)", *small_pack.classes[1:]]
    pack = dataclasses.replace(small_pack, manifest={**small_pack.manifest, "classes": classes})
    assert class_subset(pack, ("(others)",)).classes == ("(others)", "((others))")
    assert dustbin_class(["(others)", "((others))"]) == "(((others)))"


@pytest.mark.parametrize(
    ("group", "told"),
    [
        (("Coat", "Shrit"), "did you mean Shirt"),
        (("Coat", "Coat"), "each of them once"),
        ((), "each of them once"),
    ],
)
def test_no_such_group(small_pack: Pack, group: tuple[str, ...], told: str) -> None:
    """An unknown class, one that is named twice, or none."""
    with pytest.raises(InputError, match=told):
        class_subset(small_pack, group)


def test_all_classes_leave_no_others(small_pack: Pack) -> None:
    """A group of all classes is none."""
    with pytest.raises(InputError, match="fewer than 10 different classes"):
        class_subset(small_pack, small_pack.classes)


# ---------------------------------------------------------------------- half and half


def test_an_epoch_is_half_and_half(small_pack: Pack) -> None:
    """All images of the group, as many others, none twice; the others are drawn anew."""
    pack = class_subset(small_pack, GROUP)
    rows = pack.rows("train")
    own = rows[pack.labels[rows] < 3]
    drawn = []
    for epoch in range(30):
        shown = ids(list(loader(pack).epoch(epoch)))
        assert len(shown) == len(set(shown)) == 2 * len(own) == loader(pack).images
        assert {row for row in shown if pack.labels[row] < 3} == set(own.tolist())
        drawn.append({row for row in shown if pack.labels[row] == 3})
    assert len({frozenset(some) for some in drawn}) == 30
    assert set.union(*drawn) == set(rows.tolist()) - set(own.tolist())


def test_what_is_drawn_hangs_on_seed_and_epoch(small_pack: Pack) -> None:
    """Not on the batch size, on what was drawn before, or on the global random numbers."""
    pack = class_subset(small_pack, GROUP)
    base = ids(list(loader(pack, seed=3).epoch(2)))
    torch.manual_seed(99)
    assert ids(list(loader(pack, seed=3, size=7).epoch(2))) == base
    assert set(ids(list(loader(pack, seed=4).epoch(2)))) != set(base)


def test_an_epoch_goes_on_in_its_middle(small_pack: Pack) -> None:
    """From batch k on it is what it would have been; two processes share the batches of one."""
    pack = class_subset(small_pack, GROUP)
    whole = list(loader(pack).epoch(1))
    assert [len(batch.ids) for batch in whole] == [25, 25, 25, 25, 20]
    rest = list(loader(pack).epoch(1, start=2))
    for found, expected in zip(rest, whole[2:], strict=True):
        assert torch.equal(found.images, expected.images)
        assert torch.equal(found.labels, expected.labels)
    parts = zip(*(loader(pack, world=World(rank, 2)).epoch(1) for rank in range(2)), strict=True)
    for (one, two), expected in zip(parts, whole, strict=True):
        assert one.ids.tolist() + two.ids.tolist() == expected.ids.tolist()


def test_few_others_and_unlabelled(small_pack: Pack) -> None:
    """Where others are fewer, all of them are shown; an image without a label never is."""
    labels = np.array(small_pack.labels)
    rows = small_pack.rows("train")
    labels[rows[::7]] = -1
    pack = class_subset(dataclasses.replace(small_pack, labels=labels), small_pack.classes[:-1])
    halves = balanced_halves(pack)
    assert len(halves.others) == halves.drawn < len(halves.own)
    for epoch in range(2):
        expected = [row for row in rows.tolist() if labels[row] >= 0]
        assert sorted(ids(list(loader(pack).epoch(epoch)))) == expected


@given(own=st.integers(1, 40), others=st.integers(1, 90), seed=st.integers(0, 2**31))
@examples(60)
def test_counts(own: int, others: int, seed: int) -> None:
    """As many of both, in order, whatever the counts."""
    halves = BalancedHalves(np.arange(0, 2 * own, 2), np.arange(1, 2 * others, 2))
    rows = halves.rows(seed, 5)
    assert len(rows) == halves.images == own + min(own, others)
    assert (np.diff(rows) > 0).all()
    assert (rows % 2).sum() == min(own, others)


def test_refused(small_pack: Pack) -> None:
    """Mixtures of two images, and a group or a rest that no training image is of."""
    pack = class_subset(small_pack, GROUP)
    with pytest.raises(UsageError, match="made of two images"):
        training_loader(
            pack,
            batch_size=8,
            views=AugmentationConfig(mixup=0.2),
            seed=0,
            device=CPU,
            dustbin=True,
        )
    labels = np.array(small_pack.labels)
    labels[np.isin(labels, [small_pack.classes.index(name) for name in GROUP])] = (
        small_pack.classes.index("Bag")
    )
    with pytest.raises(InputError, match="one kind is missing"):
        balanced_halves(class_subset(dataclasses.replace(small_pack, labels=labels), GROUP[1:]))
