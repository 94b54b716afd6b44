"""Name the network that a file's weights are of, where they are not those of the one that was asked for."""

import re
from collections.abc import Iterable

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
_MOST = 60
"""Networks of a family that are compared; each takes some hundredths of a second."""
_ENOUGH = 0.9
"""Share of the names of a network that a file must have to be called its weights."""


def suggest_network(contents: Contents, network: nn.Module) -> str | None:
    """Suggest a network of timm for the tensors of a file, by what it says and by names and shapes.

    Returns:
        The flag to try, with the share of tensors that fit; None: no network is near.
    """
    said = [timm_name(value) for path, value in contents.says.items() if isinstance(value, str)]
    known = [name for name in said if name is not None]
    architecture = (getattr(network, "pretrained_cfg", None) or {}).get("architecture", "")
    families = [*known, *([architecture] if timm.is_model(str(architecture)) else []), *_FAMILIES]
    best = max(_shares(contents, families[: len(known) + 1 + len(_FAMILIES)]), default=None)
    if best is None or not best[0]:
        return None
    nearest = max([best, *_shares(contents, _family(best[1]))])
    if nearest[0] < _ENOUGH:
        return f"--model {known[0]}, which the file names" if known else None
    return f"--model {nearest[1]}, which has these names and shapes"


def _family(name: str) -> Iterable[str]:
    """List the networks of one module of timm, those with the nearest names first."""
    module = timm.model_entrypoint(name).__module__.rpartition(".")[2]
    start = re.match(r"[a-z]+", name)
    names = [n for n in timm.list_models(module=module) if not n.startswith("test_")]
    names.sort(key=lambda other: not other.startswith(start.group() if start else name))
    return names[:_MOST]


def _shares(contents: Contents, names: Iterable[str]) -> list[tuple[float, str]]:
    """Return what share of each network's names and shapes a file has, less what it has beside them."""
    largest = len(next(iter(bare_tables(contents)), ()))
    found = []
    for name in dict.fromkeys(names):
        with torch.device("meta"):  # shapes without numbers
            wanted = timm.create_model(name).state_dict()
        tables = find_tables(contents, wanted.keys())
        fitting = max(
            (
                sum(
                    contents.tensors[path].shape == tuple(wanted[own].shape)
                    for own, path in table.names.items()
                )
                for table in tables
            ),
            default=0,
        )
        found.append((fitting / max(len(wanted), largest), name))
    return found
