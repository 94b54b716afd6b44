"""How images are shared out to train, val and test."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.config.data import DataConfig
from tutelage.data.readers.source import Item, Source, Split
from tutelage.data.split import assign_splits, split_counts
from tutelage.errors import InputError, UsageError


def source(sizes: dict[str, int], split: Split | None = None) -> Source:
    items = [
        Item(f"{split}/{label}/{n}", split, label, lambda: b"")
        for label, size in sizes.items()
        for n in range(size)
    ]
    return Source({}, tuple(sorted(sizes)), items)


def totals(found: Source, settings: DataConfig) -> dict[str, int]:
    return dict(Counter(one.split for one in assign_splits(found, settings)))


def test_shares_give_exact_totals() -> None:
    """80/10/10 of 1,000 images are 800, 100 and 100."""
    found = source({"a": 501, "b": 333, "c": 166})
    assert totals(found, DataConfig()) == {"train": 800, "val": 100, "test": 100}


def test_whole_numbers_are_kept_exactly_and_the_rest_is_left_out() -> None:
    """Whole numbers give exactly so many images of each split."""
    settings = DataConfig(split=(7, 5, 3))
    assert totals(source({"a": 30, "b": 30}), settings) == {"train": 7, "val": 5, "test": 3}


@given(
    sizes=st.lists(st.integers(3, 40), min_size=2, max_size=8),
    val=st.integers(1, 12),
    test=st.integers(0, 12),
    seed=st.integers(0, 99),
)
def test_every_class_gets_its_share_within_one(
    sizes: list[int], val: int, test: int, seed: int
) -> None:
    """Totals are exact; each class is within one image of its share, and each can be trained."""
    images = sum(sizes)
    if images < val + test + len(sizes):
        return
    settings = DataConfig(split=(images - val - test, val, test), split_seed=seed)
    found = source({f"class {n}": size for n, size in enumerate(sizes)})
    try:
        table = split_counts(assign_splits(found, settings))
    except InputError:
        assert val + test > images - 2 * len(sizes)  # hardly a training image a class is left
        return
    assert [sum(table[s].values()) for s in ("train", "val", "test")] == [
        images - val - test,
        val,
        test,
    ]
    assert len(table["train"]) == len(sizes)
    room = val + test <= images // 2
    given = [table["val"].get(f"class {n}", 0) for n in range(len(sizes))]
    if room and min(sizes) * val >= images:
        for count, size in zip(given, sizes, strict=True):
            assert abs(count - val * size / images) < 1
    if val >= len(sizes):
        assert min(given) >= 1
    if val >= len(sizes) and test >= len(sizes):
        assert len(table["test"]) == len(sizes)


@given(
    sizes=st.lists(st.one_of(st.integers(1, 6), st.integers(3, 300)), min_size=2, max_size=12),
    test=st.booleans(),
    given=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_class_of_three_gives_one_to_each_split(
    sizes: list[int], test: bool, given: bool, seed: int
) -> None:
    """Shares leave no split without a class that has an image for it; larger classes keep their share."""
    splits = ("val", "test") if test and not given else ("val",)
    settings = DataConfig(split=(0.8, 0.1, 0.1) if test else (0.8, 0.2, 0.0), split_seed=seed)
    sizes = [*sizes, 20]
    found = source({f"class {n}": size for n, size in enumerate(sizes)}, "train" if given else None)
    table = split_counts(assign_splits(found, settings))
    assert sum(sum(split.values()) for split in table.values()) == sum(sizes)
    for n, size in enumerate(sizes):
        counts = {split: table[split].get(f"class {n}", 0) for split in ("train", *splits)}
        assert counts["train"] >= 1
        if size > len(splits):
            assert min(counts.values()) >= 1


def test_another_seed_draws_another_split_of_the_same_sizes() -> None:
    """The seed changes who is where, not how many; the same seed changes nothing."""
    found = source({"a": 50, "b": 50})
    first, again, other = (
        [one.split for one in assign_splits(found, DataConfig(split_seed=seed))]
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other
    assert Counter(first) == Counter(other)


def test_an_image_stays_where_it_is_when_the_scan_order_changes() -> None:
    """The draw depends on names, not on the order of the items."""
    found = source({"a": 50, "b": 50})
    turned = Source({}, found.classes, found.items[::-1])
    place = {one.item.name: one.split for one in assign_splits(found, DataConfig())}
    assert place == {one.item.name: one.split for one in assign_splits(turned, DataConfig())}


def test_a_missing_val_is_taken_from_train_and_test_stays_missing() -> None:
    """Only val must exist: its share of train is taken; no test is made up."""
    assert totals(source({"a": 50, "b": 50}, "train"), DataConfig()) == {"train": 90, "val": 10}
    settings = DataConfig(split=(70, 25, 5))
    assert totals(source({"a": 50, "b": 50}, "train"), settings) == {"train": 75, "val": 25}


def test_given_splits_stay_and_anew_pools_them() -> None:
    """`given` keeps each image in place; `anew` pools labelled ones, others stay in test."""
    items = source({"a": 40, "b": 40}, "train").items + source({"a": 10, "b": 10}, "val").items
    items += [Item(f"test/{n}", "test", None, lambda: b"") for n in range(5)]
    found = Source({}, ("a", "b"), items)
    assert totals(found, DataConfig()) == {"train": 80, "val": 20, "test": 5}
    anew = DataConfig(splits="redraw", split=(50, 25, 25))
    assert totals(found, anew) == {"train": 50, "val": 25, "test": 30}
    assert {one.split for one in assign_splits(found, anew) if one.label is None} == {"test"}


def test_hidden_test_labels_are_gone() -> None:
    """test_labels = hide drops the labels of test images and no others."""
    found = assign_splits(source({"a": 50, "b": 50}), DataConfig(test_labels="hide"))
    assert {one.label is None for one in found if one.split == "test"} == {True}
    assert {one.label is None for one in found if one.split != "test"} == {False}


@pytest.mark.parametrize("split", [(0.8, 0.1, 0.2), (0.5, 0.2, 0.1), (1.5, 1, 1)])
def test_a_split_that_is_neither_shares_nor_numbers_is_refused(
    split: tuple[float, float, float],
) -> None:
    """Shares must sum to 1."""
    with pytest.raises(UsageError, match="neither shares nor numbers"):
        assign_splits(source({"a": 50, "b": 50}), DataConfig(split=split))


@pytest.mark.parametrize("split", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (10, 0, 5)])
def test_a_split_without_training_or_validation_is_refused(
    split: tuple[float, float, float],
) -> None:
    """There is no training without validation images."""
    with pytest.raises(UsageError, match="to train or to validate"):
        assign_splits(source({"a": 50, "b": 50}), DataConfig(split=split))


def test_a_split_may_leave_one_training_image_a_class() -> None:
    """98 of 100 images to validate leaves one training image in both classes."""
    found = source({"a": 50, "b": 50})
    assert totals(found, DataConfig(split=(2, 98, 0))) == {"train": 2, "val": 98}


@pytest.mark.parametrize("split", [(90, 10, 1), (1, 99, 0)])
def test_too_few_images_for_a_split_are_an_error(split: tuple[float, float, float]) -> None:
    """More images than there are, or a class without a training image, stop before decoding."""
    with pytest.raises(InputError, match="too few images"):
        assign_splits(source({"a": 50, "b": 50}), DataConfig(split=split))
