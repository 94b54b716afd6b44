"""Fit the tensors of a weight file to a network: which are taken, what is left random, and why.

A guess is held against the network: the table that is taken is the one whose names and shapes are the
network's. Nothing of it may be left over, so that weights of a deeper network are not taken for those of a
shallower one.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from tutelage.models.weight_files.candidates import (
    Candidate,
    Tensors,
    candidate_of,
    converted,
    convertible,
    key_of,
    require_bytes,
)
from tutelage.models.weight_files.contents import Contents
from tutelage.models.weight_files.stored_tensor import StoredTensor
from tutelage.models.weight_files.tables import TensorTable, bare_tables, find_tables
from tutelage.models.weight_files.timm_rules import TimmRules, adapt_first_conv

_COUNTERS = re.compile(
    r"(.+\.)?(num_batches_tracked|n_averaged|total_ops|total_params|initted|global_step|step|epoch)"
)
_BESIDE = re.compile(
    r"\w*(loss|criterion|metric|accuracy|auroc|confmat|confusion|precision|recall|kappa|teacher|queue|mixup)\w*"
    r"|(train|val|valid|validation|test)?_?(acc|auc|f1|top1|top5)\w*|normali[sz]e\w*|norm_?(mean|std)|mean|std"
    r"|center|preprocess\w*|aux\w*"
)
"""First parts of names that stand beside a network: losses, metrics, normalization, auxiliary classifiers."""


class Fit(NamedTuple):
    """What a file gives to a network."""

    state: dict[str, Tensor]
    """By the names of the network."""

    random: tuple[str, ...]
    """Names of the classifier that the file does not give."""

    key: str
    """Where in the file they stand."""

    notes: tuple[str, ...]
    """What is to be said of it."""

    misfits: Mapping[str, Sequence[str]]
    """What does not fit, by kind; if there is any, nothing is to be taken."""


def fit_contents(contents: Contents, network: nn.Module, rules: TimmRules, *, most: int) -> Fit:
    """Find the best table of a file for a network and fit it.

    Args:
        contents: of the file.
        network: unchanged.
        rules: of its kind.
        most: bytes that the tensors of a table may take.

    Raises:
        ValueError: a tensor that the file does not store whole, or tables of more bytes.
    """
    wanted = network.state_dict()
    tables = find_tables(contents, wanted.keys())
    body = [n for n, t in wanted.items() if t.is_floating_point() and not rules.is_head(n)]

    def is_whole(table: TensorTable) -> bool:
        shapes = {n: contents.tensors[path].shape for n, path in table.names.items()}
        return all(n in shapes and rules.fits(n, shapes[n], wanted[n].shape) for n in body)

    whole = sorted(
        filter(is_whole, tables), key=lambda table: (table.is_aside, not table.is_average)
    )
    fit = partial(_fit, network=network, rules=rules, most=most)
    for table in whole:
        found = fit(candidate_of(table, contents))
        if not found.misfits:
            return found._replace(notes=(*found.notes, *_choice(table, tables, whole)))
    best = max(tables, key=lambda table: len(table.names), default=None)
    tried = [fit(candidate_of(best, contents))] if best else []
    for names in convertible(best, contents):
        if (other := converted(names, contents, network, rules, most)) is not None:
            tried.append(fit(other))
            if not tried[-1].misfits:
                return tried[-1]
    if best is None or len(best.names) < len(wanted) // 2:
        names = next(iter(bare_tables(contents)), {})
        rest = {name: contents.tensors[path] for name, path in names.items()}
        return fit(Candidate(key_of(names), {}, rest, {}))
    return tried[0]


def _fit(candidate: Candidate, *, network: nn.Module, rules: TimmRules, most: int) -> Fit:
    """Compare one table with the network, and read it where it fits."""
    wanted = network.state_dict()
    tensors = dict(candidate.tensors)
    rest = _without_bookkeeping(candidate.rest, network)
    beside = _without_bookkeeping(candidate.beside, network)
    random: list[str] = []
    notes: list[str] = []
    for head in rules.heads:
        own = {n: t for n, t in wanted.items() if n.startswith(f"{head}.")}
        if all(n in tensors and tensors[n].shape == tuple(t.shape) for n, t in own.items()):
            continue
        weight, around = wanted.get(f"{head}.weight"), {**beside, **rest}
        layer = _other_head(rest, weight) or _other_head(beside, weight)
        named = {f"{head}.{kind}": name for kind, name in layer.items()}
        if named and all(
            n in named and around[named[n]].shape == tuple(t.shape) for n, t in own.items()
        ):
            tensors |= {name: around[other] for name, other in named.items()}
            notes.append(f"the head from {layer['weight'].removesuffix('.weight')}")
        else:
            random += own
            found = tensors.get(f"{head}.weight") or (around[layer["weight"]] if layer else None)
            notes.append(_why_random(found, weight))
        rest = {name: tensor for name, tensor in rest.items() if name not in named.values()}
    misfits = _misfits(tensors, rest, wanted, rules, random)
    if misfits:
        return Fit({}, tuple(random), candidate.key, tuple(notes), misfits)
    chosen = {name: one for name, one in tensors.items() if name not in random}
    require_bytes(chosen, most)
    state = {}
    for name, stored in chosen.items():
        state[name] = stored.read()
        if rules.adapts(name, stored.shape, wanted[name].shape):
            channels = wanted[name].shape[1]
            notes.append(f"{name} from {stored.shape[1]} channels to {channels}")
            state[name] = adapt_first_conv(state[name], channels)
    return Fit(state, tuple(random), candidate.key, tuple(notes), {})


def _misfits(
    tensors: Tensors,
    rest: Tensors,
    wanted: Mapping[str, Tensor],
    rules: TimmRules,
    random: Sequence[str],
) -> dict[str, list[str]]:
    """List what does not fit; counters that are missing are filled in, as torch does with older files."""
    kept = {name: one for name, one in tensors.items() if name not in random}
    kinds = {
        "missing": [
            name
            for name, tensor in wanted.items()
            if tensor.is_floating_point() and name not in tensors and name not in random
        ],
        "not in the network": list(rest),
        "of another shape": [
            f"{name} {list(one.shape)} (network: {list(wanted[name].shape)})"
            for name, one in kept.items()
            if not rules.fits(name, one.shape, wanted[name].shape)
        ],
        "whole numbers": [
            f"{name} {one.dtype}".replace("torch.", "")
            for name, one in kept.items()
            if wanted[name].is_floating_point() and not one.dtype.is_floating_point
        ],
    }
    return {kind: names for kind, names in kinds.items() if names}


def _without_bookkeeping(tensors: Tensors, network: nn.Module) -> Tensors:
    """Leave out counters, buffers that are made anew, and losses and metrics beside a network."""
    own, buffers = dict(network.named_children()), dict(network.named_buffers())
    return {
        name: tensor
        for name, tensor in tensors.items()
        if not (
            _COUNTERS.fullmatch(name)
            or name in buffers
            or ((first := name.partition(".")[0]) not in own and _BESIDE.fullmatch(first.lower()))
        )
    }


def _other_head(rest: Tensors, weight: Tensor | None) -> dict[str, str]:
    """Find the one layer that is left if it can be the classifier: `weight` and `bias` -> names."""
    layers: dict[str, dict[str, str]] = {}
    for name in rest:
        layer, _, kind = name.rpartition(".")
        layers.setdefault(layer, {})[kind] = name
    if len(layers) != 1 or weight is None:
        return {}
    (parts,) = layers.values()
    fits = "weight" in parts and rest[parts["weight"]].shape[1:] == tuple(weight.shape[1:])
    return parts if fits and parts.keys() <= {"weight", "bias"} else {}


def _why_random(own: StoredTensor | None, weight: Tensor | None) -> str:
    if own is None or weight is None or not own.shape:
        return "head left random: the file has none"
    return (
        f"head left random: the file has {own.shape[0]:,} classes, the network {weight.shape[0]:,}"
    )


def _choice(
    taken: TensorTable, tables: Sequence[TensorTable], whole: Sequence[TensorTable]
) -> list[str]:
    """Say which of several tables was taken, and why an average was not."""
    notes = []
    if taken.is_average:
        notes.append(f"the moving average, {taken.prefix.removesuffix('.')}")
    elif any(t.is_average and len(t.names) > len(taken.names) // 2 for t in tables):
        notes.append("not the moving average, which is not whole")
    others = [t.prefix.removesuffix(".") or "the outermost table" for t in whole if t != taken]
    if others:
        notes.append(f"not {', '.join(others[:3])}")
    return notes
