"""Put a network's outputs into the order of the data's classes, or take those of some of its classes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from tutelage.errors import InputError


def reorder_classes(
    network: nn.Module, names: Sequence[str], classes: Sequence[str], *, where: object
) -> None:
    """Change the classifier layer so that output i is that of `classes[i]`; all else stays, to the bit.

    Args:
        network: of timm, changed in place.
        names: of its outputs, in their order.
        classes: all or some of `names`.
        where: the network, for messages.

    Raises:
        InputError: another number of names than outputs, a class that is not among them, or a network whose
            classifier is no layer of its own.
    """
    number = {name: index for index, name in enumerate(names)}
    if unknown := [name for name in classes if name not in number]:
        raise InputError(
            "the network does not know these classes",
            where=where,
            found=", ".join(unknown[:8]),
            expected=", ".join(names[:8]),
        )
    layers = _classifiers(network)
    if not layers or any(len(layer.weight) != len(names) for layer in layers):
        outputs = ", ".join(str(len(layer.weight)) for layer in layers)
        raise InputError(
            "the names are not those of the network's outputs",
            where=where,
            found=f"{len(names)} names, {outputs or 'no'} outputs of a classifier layer",
        )
    order = torch.tensor([number[name] for name in classes])
    kept = [{kind: t.detach()[order] for kind, t in layer.named_parameters()} for layer in layers]
    if len(classes) != len(names):
        made: Any = network
        made.reset_classifier(len(classes))
        layers = _classifiers(network)
    with torch.no_grad():
        for layer, rows in zip(layers, kept, strict=True):
            for kind, parameter in layer.named_parameters():
                parameter.copy_(rows[kind])


def _classifiers(network: nn.Module) -> list[Any]:
    """List the layers that make the outputs."""
    config: Any = getattr(network, "pretrained_cfg", None) or {}
    names = config.get("classifier") or ()
    found = dict(network.named_modules())
    layers = [found.get(name) for name in ((names,) if isinstance(names, str) else names)]
    return [layer for layer in layers if isinstance(layer, nn.Linear | nn.Conv2d)]
