"""A memory bank of all images' embeddings, from which negatives are drawn."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from tutelage.losses.distances import l2_normalize
from tutelage.losses.per_sample_buffers import PerSampleBuffer

_UNKNOWN = 2**40
"""Class numbers from here on belong to images without a label, one for each."""

_NUMBERS = 2**24
"""Most numbers computed from a memory at once (unless one image needs more): 64 MiB in fp32."""


class MemoryBank(PerSampleBuffer):
    """Unit vectors [N, width] of both networks for N images; random until an image has been seen.

    Labels are known from the batches seen so far: an image that is not yet seen, or has no label, is in a
    class of its own. All state is in buffers, so that training resumes exactly.
    """

    by_row = ("student", "teacher", "labels")
    student: Tensor
    """[N, width], the student's vectors."""
    teacher: Tensor
    """[N, width], the teacher's."""
    labels: Tensor
    """int64 [N], -1 where unknown."""
    log_z: Tensor
    """[2], the logarithms of the student's and the teacher's normaliser, from the first batch on."""
    ready: Tensor
    """Whether `log_z` is set."""

    def __init__(self, images: int, width: int, *, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("student", l2_normalize(torch.randn(images, width)))
        self.register_buffer("teacher", l2_normalize(torch.randn(images, width)))
        self.register_buffer("labels", torch.full((images,), -1))
        self.register_buffer("log_z", torch.zeros(2))
        self.register_buffer("ready", torch.tensor(False))

    def draw(self, ids: Tensor, count: int, *, seed: int) -> tuple[Tensor | None, Tensor]:
        """Draw images of other classes for each of some images [B].

        Each of `count` draws is uniform over all images of other classes, and independent of the others (an
        image can come twice). From a memory of at most `count` images, all rows are taken, with the weights
        that the draws have in the mean: count / n each for n images of other classes, 0 for the rest. Where
        there is no other class, all weights are 0.

        Args:
            ids: rows of the images, int64 [B].
            count: how many to draw for each.
            seed: of the draws.

        Returns:
            Rows [B, M], or None for all N in order, and their weights [B, M].
        """
        images = len(self.labels)
        every = torch.arange(images, device=ids.device)
        classes = torch.where(self.labels < 0, _UNKNOWN + every, self.labels)
        mine = classes[ids]
        if images <= count:
            others = classes != mine[:, None]
            weights = others.to(self.student.dtype)
            return None, weights * (count / weights.sum(1, keepdim=True).clamp(min=1))
        # Sorted by class, the images of one class are a gap [low, high) that draws skip.
        ordered, order = classes.sort(stable=True)
        low, high = torch.searchsorted(ordered, mine), torch.searchsorted(ordered, mine, right=True)
        others = images - (high - low)
        generator = torch.Generator(ids.device).manual_seed(seed)
        shape = (len(ids), count)
        # The remainder modulo `others` is uniform to within N / 2^62.
        drawn = torch.randint(2**62, shape, generator=generator, device=ids.device)
        drawn %= others.clamp(min=1)[:, None]
        drawn += (drawn >= low[:, None]) * (high - low)[:, None]
        weights = (others > 0).to(self.student.dtype)[:, None].expand(shape)
        return order[drawn.clamp(max=images - 1)], weights

    @torch.no_grad()
    def learn(self, ids: Tensor, labels: Tensor) -> None:
        """Store the labels [B] of images [B], in training."""
        if self.training:
            self.overwrite(self.labels, ids, labels)

    @torch.no_grad()
    def first(self, log_z: Tensor) -> Tensor:
        """Return the first normalisers [2] given here in training; until then, these."""
        kept = torch.where(self.ready, self.log_z, log_z.to(self.log_z))
        if self.training:
            self.log_z.copy_(kept)
            self.ready.fill_(True)
        return kept

    @torch.no_grad()
    def remember(self, ids: Tensor, student: Tensor, teacher: Tensor) -> None:
        """Move the rows of images [B] towards new unit vectors [B, width], in training.

        m <- unit(a m + (1 - a) u),   a the momentum
        """
        if not self.training:
            return
        for memory, now in ((self.student, student), (self.teacher, teacher)):
            moved = self.momentum * memory[ids] + (1 - self.momentum) * now
            self.overwrite(memory, ids, l2_normalize(moved))


def cosines(anchors: Tensor, memory: Tensor, ids: Tensor, rows: Tensor | None) -> Tensor:
    """Compute products of unit vectors [B, D] with the memory: [B, 1 + M], the one with their own row first.

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
    """a_i . m[rows_ij], for a part of the images at a time: never B x M x D, neither forward nor backward.

    Products with all N rows of the memory, of which M are picked, take N numbers per image; gathering its
    rows first takes M x D. The smaller is used.
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
    """Split a tensor [B, ...] and rows [B, M] into as many images at a time as `_NUMBERS` allows."""
    each = min(len(memory), rows.shape[1] * memory.shape[1])
    each_part = max(1, _NUMBERS // each)
    return zip(torch.split(tensor, each_part), torch.split(rows, each_part), strict=True)


def with_gradients_now(loss: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """Compute a loss of some tensors and its gradients now, not in the backward pass.

    Whatever else it depends on, such as a memory, may then change before that. The gradients flow as usual.
    """
    if not torch.is_grad_enabled():
        return loss(*inputs)
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    value = loss(*leaves)
    slopes = torch.autograd.grad(value, leaves)
    # Adds exactly 0, with the gradient of each input.
    bridge = [((x - x.detach()) * s).sum() for x, s in zip(inputs, slopes, strict=True)]
    return value.detach() + torch.stack(bridge).sum()
