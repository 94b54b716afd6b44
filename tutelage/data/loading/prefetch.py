"""Fetch batches ahead: a thread fills host buffers while the device works on earlier batches.

    thread:    take a free buffer -> wait until the last copy from it is done -> gather images into it
    consumer:  start the copy of batch k + 1 -> hand over batch k

The buffers are all the memory it takes on the host; the device holds two fetched batches.
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
    """Images on their way to the device."""

    receive: Callable[[], Tensor]
    """Returns them [b, ...], for work given to the device from then on."""
    wait_read: Callable[[], None]
    """Returns when the host's buffer has been read."""


class BatchCopier(Protocol):
    """Copies images from host buffers to a device, called by the consumer's thread.

    Only `SentBatch.wait_read` is called by the thread that fills the buffers.
    """

    def buffer(self, shape: tuple[int, ...]) -> Tensor:
        """Return a new uint8 host buffer."""

    def send(self, pixels: Tensor) -> SentBatch:
        """Start to copy a part of a buffer."""

    def finish(self) -> None:
        """Make later work safe from copies whose images were never received."""


class CudaBatchCopier:
    """Copies pinned memory on a CUDA stream of its own, beside the work of the current stream."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def buffer(self, shape: tuple[int, ...]) -> Tensor:
        """Return pinned memory: copies from other memory do not run asynchronously."""
        return torch.empty(shape, dtype=torch.uint8, pin_memory=True)

    def send(self, pixels: Tensor) -> SentBatch:
        """Start a copy that waits for the work given so far and runs beside what comes next."""
        current = torch.cuda.current_stream(self._device)
        target = torch.empty(pixels.shape, dtype=torch.uint8, device=self._device)
        # The allocator may return memory that earlier work on the current stream still reads, since it
        # expects to be used after that work. So the side stream waits for it, too. This also keeps the
        # host from getting further ahead of the device than there are buffers.
        self._side.wait_stream(current)
        # Blocking: the waiting thread sleeps rather than spins.
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

    def finish(self) -> None:
        """Make later work wait for copies whose images were never received; their memory is free by now."""
        torch.cuda.current_stream(self._device).wait_stream(self._side)


class _Slot:
    """A buffer and, once images were sent from it, how to wait until it has been read."""

    def __init__(self, buffer: Tensor) -> None:
        self.buffer = buffer
        self.wait_read: Callable[[], None] = lambda: None


def prefetch(
    images: np.ndarray,
    rows: Tensor,
    sizes: Sequence[int],
    copier: BatchCopier,
    *,
    gather: Gather | None = None,
) -> Iterator[Tensor]:
    """Yield the images of one batch after the other, uint8 [b, H, W, 3] on the copier's device.

    Args:
        images: uint8 [R, H, W, 3], memory-mapped.
        rows: int64 [N] on the host.
        sizes: images in each batch, N together.
        copier: copies images to the device.
        gather: reads images into a buffer; unset: from `images` as they are.

    Raises:
        IndexError: a row out of range. Errors of the thread are raised here, too.
    """
    if not len(rows):
        return
    if not 0 <= int(rows.min()) <= int(rows.max()) < len(images):
        raise IndexError(f"rows outside 0 .. {len(images) - 1}")
    shape = (max(sizes), *images.shape[1:])
    free: SimpleQueue[_Slot | None] = SimpleQueue()
    full: SimpleQueue[_Slot | BaseException] = SimpleQueue()
    for _ in range(min(BUFFERS, len(sizes))):
        free.put(_Slot(copier.buffer(shape)))
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
            sent = copier.send(slot.buffer[:size])
            slot.wait_read = sent.wait_read
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
        copier.finish()


def _plain(images: np.ndarray) -> Gather:
    def gather(rows: np.ndarray, out: np.ndarray) -> None:
        # Rows were checked; "clip" lets numpy write into the buffer without a temporary one.
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
            slot.wait_read()
            gather(part.numpy(), slot.buffer.numpy()[: len(part)])
            full.put(slot)
    except BaseException as error:
        full.put(error)
