"""Feeds: where a loader's pixels come from, a memory map or the device's own memory.

A feed is a function from the rows of an epoch and the sizes of its batches to the images of one batch after
the other. It gets all rows at once so that it can fetch ahead.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from tutelage.data.loading.prefetch import BatchCopier, CudaBatchCopier, prefetch
from tutelage.data.pack.pack import Pack
from tutelage.errors import InputError

Feed = Callable[[Tensor, Sequence[int]], Iterator[Tensor]]
"""(rows int64 [N] on the host, sizes that sum to N) -> uint8 [b, 3, H, W] on the device, batch by batch."""

_CHUNK_BYTES = 64 << 20
_SHARE_OF_FREE = 0.5


def read_mapped(pack: Pack, device: torch.device) -> Feed:
    """Return a feed that gathers each batch from the memory map."""

    def feed(rows: Tensor, sizes: Sequence[int]) -> Iterator[Tensor]:
        for part in torch.split(rows, list(sizes)):
            yield _read(pack, part.numpy()).permute(0, 3, 1, 2).to(device)

    return feed


def _read(pack: Pack, rows: np.ndarray) -> Tensor:
    pixels = np.empty((len(rows), *pack.images.shape[1:]), np.uint8)
    pack.gather(rows, pixels)
    return torch.from_numpy(pixels)


def read_resident(pack: Pack, rows: np.ndarray, device: torch.device) -> Feed:
    """Return a feed that copies the images of these rows to the device once, and gathers each batch there.

    Raises:
        InputError: (from the feed) a row that is not one of these.
    """
    pixels = torch.empty((len(rows), *pack.images.shape[1:]), dtype=torch.uint8, device=device)
    step = max(1, _CHUNK_BYTES // math.prod(pack.images.shape[1:]))
    for low in range(0, len(rows), step):
        pixels[low : low + step] = _read(pack, rows[low : low + step])
    place_of = torch.full((len(pack),), -1)
    place_of[torch.from_numpy(rows)] = torch.arange(len(rows))

    def feed(rows: Tensor, sizes: Sequence[int]) -> Iterator[Tensor]:
        places = place_of[rows]
        if bool((places < 0).any()):
            raise InputError(
                "an image is requested that is not on the device",
                found=f"row {int(rows[places < 0][0])}",
                expected=f"one of {len(pixels)} rows",
            )
        # One copy per epoch, so that a step moves nothing and waits for nothing.
        for part in torch.split(places.to(device), list(sizes)):
            yield pixels[part].permute(0, 3, 1, 2)

    return feed


def read_pinned(pack: Pack, copier: BatchCopier) -> Feed:
    """Return a feed that gathers batches into pinned buffers ahead of time and copies them asynchronously."""

    def feed(rows: Tensor, sizes: Sequence[int]) -> Iterator[Tensor]:
        for pixels in prefetch(pack.images, rows, sizes, copier, gather=pack.gather):
            yield pixels.permute(0, 3, 1, 2)

    return feed


def read_unpinned(pack: Pack, device: torch.device) -> Feed:
    """Return a feed for reading rows once: it keeps nothing, and fetches ahead for a GPU."""
    return (
        read_pinned(pack, CudaBatchCopier(device))
        if device.type == "cuda"
        else read_mapped(pack, device)
    )


def choose_source(pack: Pack, rows: np.ndarray, device: torch.device) -> Feed:
    """Return a feed for reading rows repeatedly: on a GPU with room for them, they stay there."""
    if device.type == "cuda" and fits_in_memory(pack, rows, torch.cuda.mem_get_info(device)[0]):
        return read_resident(pack, rows, device)
    return read_unpinned(pack, device)


def fits_in_memory(pack: Pack, rows: np.ndarray, free: int) -> bool:
    """Return whether the images of these rows take at most half of `free` bytes."""
    return len(rows) * math.prod(pack.images.shape[1:]) <= _SHARE_OF_FREE * free
