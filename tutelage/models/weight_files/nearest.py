"""Name the network that a file's weights are of, where they are not those of the one that was asked for."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import NamedTuple

import timm
import torch
from torch import nn

from tutelage.models.names import timm_name
from tutelage.models.weight_files.contents import Contents
from tutelage.models.weight_files.tables import bare_tables, find_tables

_FAMILIES = (
    "resnet18",
    "vit_tiny_patch16_224",
    "convnext_atto",
    "efficientnet_b0",
    "mobilenetv3_small_050",
    "densenet121",
    "vgg11_bn",
    "regnetx_002",
    "swin_tiny_patch4_window7_224",
    "mobilenetv4_conv_small",
)
"""A small network of each family whose others are looked at."""
_SAME_FAMILY, _CERTAIN = 0.3, 0.97
_MOST = 12
"""Networks of a family that are compared; each takes some hundredths of a second, or tenths."""
_ENOUGH = 0.9
"""Share of the names of a network that a file must have to be called its weights."""


def suggest_network(contents: Contents, network: nn.Module) -> str | None:
    """Suggest another network of timm for the tensors of a file, by what it says and by names and shapes.

    Returns:
        The flag to try; None: no network is near.
    """
    said = [timm_name(value) for value in contents.says.values() if isinstance(value, str)]
    asked = str((getattr(network, "pretrained_cfg", None) or {}).get("architecture", ""))
    near = [name for name in (*said, asked) if name and timm.is_model(name.partition(".")[0])]
    best = max(_compared(contents, [*near, *_FAMILIES]), key=_rank)
    if best.fits < _ENOUGH and best.names > _SAME_FAMILY:
        best = max([best, *_compared(contents, _family(best.name))], key=_rank)
    if best.fits < _ENOUGH or best.name == asked:
        return None
    return f"--model {best.name}, which has these names and shapes"


class _Likeness(NamedTuple):
    """What share of the tensors of a network, and of a file, are in both: with the same shape; by name."""

    fits: float
    names: float
    name: str


def _rank(found: _Likeness) -> tuple[bool, float, float]:
    return found.fits >= _ENOUGH, found.names, found.fits


def _family(name: str) -> list[str]:
    """List the networks of one module of timm: those with the nearest names, and the plainest names."""
    module = timm.model_entrypoint(name.partition(".")[0]).__module__.rpartition(".")[2]
    names = [other for other in timm.list_models(module=module) if other != name]
    near = get_close_matches(name, names, n=_MOST, cutoff=0.0)
    start = name.partition("_")[0]
    plain = sorted(names, key=lambda other: (not other.startswith(start), len(other)))
    return [*near, *plain[:_MOST]]


def _compared(contents: Contents, names: Iterable[str]) -> Iterator[_Likeness]:
    """Compare a file with networks, up to the first that is certain."""
    largest = max((len(table) for table in bare_tables(contents)[:2]), default=0)
    for name in dict.fromkeys(names):
        with torch.device("meta"):  # shapes without numbers
            wanted = timm.create_model(name).state_dict()
        tables = find_tables(contents, wanted.keys())
        table = max((one.names for one in tables), key=len, default={})
        fitting = [
            own
            for own, path in table.items()
            if contents.tensors[path].shape == tuple(wanted[own].shape)
        ]
        whole = max(len(wanted), largest)
        yield _Likeness(len(fitting) / whole, len(table) / whole, name)
        if len(fitting) > _CERTAIN * whole:
            return
