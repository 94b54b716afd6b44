"""The loader: the order of an epoch, the last batch, and going on in the middle."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.data.loader import FIXED, Loader, epoch_seed, reading_loader, training_loader
from tutelage.data.pack import Pack
from tutelage.data.view_settings import Views
from tutelage.nouns import Batch

CPU = torch.device("cpu")


def training(pack: Pack, *, size: int = 32, seed: int = 0, views: Views = FIXED) -> Loader:
    return training_loader(pack, batch_size=size, views=views, seed=seed, device=CPU)


def ids(batches: list[Batch]) -> list[int]:
    return [row for batch in batches for row in batch.ids.tolist()]


def test_an_epoch_is_a_permutation(small_pack: Pack) -> None:
    """Each epoch shows every training picture once, in an order that is not the stored one."""
    for epoch in range(3):
        found = ids(list(training(small_pack).epoch(epoch)))
        assert sorted(found) == small_pack.rows("train").tolist()
        assert found != sorted(found)


def test_order_is_a_function_of_seed_and_epoch(small_pack: Pack) -> None:
    """The same seed and epoch give the same order at any batch size; another of either another."""
    base = ids(list(training(small_pack, seed=3).epoch(2)))
    assert ids(list(training(small_pack, seed=3, size=7).epoch(2))) == base
    torch.manual_seed(99)
    assert ids(list(training(small_pack, seed=3).epoch(2))) == base
    others = [ids(list(training(small_pack, seed=s).epoch(e))) for s, e in ((3, 1), (4, 2), (2, 3))]
    assert base not in others
    assert len({tuple(other) for other in others}) == 3


def test_reading_leaves_the_callers_numbers_alone(small_pack: Pack) -> None:
    """An epoch takes nothing from the global random numbers."""
    before = torch.get_rng_state()
    list(training(small_pack, views=Views(flip=True, crop=0.5)).epoch(0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("views", [FIXED, Views(flip=True, shift=2, crop=0.5)])
def test_start_continues_exactly(small_pack: Pack, views: Views) -> None:
    """From batch k on, an epoch is what it would have been, to the last pixel."""
    loader = training(small_pack, views=views, seed=1, size=33)
    whole = list(loader.epoch(1))
    for start in range(len(whole) + 1):
        rest = list(loader.epoch(1, start=start))
        assert len(rest) == len(whole) - start
        for found, expected in zip(rest, whole[start:], strict=True):
            assert torch.equal(found.images, expected.images)
            assert torch.equal(found.ids, expected.ids)
            assert torch.equal(found.labels, expected.labels)
            assert found.view == expected.view


def test_a_batch_is_what_the_pack_holds(small_pack: Pack) -> None:
    """Pixels, labels and ids of a batch belong together; images are uint8 [B, 3, H, W]."""
    for batch in training(small_pack).epoch(0):
        rows = batch.ids.numpy()
        assert batch.images.dtype == torch.uint8
        assert (batch.images.permute(0, 2, 3, 1).numpy() == small_pack.images[rows]).all()
        assert (batch.labels.numpy() == small_pack.labels[rows]).all()
        assert batch.view == 0


def test_view_number_is_the_epoch(small_pack: Pack) -> None:
    """Views that differ are numbered by epoch; fixed views are always view 0."""
    assert next(training(small_pack, views=Views(flip=True)).epoch(5)).view == 5
    assert next(training(small_pack).epoch(5)).view == 0


def test_views_hang_on_pixels_not_on_place(small_pack: Pack) -> None:
    """A picture gets the same view whatever the batch size is."""
    views = Views(flip=True, shift=2)
    by_id = [
        {
            int(i): image
            for b in training(small_pack, views=views, size=size).epoch(1)
            for i, image in zip(b.ids, b.images, strict=True)
        }
        for size in (32, 51)
    ]
    assert all(torch.equal(by_id[0][row], by_id[1][row]) for row in by_id[0])


@given(count=st.integers(0, 300), size=st.integers(1, 70), shuffled=st.booleans())
@settings(max_examples=200, deadline=None)
def test_sizes(count: int, size: int, shuffled: bool) -> None:
    """Batches are full but for the last; in training a last one of 1 joins the batch before."""
    rows = np.arange(count)
    loader = Loader(None, rows, size, FIXED, 0, CPU, shuffled)  # type: ignore[arg-type]
    sizes = loader.sizes()
    assert sum(sizes) == count
    assert len(loader) == len(sizes)
    assert all(part == size for part in sizes[:-1])
    if not sizes:
        assert count == 0
    elif shuffled and size > 1 and count > size and count % size == 1:
        assert sizes[-1] == size + 1
    else:
        assert sizes[-1] == (count % size or size)


def test_sizes_are_those_of_the_batches(small_pack: Pack) -> None:
    """`sizes` says what an epoch then yields: 200 pictures by 199 are one batch of 200."""
    for size in (1, 33, 199, 200, 500):
        loader = training(small_pack, size=size)
        assert [len(batch.ids) for batch in loader.epoch(0)] == loader.sizes()
    assert training(small_pack, size=199).sizes() == [200]


def test_reading(small_pack: Pack) -> None:
    """Reading yields the given rows in their order, as stored; none where there are none."""
    rows = small_pack.rows("val")[::-1].copy()
    batches = list(reading_loader(small_pack, rows, batch_size=9, device=CPU).epoch())
    assert ids(batches) == rows.tolist()
    assert all(batch.view == 0 for batch in batches)
    assert list(reading_loader(small_pack, rows[:0], batch_size=9, device=CPU).epoch()) == []


def test_epoch_seeds() -> None:
    """Neighbouring seeds and epochs have seeds of their own, each within torch's range."""
    seeds = [epoch_seed(seed, epoch) for seed in range(30) for epoch in range(30)]
    assert len(set(seeds)) == 900
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert epoch_seed(2**31, 10**6) >= 0
