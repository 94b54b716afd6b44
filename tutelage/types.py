"""The tuples that cross module borders: the vocabulary of the walk.

    image files -> Pack -> Batch -> Signal -> Outcome -> Run -> Report -> Export

NamedTuples rather than dataclasses, because DistributedDataParallel and torch.compile look inside
tuples and mappings but not inside plain dataclasses. B is the batch, C the classes.
"""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor


class MixedLabels(NamedTuple):
    """The other half of views made of two images.

    labels: int64 [B], the partner's label, -1 where unknown; share: float32 [B] in [0, 1], the weight of
    the image's own label, 1 - share that of its partner's.
    """

    labels: Tensor
    share: Tensor


class Batch(NamedTuple):
    """One view of some images, as they are stored: a network does its own resizing and scaling.

    images: uint8 [B, 3, H, W]; labels: int64 [B], -1 where unknown; ids: int64 [B], rows of the pack;
    view: which view of each image this is (0 where views are fixed); mixed: where each view is made
    of two images; whole: images in the whole batch over all processes (None: these are all);
    partners: uint8 [B, 3, H, W], for each another image of its class, where a method asks for them.
    """

    images: Tensor
    labels: Tensor
    ids: Tensor
    view: int
    mixed: MixedLabels | None = None
    whole: int | None = None
    partners: Tensor | None = None


class TeacherOutput(NamedTuple):
    """What a teacher says about a batch, wherever it came from.

    logits: [B, C] or None where nobody teaches; features: tensors by point name; others: the words of
    further teachers that are to be heard apart.
    """

    logits: Tensor | None
    features: Mapping[str, Tensor]
    others: tuple["TeacherOutput", ...] = ()


class ModelOutput(NamedTuple):
    """What a network says about a batch. logits: [B, C]; features: tensors by point name."""

    logits: Tensor
    features: Mapping[str, Tensor]


class LossOutput(NamedTuple):
    """A student compared with teacher and label, over the whole batch of all processes.

    logits: [B, C]; labels: int64 [B], -1 where unknown; terms: raw scalar by term name.
    """

    logits: Tensor
    labels: Tensor
    terms: Mapping[str, Tensor]


class Progress(NamedTuple):
    """Where training stands. epoch: from 0; step: optimizer steps done; fraction: of all, in [0, 1]."""

    epoch: int
    step: int
    fraction: float


class FeaturePoint(NamedTuple):
    """A place inside a network. path: a submodule, for what it returns; `path.input`, for what it is given.

    shape: without the batch: [C, H, W] of a map, [N, C] of tokens, [D] of a vector.
    """

    path: str
    shape: tuple[int, ...]


class Stage(NamedTuple):
    """A part of a network between two changes of size.

    entry: what it is given; before: its result before the last activation (the same as end where there is
    none); end: what it returns; norm: weight and bias [C] of the BatchNorm before that activation, or None.
    """

    entry: FeaturePoint
    before: FeaturePoint
    end: FeaturePoint
    norm: tuple[Tensor, Tensor] | None


class NetworkInfo(NamedTuple):
    """What a network is made of, as far as terms ask.

    family: name of its class; stages: from the first to the last; vector: what its last layer is given;
    head: weight [C, D] and bias [C] of that layer (frozen copies); shapes: of every point by path.
    vector and head are None where the network does not end in a linear layer. overwritten: points whose
    tensor is changed later on, so that what was there cannot be compared.
    """

    family: str
    stages: tuple[Stage, ...]
    vector: FeaturePoint | None
    head: tuple[Tensor, Tensor] | None
    shapes: Mapping[str, tuple[int, ...]]
    overwritten: frozenset[str] = frozenset()


NO_NETWORK_INFO = NetworkInfo("", (), None, None, {})
NO_TEACHER_OUTPUT = TeacherOutput(logits=None, features={})
START = Progress(epoch=0, step=0, fraction=0.0)
