"""The tuples that cross module borders.

    image files -> Pack -> Batch -> ModelOutput, TeacherOutput -> LossOutput -> run folder -> report, export

NamedTuples rather than dataclasses, because DistributedDataParallel and torch.compile look inside
tuples and mappings but not inside plain dataclasses. B is the batch, C the classes.
"""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor


class MixedLabels(NamedTuple):
    """The partner images of views mixed from two images."""

    labels: Tensor
    """int64 [B], the partner's label, -1 where unknown."""
    share: Tensor
    """float32 [B] in [0, 1], the weight of the image's own label; the partner's is 1 - share."""


class Batch(NamedTuple):
    """One view of some images, as they are stored: a network resizes and scales them itself."""

    images: Tensor
    """uint8 [B, 3, H, W]."""
    labels: Tensor
    """int64 [B], -1 where unknown."""
    ids: Tensor
    """int64 [B], rows of the pack."""
    view: int
    """Which view of each image this is; 0 if views are fixed."""
    mixed: MixedLabels | None = None
    """For views mixed from two images."""
    whole: int | None = None
    """Images in the whole batch over all processes; None if these are all."""
    partners: Tensor | None = None
    """uint8 [B, 3, H, W], another image of the same class for each, if the method needs them."""


class TeacherOutput(NamedTuple):
    """The output of a teacher for a batch, live or cached."""

    logits: Tensor | None
    """[B, C]; None without a teacher."""
    features: Mapping[str, Tensor]
    """By path of a feature point."""
    others: tuple["TeacherOutput", ...] = ()
    """Outputs of further teachers that are not combined with this one."""


class ModelOutput(NamedTuple):
    """The output of a network for a batch."""

    logits: Tensor
    """[B, C]."""
    features: Mapping[str, Tensor]
    """By path of a feature point."""


class LossOutput(NamedTuple):
    """The losses of a student over the whole batch of all processes."""

    logits: Tensor
    """[B, C]."""
    labels: Tensor
    """int64 [B], -1 where unknown."""
    terms: Mapping[str, Tensor]
    """Unweighted scalar by loss term."""


class Progress(NamedTuple):
    """The progress of training."""

    epoch: int
    """From 0."""
    step: int
    """Optimizer steps done."""
    fraction: float
    """Of all steps, in [0, 1]."""


class FeaturePoint(NamedTuple):
    """A tensor inside a network."""

    path: str
    """A submodule, for its output; `path.input` for its input."""
    shape: tuple[int, ...]
    """Without the batch: [C, H, W] of a map, [N, C] of tokens, [D] of a vector."""


class Stage(NamedTuple):
    """A part of a network between two changes of resolution."""

    entry: FeaturePoint
    """Its input."""
    before: FeaturePoint
    """Its output before the last activation; the same as `end` without one."""
    end: FeaturePoint
    """Its output."""
    norm: tuple[Tensor, Tensor] | None
    """Weight and bias [C] of the BatchNorm before that activation."""


class NetworkInfo(NamedTuple):
    """The structure of a network, as far as loss terms use it."""

    family: str
    """Name of its class."""
    stages: tuple[Stage, ...]
    """From the first to the last."""
    vector: FeaturePoint | None
    """Input of the last layer; None if the network does not end in a linear layer."""
    head: tuple[Tensor, Tensor] | None
    """Weight [C, D] and bias [C] of the last layer (frozen copies); None as for `vector`."""
    shapes: Mapping[str, tuple[int, ...]]
    """Shape of every point by path."""
    overwritten: frozenset[str] = frozenset()
    """Points whose tensor is modified in place later, so that it cannot be compared."""


NO_NETWORK_INFO = NetworkInfo("", (), None, None, {})
NO_TEACHER_OUTPUT = TeacherOutput(logits=None, features={})
START = Progress(epoch=0, step=0, fraction=0.0)
