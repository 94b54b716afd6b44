"""Fetching ahead: a thread fills a few host buffers while the device is at work on earlier batches.

    thread:    take a free buffer -> wait until the last copy from it is done -> gather images into it
    consumer:  start the copy of batch k + 1 -> hand over batch k

The buffers are all the memory it takes on the host; the device holds two batches that were fetched.
"""

from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from threading import Event, Thread
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

BUFFERS = 3
"""One that is copied from, one that is full, one that is being filled."""


Gather = Callable[[np.ndarray, np.ndarray], None]
"""(rows int64 [b], out uint8 [b, H, W, 3]): reads the images of the rows."""


class SentBatch(NamedTuple):
    """Images on their way to the device.

    receive: gives them [b, ...], for work handed to the device from then on; left: returns when the
    host's buffer has been read.
    """

    receive: Callable[[], Tensor]
    left: Callable[[], None]


class BatchCopier(Protocol):
    """Brings images from host buffers to a device. But for `left`, the consumer's thread calls it."""

    def buffer(self, shape: tuple[int, ...]) -> Tensor:
        """A new uint8 host buffer."""

    def send(self, pixels: Tensor) -> SentBatch:
        """Start to copy a part of a buffer."""

    def settle(self) -> None:
        """No copy whose images nobody received may disturb later work."""


class CudaBatchCopier:
    """Copies pinned memory on a CUDA stream of its own, beside the work of the current stream."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def buffer(self, shape: tuple[int, ...]) -> Tensor:
        """Pinned memory: from other memory no copy runs beside anything."""
        return torch.empty(shape, dtype=torch.uint8, pin_memory=True)

    def send(self, pixels: Tensor) -> SentBatch:
        """The copy waits for the work handed over so far and runs beside what comes next."""
        current = torch.cuda.current_stream(self._device)
        target = torch.empty(pixels.shape, dtype=torch.uint8, device=self._device)
        # The allocator may have given memory that earlier work on the current stream still reads: it
        # expects to be used behind that work. The side stream is told to stay behind it, too. By this the
        # host gets no further ahead of the device than there are buffers.
        self._side.wait_stream(current)
        # Blocking: the thread that waits for it sleeps rather than spins.
        copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(self._side):
            target.copy_(pixels, non_blocking=True)
            copied.record(self._side)

        def receive() -> Tensor:
            # The device waits for this copy, not for the one after it; the host does not wait.
            now = torch.cuda.current_stream(self._device)
            now.wait_event(copied)
            target.record_stream(now)  # changes nothing while the consumer stays on one stream
            return target

        return SentBatch(receive, copied.synchronize)

    def settle(self) -> None:
        """Memory of images that nobody received is free by now; later work waits for their copies."""
        torch.cuda.current_stream(self._device).wait_stream(self._side)


class _Slot:
    """A buffer and, once images were sent from it, how to wait until it has been read."""

    def __init__(self, buffer: Tensor) -> None:
        self.buffer = buffer
        self.left: Callable[[], None] = lambda: None


def prefetch(
    images: np.ndarray,
    rows: Tensor,
    sizes: Sequence[int],
    courier: BatchCopier,
    *,
    gather: Gather | None = None,
) -> Iterator[Tensor]:
    """The images of one batch after the other, uint8 [b, H, W, 3] on the courier's device.

    Args:
        images: uint8 [R, H, W, 3], memory-mapped.
        rows: int64 [N] on the host.
        sizes: images in each batch, N together.
        courier: how images get to the device.
        gather: how they are read; from `images` as they are, where not given.

    Raises:
        IndexError: a row that is not there. What fails in the thread is raised here.
    """
    if not len(rows):
        return
    if not 0 <= int(rows.min()) <= int(rows.max()) < len(images):
        raise IndexError(f"rows outside 0 .. {len(images) - 1}")
    shape = (max(sizes), *images.shape[1:])
    free: SimpleQueue[_Slot | None] = SimpleQueue()
    full: SimpleQueue[_Slot | BaseException] = SimpleQueue()
    for _ in range(min(BUFFERS, len(sizes))):
        free.put(_Slot(courier.buffer(shape)))
    parts, stop = torch.split(rows, list(sizes)), Event()
    thread = Thread(
        target=_fill,
        args=(parts, free, full, stop, gather or _plain(images)),
        name="fetch-ahead",
        daemon=True,
    )
    thread.start()
    try:
        before: SentBatch | None = None
        for size in sizes:
            slot = full.get()
            if isinstance(slot, BaseException):
                raise slot
            sent = courier.send(slot.buffer[:size])
            slot.left = sent.left
            free.put(slot)
            if before is not None:
                yield before.receive()
            before = sent
        if before is not None:
            yield before.receive()
    finally:
        stop.set()
        free.put(None)  # wakes it where it waits for a buffer
        thread.join()
        courier.settle()


def _plain(images: np.ndarray) -> Gather:
    def gather(rows: np.ndarray, out: np.ndarray) -> None:
        # Rows were checked; "clip" lets numpy write into the buffer without one of its own.
        np.take(images, rows, axis=0, out=out, mode="clip")

    return gather


def _fill(
    parts: Sequence[Tensor],
    free: "SimpleQueue[_Slot | None]",
    full: "SimpleQueue[_Slot | BaseException]",
    stop: Event,
    gather: Gather,
) -> None:
    try:
        for part in parts:
            slot = free.get()
            if slot is None or stop.is_set():
                return
            slot.left()
            gather(part.numpy(), slot.buffer.numpy()[: len(part)])
            full.put(slot)
    except BaseException as error:
        full.put(error)
