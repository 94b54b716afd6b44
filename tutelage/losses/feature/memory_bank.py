"""A memory of all images' embeddings, from which each image draws others to be told apart from."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from tutelage.losses.distances import unit_mean
from tutelage.losses.per_sample_buffers import PerSampleBuffer

_UNKNOWN = 2**40
"""Class numbers from here on are of images without a label, one for each."""

_NUMBERS = 2**24
"""Most numbers that are computed from a memory at once (unless one image needs more): 64 MiB in fp32."""


class MemoryBank(PerSampleBuffer):
    """Unit vectors [N, width] of both networks for N images; random until an image has been seen.

    What is remembered of labels is what batches have shown: the class of an image that is not yet seen, or
    has no label, is its own and nobody else's. All state is in buffers: training resumes as it was.
    """

    by_row = ("student", "teacher", "labels")
    student: Tensor
    teacher: Tensor
    labels: Tensor
    log_z: Tensor
    ready: Tensor

    def __init__(self, images: int, width: int, *, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("student", unit_mean(torch.randn(images, width)))
        self.register_buffer("teacher", unit_mean(torch.randn(images, width)))
        self.register_buffer("labels", torch.full((images,), -1))
        # The logarithms of the student's and the teacher's normaliser, from the first batch on.
        self.register_buffer("log_z", torch.zeros(2))
        self.register_buffer("ready", torch.tensor(False))

    def draw(self, ids: Tensor, count: int, *, seed: int) -> tuple[Tensor | None, Tensor]:
        """Images of other classes for each of some images [B]: their rows [B, M], and weights [B, M].

        Each of `count` draws is uniform over all images of other classes, and independent of the others
        (an image can come twice). A memory of at most `count` images needs no luck: all its rows are
        taken (None, for M = N), with the weights that the draws have in the mean: count / n each for n
        images of other classes, 0 for the rest. Where there is no other class, all weights are 0.
        """
        images = len(self.labels)
        own = torch.arange(images, device=ids.device)
        classes = torch.where(self.labels < 0, _UNKNOWN + own, self.labels)
        mine = classes[ids]
        if images <= count:
            others = classes != mine[:, None]
            weights = others.to(self.student.dtype)
            return None, weights * (count / weights.sum(1, keepdim=True).clamp(min=1))
        # In the order of classes, the images of one class are a gap [low, high) that draws jump over.
        ordered, order = classes.sort(stable=True)
        low, high = torch.searchsorted(ordered, mine), torch.searchsorted(ordered, mine, right=True)
        others = images - (high - low)
        generator = torch.Generator(ids.device).manual_seed(seed)
        shape = (len(ids), count)
        # The rest of a division by `others` favours nobody by more than N / 2^62.
        drawn = torch.randint(2**62, shape, generator=generator, device=ids.device)
        drawn %= others.clamp(min=1)[:, None]
        drawn += (drawn >= low[:, None]) * (high - low)[:, None]
        weights = (others > 0).to(self.student.dtype)[:, None].expand(shape)
        return order[drawn.clamp(max=images - 1)], weights

    @torch.no_grad()
    def learn(self, ids: Tensor, labels: Tensor) -> None:
        """Remember the labels [B] of images [B]."""
        if self.training:
            self.overwrite(self.labels, ids, labels)

    @torch.no_grad()
    def first(self, log_z: Tensor) -> Tensor:
        """The normalisers [2] that were the first to be given here in training; until then, these."""
        kept = torch.where(self.ready, self.log_z, log_z.to(self.log_z))
        if self.training:
            self.log_z.copy_(kept)
            self.ready.fill_(True)
        return kept

    @torch.no_grad()
    def remember(self, ids: Tensor, student: Tensor, teacher: Tensor) -> None:
        """Move the rows of images [B] towards new unit vectors [B, width]: m <- unit(a m + (1 - a) u)."""
        if not self.training:
            return
        for memory, now in ((self.student, student), (self.teacher, teacher)):
            moved = self.momentum * memory[ids] + (1 - self.momentum) * now
            self.overwrite(memory, ids, unit_mean(moved))


def cosines(anchors: Tensor, memory: Tensor, ids: Tensor, rows: Tensor | None) -> Tensor:
    """Products of unit vectors [B, D] with the memory: [B, 1 + M], that with their own row first.

    Args:
        anchors: of B images.
        memory: [N, D].
        ids: their own rows [B].
        rows: [B, M] of others; None for all, in order.
    """
    own = (anchors * memory[ids]).sum(1, keepdim=True)
    others = anchors @ memory.T if rows is None else _Products.apply(anchors, memory, rows)
    return torch.cat([own, others], dim=1)


class _Products(torch.autograd.Function):
    """a_i . m[rows_ij], a part of the images at a time: never B x M x D, neither forward nor backward.

    Products with all N rows of the memory, of which M are picked, take N numbers for an image; gathering its
    rows first takes M x D. Whichever is less is done.
    """

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, memory: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(memory, rows)
        products = []
        for some, picked in _parts(anchors, memory, rows):
            if _picks_from_all(memory, rows):
                products.append((some @ memory.T).gather(1, picked))
            else:
                products.append(torch.bmm(memory[picked], some[:, :, None])[:, :, 0])
        return torch.cat(products)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        memory, rows = ctx.saved_tensors
        slopes = []
        for some, picked in _parts(gradients[0], memory, rows):
            if _picks_from_all(memory, rows):
                spread = some.new_zeros(len(some), len(memory)).scatter_add_(1, picked, some)
                slopes.append(spread @ memory)
            else:
                slopes.append(torch.bmm(some[:, None], memory[picked])[:, 0])
        return torch.cat(slopes), None, None


def _picks_from_all(memory: Tensor, rows: Tensor) -> bool:
    return len(memory) <= rows.shape[1] * memory.shape[1]


def _parts(tensor: Tensor, memory: Tensor, rows: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
    """A tensor [B, ...] and rows [B, M], as many images at a time as `_NUMBERS` allow."""
    each = min(len(memory), rows.shape[1] * memory.shape[1])
    each_part = max(1, _NUMBERS // each)
    return zip(torch.split(tensor, each_part), torch.split(rows, each_part), strict=True)


def settled(loss: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """A loss of some tensors whose gradients are computed now, not in the backward pass.

    What else it depends on, such as a memory, may then change before that. The gradients flow as usual.
    """
    if not torch.is_grad_enabled():
        return loss(*inputs)
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    value = loss(*leaves)
    slopes = torch.autograd.grad(value, leaves)
    # Adds exactly 0, with a slope by each input.
    bridge = [((x - x.detach()) * s).sum() for x, s in zip(inputs, slopes, strict=True)]
    return value.detach() + torch.stack(bridge).sum()
