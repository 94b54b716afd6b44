"""The tuples that cross module borders: the vocabulary of the walk.

    image files -> Pack -> Batch -> Signal -> Outcome -> Run -> Report -> Export

NamedTuples rather than dataclasses, because DistributedDataParallel and torch.compile look inside
tuples and mappings but not inside plain dataclasses. B is the batch, C the classes.
"""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor


class Mixed(NamedTuple):
    """The other half of views made of two pictures.

    labels: int64 [B], the partner's label, -1 where unknown; share: float32 [B] in [0, 1], the weight of
    the picture's own label, 1 - share that of its partner's.
    """

    labels: Tensor
    share: Tensor


class Batch(NamedTuple):
    """One view of some pictures, as they are stored: a network does its own resizing and scaling.

    images: uint8 [B, 3, H, W]; labels: int64 [B], -1 where unknown; ids: int64 [B], rows of the pack;
    view: which view of each picture this is (0 where views are fixed); mixed: where each view is made
    of two pictures; whole: images in the whole batch over all processes (None: these are all).
    """

    images: Tensor
    labels: Tensor
    ids: Tensor
    view: int
    mixed: Mixed | None = None
    whole: int | None = None


class Signal(NamedTuple):
    """What a teacher says about a batch, wherever it came from.

    logits: [B, C] or None where nobody teaches; features: tensors by point name.
    """

    logits: Tensor | None
    features: Mapping[str, Tensor]


class Output(NamedTuple):
    """What a network says about a batch. logits: [B, C]; features: tensors by point name."""

    logits: Tensor
    features: Mapping[str, Tensor]


class Outcome(NamedTuple):
    """A student compared with teacher and label, over the whole batch of all processes.

    logits: [B, C]; labels: int64 [B], -1 where unknown; terms: raw scalar by term name.
    """

    logits: Tensor
    labels: Tensor
    terms: Mapping[str, Tensor]


class Progress(NamedTuple):
    """Where training stands. epoch: from 0; step: optimiser steps done; fraction: of all, in [0, 1]."""

    epoch: int
    step: int
    fraction: float


NO_SIGNAL = Signal(logits=None, features={})
