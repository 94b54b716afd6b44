"""Feeds: all give the pack's pixels; fetching ahead overwrites nothing, ends, and passes failures on."""

import dataclasses
import gc
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from support.examples import examples
from tutelage.config.augmentation import AugmentationConfig
from tutelage.data.loading.loader import reading_loader, training_loader
from tutelage.data.loading.pixel_source import (
    Feed,
    choose_source,
    fits_in_memory,
    read_mapped,
    read_pinned,
    read_resident,
    read_unpinned,
)
from tutelage.data.loading.prefetch import BUFFERS, CudaBatchCopier, SentBatch, prefetch
from tutelage.data.pack.pack import Pack
from tutelage.errors import InputError

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class LateCopier:
    """A copier whose copies happen as late as they may: when received, or when the buffer is wanted."""

    def __init__(self) -> None:
        self.buffers: list[Tensor] = []
        self.sent = self.received = self.finished = 0

    def buffer(self, shape: tuple[int, ...]) -> Tensor:
        self.buffers.append(torch.zeros(shape, dtype=torch.uint8))
        return self.buffers[-1]

    def send(self, batch_images: Tensor) -> SentBatch:
        self.sent += 1
        lock, copies = threading.Lock(), []

        def copy() -> None:
            with lock:
                if not copies:
                    copies.append(batch_images.clone())

        def receive() -> Tensor:
            self.received += 1
            copy()
            return copies[0]

        return SentBatch(receive, copy)

    def finish(self) -> None:
        self.finished += 1


FEEDS: dict[str, Callable[[Pack], Feed]] = {
    "mapped": lambda pack: read_mapped(pack, CPU),
    "resident": lambda pack: read_resident(pack, np.arange(len(pack)), CPU),
    "pinned": lambda pack: read_pinned(pack, LateCopier()),
    "passing": lambda pack: read_unpinned(pack, CPU),
    "chosen": lambda pack: choose_source(pack, np.arange(len(pack)), CPU),
}


def threads() -> int:
    return sum(thread.name == "fetch-ahead" for thread in threading.enumerate())


def some_images(count: int = 50) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 4, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", FEEDS)
@pytest.mark.parametrize("sizes", [[], [1], [7, 7, 3], [1] * 9, [40, 2]])
def test_feeds(small_pack: Pack, kind: str, sizes: list[int]) -> None:
    """The images of the rows, in their order, in batches of the sizes; rows may come twice."""
    rows = np.random.default_rng(1).integers(0, len(small_pack), sum(sizes))
    feed = FEEDS[kind](small_pack)
    for _ in range(2):
        batches = list(feed(torch.from_numpy(rows), sizes))
        assert [len(batch) for batch in batches] == sizes
        low = 0
        for batch in batches:
            assert batch.dtype == torch.uint8
            expected = small_pack.images[rows[low : low + len(batch)]].transpose(0, 3, 1, 2)
            assert (batch.numpy() == expected).all()
            low += len(batch)


@pytest.mark.parametrize(
    "views", [AugmentationConfig(), AugmentationConfig(flip=True, crop_scale=0.5, mixup=0.4)]
)
def test_feeds_make_no_difference(small_pack: Pack, views: AugmentationConfig) -> None:
    """Training shows the same from each feed."""
    loader = training_loader(small_pack, batch_size=33, views=views, seed=0, device=CPU)
    expected = list(loader.epoch(1, start=2))
    for make in FEEDS.values():
        found = list(dataclasses.replace(loader, feed=make(small_pack)).epoch(1, start=2))
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.labels, other.labels)


def test_resident_holds_some_rows(small_pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its rows are held, copied in pieces; another row is an error, not another image."""
    monkeypatch.setattr(
        "tutelage.data.loading.pixel_source._CHUNK_BYTES", 5 * small_pack.images[0].nbytes
    )
    rows = small_pack.rows("val")
    feed = read_resident(small_pack, rows, CPU)
    (found,) = feed(torch.from_numpy(rows), [len(rows)])
    assert (found.permute(0, 2, 3, 1).numpy() == small_pack.images[rows]).all()
    outside = small_pack.rows("train")[:1]
    with pytest.raises(InputError, match=f"row {outside[0]}"):
        next(feed(torch.from_numpy(outside), [1]))


def test_fits(small_pack: Pack) -> None:
    """At most half of the free memory is taken."""
    rows, image = np.arange(10), small_pack.images[0].nbytes
    assert fits_in_memory(small_pack, rows, 20 * image)
    assert not fits_in_memory(small_pack, rows, 20 * image - 1)


@needs_gpu
def test_on_a_gpu(small_pack: Pack) -> None:
    """Kept there or fetched ahead, a GPU gets the same images, labels and mixtures as a CPU."""
    gpu = torch.device("cuda")
    views = AugmentationConfig(flip=True, translate=2, crop_scale=0.3, mixup=0.4, cutmix=1.0)
    here = training_loader(small_pack, batch_size=33, views=views, seed=0, device=CPU)
    there = training_loader(small_pack, batch_size=33, views=views, seed=0, device=gpu)
    fetched = dataclasses.replace(there, feed=read_unpinned(small_pack, gpu))
    for loader in (there, fetched):
        for found, expected in zip(loader.epoch(1), here.epoch(1), strict=True):
            assert found.mixed is not None
            assert expected.mixed is not None
            parts = zip(
                (found.images, found.labels, found.ids, *found.mixed),
                (expected.images, expected.labels, expected.ids, *expected.mixed),
                strict=True,
            )
            for one, other in parts:
                assert one.is_cuda
                assert torch.equal(one.cpu(), other)


@needs_gpu
def test_copies_beside_a_busy_gpu() -> None:
    """Batches are right while the device is far behind the host, kept or dropped, closed early or not."""
    gpu, images = torch.device("cuda"), np.random.default_rng(0).integers(0, 256, (400, 64, 64, 3))
    images, busy = images.astype(np.uint8), torch.randn(2048, 2048, device=gpu)
    for _ in range(3):
        given_up = prefetch(images, torch.arange(400), [20] * 20, CudaBatchCopier(gpu))
        next(given_up)
        given_up.close()  # type: ignore[attr-defined]
        kept, sums = [], []
        for batch in prefetch(images, torch.arange(400), [20] * 20, CudaBatchCopier(gpu)):
            for _ in range(5):
                busy = (busy @ busy).clamp(-1, 1)
            sums.append(batch.long().sum())
            if len(sums) % 3 == 0:
                kept.append((len(sums) - 1, batch))
        assert [int(each) for each in sums] == images.reshape(20, -1).sum(
            1, dtype=np.int64
        ).tolist()
        for number, batch in kept:
            assert (batch.cpu().numpy() == images[20 * number : 20 * number + 20]).all()


def test_reading_with_a_feed(small_pack: Pack) -> None:
    """A reading loader takes the feed it is given."""
    rows = small_pack.rows("val")
    feed = read_resident(small_pack, rows, CPU)
    loader = reading_loader(small_pack, rows, batch_size=30, device=CPU, feed=feed)
    assert loader.feed is feed
    found = np.concatenate([batch.images.permute(0, 2, 3, 1).numpy() for batch in loader.epoch()])
    assert (found == small_pack.images[rows]).all()


@given(sizes=st.lists(st.integers(1, 6), max_size=12), seed=st.integers(0, 99))
@examples(40)
def test_no_buffer_is_overwritten(sizes: list[int], seed: int) -> None:
    """Copies that happen as late as they may still carry the right pixels."""
    images, copier = some_images(), LateCopier()
    rows = np.random.default_rng(seed).integers(0, len(images), sum(sizes))
    found = list(prefetch(images, torch.from_numpy(rows), sizes, copier))
    assert [len(part) for part in found] == sizes
    if sizes:
        assert (np.concatenate([part.numpy() for part in found]) == images[rows]).all()
    assert threads() == 0


def test_memory_is_bounded() -> None:
    """However long the epoch and slow the consumer, there are so many buffers, and one copy ahead."""
    copier = LateCopier()
    fetching = prefetch(some_images(), torch.arange(50), [2] * 25, copier)
    for number, _ in enumerate(fetching, 1):
        assert copier.received == number
        assert copier.sent == min(number + 1, 25)
    assert len(copier.buffers) == BUFFERS
    assert all(buffer.shape == (2, 4, 5, 3) for buffer in copier.buffers)


def test_a_copy_starts_before_the_batch_ahead_of_it_is_handed_over() -> None:
    """That is what lets it run beside the work on that batch."""
    copier = LateCopier()
    fetching = prefetch(some_images(), torch.arange(6), [2, 2, 2], copier)
    next(fetching)
    assert (copier.sent, copier.received) == (2, 1)
    fetching.close()
    assert copier.finished == 1


@pytest.mark.parametrize("taken", [0, 1, 5, 24])
def test_closing_early(taken: int) -> None:
    """An epoch that is given up stops its thread, whether it is closed or only forgotten."""
    for close in (True, False):
        copier = LateCopier()
        fetching: Iterator[Tensor] | None
        fetching = prefetch(some_images(), torch.arange(50), [2] * 25, copier)
        for _ in range(taken):
            next(fetching)
        assert threads() <= (taken > 0)  # near the end it has done its work
        if close:
            fetching.close()  # type: ignore[attr-defined]
        fetching = None
        gc.collect()
        assert threads() == 0
        assert copier.finished == (taken > 0)


def test_closing_a_loader(small_pack: Pack) -> None:
    """So does a loader's epoch."""
    views = AugmentationConfig(mixup=1.0)
    loader = training_loader(small_pack, batch_size=20, views=views, seed=0, device=CPU)
    epoch = dataclasses.replace(loader, feed=read_pinned(small_pack, LateCopier())).epoch(0)
    next(epoch)
    assert threads() == 1
    epoch.close()  # type: ignore[attr-defined]
    assert threads() == 0


class Unreadable(np.ndarray):
    """Images on a disk that fails."""

    def take(self, *_args: object, **_settings: object) -> np.ndarray:
        raise OSError("the disk is gone")


def test_failures_in_the_thread() -> None:
    """What fails in the thread is raised where the images are wanted, and the thread ends."""
    images = some_images().view(Unreadable)
    with pytest.raises(OSError, match="the disk is gone"):
        list(prefetch(images, torch.arange(6), [2, 2, 2], LateCopier()))
    assert threads() == 0


def test_a_failing_copy() -> None:
    """A copy that fails while a buffer waits for it ends the epoch, too."""

    class Failing(LateCopier):
        def send(self, batch_images: Tensor) -> SentBatch:
            def wait_read() -> None:
                raise RuntimeError("the device is lost")

            return super().send(batch_images)._replace(wait_read=wait_read)

    with pytest.raises(RuntimeError, match="the device is lost"):
        list(prefetch(some_images(), torch.arange(50), [2] * 25, Failing()))
    assert threads() == 0


@pytest.mark.parametrize("row", [-1, 50])
def test_rows_outside(row: int) -> None:
    """A row that is not there is refused before anything is read."""
    with pytest.raises(IndexError, match=r"0 \.\. 49"):
        next(prefetch(some_images(), torch.tensor([0, row]), [2], LateCopier()))
    assert threads() == 0


def test_the_thread_waits_for_the_consumer() -> None:
    """It fills the buffers there are and no more, until one is free."""
    copier = LateCopier()
    images = some_images()
    fetching = prefetch(images, torch.arange(50), [2] * 25, copier)
    next(fetching)
    time.sleep(0.1)
    # Batches 0 and 1 were sent; their two buffers and the third hold batches 2, 3 and 4 by now.
    held = {bytes(buffer.numpy().tobytes()) for buffer in copier.buffers}
    assert held == {images[2 * k : 2 * k + 2].tobytes() for k in (2, 3, 4)}
    fetching.close()  # type: ignore[attr-defined]
