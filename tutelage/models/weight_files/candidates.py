"""Part a weight file into candidates: a table that may be a network's, and what stands around it."""

import math
from collections.abc import Mapping
from functools import partial
from inspect import signature
from typing import NamedTuple

from torch import Tensor, nn

from tutelage.models.weight_files.contents import Contents
from tutelage.models.weight_files.stored_tensor import StoredTensor
from tutelage.models.weight_files.tables import TensorTable, bare_tables, without_wrappers
from tutelage.models.weight_files.timm_rules import TimmRules

Tensors = Mapping[str, StoredTensor]


class Candidate(NamedTuple):
    """One table of a file, as it lies before a network."""

    key: str
    tensors: Tensors
    """By names of the network."""

    rest: Tensors
    """What else is in the table, by names below its prefix: all of it must be accounted for."""

    beside: Tensors
    """What stands beside the network in the same tables; a classifier is looked for in it."""


def candidate_of(table: TensorTable, contents: Contents) -> Candidate:
    """Part a table's own tensors from those that stand beside it."""
    taken = set(table.names.values())
    homes = {contents.homes[path] for path in taken}
    around = {home.rpartition(".")[0] for home in homes}
    own = {part for name in table.names for part in name.split(".")}
    rest, beside = {}, {}
    for path, tensor in contents.tensors.items():
        home = contents.homes[path]
        if path in taken or not (home in homes or home.rpartition(".")[0] in around):
            continue
        clean = without_wrappers(path, own)
        if home in homes and clean.startswith(table.prefix):
            rest[clean.removeprefix(table.prefix)] = tensor
        elif home in homes or len(homes) == 1:
            beside[clean] = tensor
    tensors = {name: contents.tensors[path] for name, path in table.names.items()}
    return Candidate(table.prefix.removesuffix("."), tensors, rest, beside)


def convertible(best: TensorTable | None, contents: Contents) -> list[dict[str, str]]:
    """List the tables that timm may know under other names: that of the most names, then the likeliest."""
    found = bare_tables(contents)[:2]
    if best is not None:
        own = {part for name in best.names for part in name.split(".")}
        homes = {contents.homes[path] for path in best.names.values()}
        clean = {without_wrappers(p, own): p for p, home in contents.homes.items() if home in homes}
        found.insert(
            0,
            {
                name.removeprefix(best.prefix): path
                for name, path in clean.items()
                if name.startswith(best.prefix)
            },
        )
    return found


def converted(
    names: Mapping[str, str], contents: Contents, network: nn.Module, rules: TimmRules, most: int
) -> Candidate | None:
    """Translate a table by timm's own rule; None: there is none, or it does not know the table."""
    if rules.convert is None or not names:
        return None
    stored = {name: contents.tensors[path] for name, path in names.items()}
    require_bytes(stored, most)
    try:
        state = {name: one.read() for name, one in stored.items()}
        takes_network = len(signature(rules.convert).parameters) > 1
        found = rules.convert(state, network) if takes_network else rules.convert(state)
    except Exception:  # a table of anything, in a function that expects its own
        return None
    tensors = {
        name: StoredTensor(tuple(tensor.shape), tensor.dtype, partial(_itself, tensor))
        for name, tensor in found.items()
        if isinstance(tensor, Tensor)
    }
    wanted = network.state_dict().keys()
    rest = {name: tensor for name, tensor in tensors.items() if name not in wanted}
    return Candidate(key_of(names), {n: tensors[n] for n in tensors if n in wanted}, rest, {})


def key_of(names: Mapping[str, str]) -> str:
    """Return what stands before the names of a table in the file."""
    name, path = next(iter(names.items()), ("", ""))
    return path.removesuffix(name).rstrip(".")


def _itself(tensor: Tensor) -> Tensor:
    return tensor


def require_bytes(tensors: Tensors, most: int) -> None:
    """Refuse tensors that take far more memory than their file: they would share their numbers.

    Raises:
        ValueError: they do.
    """
    if sum(one.dtype.itemsize * math.prod(one.shape) for one in tensors.values()) > most:
        raise ValueError("its tensors share their numbers too often")
