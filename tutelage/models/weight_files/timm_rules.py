"""What timm knows of a kind of network: its classifier, its first convolution, its older names."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import timm
import torch
from timm.models import adapt_input_conv
from torch import Tensor, nn

Convert = Callable[..., Mapping[str, Any]]
_FILTERS = (
    "checkpoint_filter_fn",
    "_filter_torchvision_pretrained",
    "_filter_fn",
    "pretrained_filter_fn",
)


class TimmRules(NamedTuple):
    """How weights of a kind of network are adapted; without any, every tensor must fit as it is."""

    heads: tuple[str, ...] = ()
    """The classifier layers, which other class counts change."""

    first_convs: tuple[str, ...] = ()
    """The layers that see the image, which other channel counts change."""

    convert: Convert | None = None
    """timm's own translation of older and foreign names: (table, network) -> table."""

    def is_head(self, name: str) -> bool:
        """Return whether a tensor belongs to a classifier layer."""
        return any(name.startswith(f"{head}.") for head in self.heads)

    def fits(self, name: str, found: tuple[int, ...], wanted: torch.Size) -> bool:
        """Return whether a tensor of this shape can be taken for one of the network's."""
        return tuple(found) == tuple(wanted) or self.adapts(name, found, wanted)

    def adapts(self, name: str, found: tuple[int, ...], wanted: torch.Size) -> bool:
        """Return whether it is a first convolution that differs in the image's channels alone, 1 or 3."""
        return (
            name in [f"{conv}.weight" for conv in self.first_convs]
            and len(found) == len(wanted) == 4
            and found[:1] + found[2:] == tuple(wanted[:1] + wanted[2:])
            and {found[1], wanted[1]} == {1, 3}
        )


def timm_rules(network: nn.Module, classifier: str | tuple[str, ...]) -> TimmRules:
    """Collect what timm knows of a network.

    Args:
        network: any module; one that timm has not made has a classifier alone.
        classifier: names of the classifier layers.
    """
    config = cast(dict[str, Any] | None, getattr(network, "pretrained_cfg", None)) or {}
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    convs = config.get("first_conv") or ()
    architecture = str(config.get("architecture") or "")
    convert: Convert | None = None
    if timm.is_model(architecture):
        module = sys.modules[timm.model_entrypoint(architecture).__module__]
        found = (getattr(module, name, None) for name in _FILTERS)
        convert = cast(Convert | None, next(filter(callable, found), None))
    return TimmRules(
        tuple(filter(None, heads)), (convs,) if isinstance(convs, str) else tuple(convs), convert
    )


def adapt_first_conv(weight: Tensor, channels: int) -> Tensor:
    """Adapt the weight of a first convolution [O, I, H, W] to images of 1 or 3 channels.

    From 3 to 1 by timm's rule, the sum. From 1 to 3, a third to each: grey images give the same output.
    """
    if weight.shape[1] == 1 and channels == 3:
        return weight.float().repeat(1, 3, 1, 1) / 3
    return adapt_input_conv(channels, weight)
