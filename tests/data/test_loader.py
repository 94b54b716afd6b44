"""The loader: the order of an epoch, the last batch, going on in the middle, sharing batches."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from tutelage.config.augmentation import AugmentationConfig
from tutelage.data.loading.loader import FIXED, Loader, epoch_seed, reading_loader, training_loader
from tutelage.data.loading.pixel_source import Feed
from tutelage.data.pack.pack import Pack
from tutelage.distributed import ALONE, World
from tutelage.errors import UsageError
from tutelage.types import Batch

CPU = torch.device("cpu")


MIXED = AugmentationConfig(flip=True, translate=2, crop_scale=0.5, mixup=0.4, cutmix=1)
NOWHERE: Feed = lambda _rows, _sizes: iter(())  # noqa: E731


def training(
    pack: Pack,
    *,
    size: int = 32,
    seed: int = 0,
    views: AugmentationConfig = FIXED,
    world: World = ALONE,
) -> Loader:
    return training_loader(pack, batch_size=size, views=views, seed=seed, device=CPU, world=world)


def ids(batches: list[Batch]) -> list[int]:
    return [row for batch in batches for row in batch.ids.tolist()]


def test_an_epoch_is_a_permutation(small_pack: Pack) -> None:
    """Each epoch shows every training image once, in an order that is not the stored one."""
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
    list(training(small_pack, views=AugmentationConfig(flip=True, crop_scale=0.5)).epoch(0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "views", [FIXED, AugmentationConfig(flip=True, translate=2, crop_scale=0.5), MIXED]
)
def test_start_continues_exactly(small_pack: Pack, views: AugmentationConfig) -> None:
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
            for one, other in zip(found.mixed or (), expected.mixed or (), strict=True):
                assert torch.equal(one, other)


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
    assert next(training(small_pack, views=AugmentationConfig(flip=True)).epoch(5)).view == 5
    assert next(training(small_pack).epoch(5)).view == 0


def test_distinct_views_take_turns(small_pack: Pack) -> None:
    """With three views, every third epoch shows the same images, in another order."""
    loader = training(
        small_pack, views=AugmentationConfig(flip=True, crop_scale=0.5, num_views=3), size=200
    )
    batches = [next(loader.epoch(epoch)) for epoch in range(7)]
    assert [batch.view for batch in batches] == [0, 1, 2, 0, 1, 2, 0]
    sorted_images = [batch.images[batch.ids.argsort()] for batch in batches]
    assert torch.equal(sorted_images[1], sorted_images[4])
    assert not torch.equal(sorted_images[1], sorted_images[2])
    assert batches[1].ids.tolist() != batches[4].ids.tolist()


def test_seed_is_of_the_order_alone(small_pack: Pack) -> None:
    """Another seed shows the same views in another order; another view seed other views in this one."""

    def images(seed: int, view_seed: int) -> tuple[list[int], torch.Tensor]:
        views = AugmentationConfig(crop_scale=0.5, view_seed=view_seed)
        batch = next(training(small_pack, views=views, seed=seed, size=200).epoch(1))
        return batch.ids.tolist(), batch.images[batch.ids.argsort()]

    (order, base), (other_order, same), (same_order, other) = (
        images(0, 0),
        images(1, 0),
        images(0, 1),
    )
    assert torch.equal(same, base)
    assert other_order != order == same_order
    assert not torch.equal(other, base)


@pytest.mark.parametrize("views", [AugmentationConfig(flip=True, translate=2), MIXED])
def test_views_hang_on_pixels_not_on_place(small_pack: Pack, views: AugmentationConfig) -> None:
    """An image gets the same view whatever the batch size is."""
    by_id = [
        {
            int(i): image
            for b in training(small_pack, views=views, size=size).epoch(1)
            for i, image in zip(b.ids, b.images, strict=True)
        }
        for size in (32, 51)
    ]
    assert all(torch.equal(by_id[0][row], by_id[1][row]) for row in by_id[0])


@given(
    count=st.integers(0, 300),
    size=st.integers(1, 70),
    shuffled=st.booleans(),
    processes=st.integers(1, 5),
)
@examples(200)
def test_sizes(count: int, size: int, shuffled: bool, processes: int) -> None:
    """Batches are full but for the last; in training one with too few images joins the one before."""
    rows, world = np.arange(count), World(0, processes)
    loader = Loader(None, rows, size, FIXED, 0, CPU, shuffled, NOWHERE, world=world)  # type: ignore[arg-type]
    sizes, rest = loader.sizes(), count % size
    assert sum(sizes) == count
    assert len(loader) == len(sizes)
    assert all(part == size for part in sizes[:-1])
    if not sizes:
        assert count == 0
    elif shuffled and count > size and 0 < rest < max(2, processes):
        assert sizes[-1] == size + rest
    else:
        assert sizes[-1] == (rest or size)


def test_sizes_are_those_of_the_batches(small_pack: Pack) -> None:
    """`sizes` says what an epoch then yields: 200 images by 199 are one batch of 200."""
    for size in (1, 33, 199, 200, 500):
        loader = training(small_pack, size=size)
        assert [len(batch.ids) for batch in loader.epoch(0)] == loader.sizes()
    assert training(small_pack, size=199).sizes() == [200]


@pytest.mark.parametrize("views", [FIXED, MIXED])
@pytest.mark.parametrize(("processes", "size"), [(2, 33), (3, 60), (4, 4), (3, 500)])
def test_processes_share_each_batch(
    small_pack: Pack, views: AugmentationConfig, processes: int, size: int
) -> None:
    """Put together, the parts of all processes are the batches of one: same order, same pixels."""
    alone = list(training(small_pack, size=size, views=views, seed=2).epoch(3))
    loaders = [
        training(small_pack, size=size, views=views, seed=2, world=World(rank, processes))
        for rank in range(processes)
    ]
    assert {tuple(loader.sizes()) for loader in loaders} == {
        tuple(map(len, (b.ids for b in alone)))
    }
    for whole, *parts in zip(alone, *(loader.epoch(3) for loader in loaders), strict=True):
        assert whole.whole is None
        counts = [len(part.ids) for part in parts]
        assert max(counts) - min(counts) <= 1
        assert min(counts) >= 1
        assert {part.whole for part in parts} == {len(whole.ids)}
        for field in ("images", "labels", "ids"):
            together = torch.cat([getattr(part, field) for part in parts])
            assert torch.equal(together, getattr(whole, field))
        if whole.mixed is not None:
            shares = torch.cat([part.mixed.share for part in parts])  # type: ignore[union-attr]
            assert torch.equal(shares, whole.mixed.share)


def test_processes_and_the_last_batch(small_pack: Pack) -> None:
    """A last batch that has not an image for every process joins the batch before it."""
    assert training(small_pack, size=66).sizes() == [66, 66, 66, 2]
    assert training(small_pack, size=66, world=World(0, 2)).sizes() == [66, 66, 66, 2]
    assert training(small_pack, size=66, world=World(0, 3)).sizes() == [66, 66, 68]
    loader = training(small_pack, size=66, world=World(2, 3))
    assert [len(batch.ids) for batch in loader.epoch(0)] == [22, 22, 22]
    assert [batch.whole for batch in loader.epoch(0, start=1)] == [66, 68]


def test_fewer_images_than_processes(small_pack: Pack) -> None:
    """A process without an image has nothing to do: refused, with what to change."""
    with pytest.raises(UsageError, match="--batch-size 4"):
        training(small_pack, size=3, world=World(0, 4))
    with pytest.raises(UsageError, match="200 images, 201 processes"):
        training(small_pack, size=300, world=World(0, 201))


def test_reading_a_view(small_pack: Pack) -> None:
    """Reading shows the numbered view it is asked for, fixed views under the number 0."""
    rows, views = small_pack.rows("val"), AugmentationConfig(translate=3, num_views=2)
    for view in (0, 1, 5):
        loader = reading_loader(small_pack, rows, batch_size=80, device=CPU, views=views, view=view)
        assert next(loader.epoch()).view == view
    fixed = reading_loader(small_pack, rows, batch_size=80, device=CPU, view=5)
    assert next(fixed.epoch()).view == 0


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
