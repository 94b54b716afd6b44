"""Find the tables of a network's tensors in a file: under any keys and prefixes, averages first."""

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from tutelage.models.weight_files.contents import Contents

WRAPPERS = (
    "module",
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
    "_fpw_module",
)
"""What DataParallel, torch.compile, FSDP, activation checkpointing and fairscale put between names."""
_AVERAGE = re.compile(r"ema\w*|\w*(?<!sch)ema|swa\w*|averag\w*|avg|mean_teacher|polyak")
_ASIDE = re.compile(
    r"\w*optim\w*|\w*grads?|exp_avg\w*|current|init|initial|old|prev\w*|online|momentum\w*|\w*sched\w*"
)
_WORDS = re.compile(r"[^._\W]+")


class TensorTable(NamedTuple):
    """Tensors of a file that bear the names of a network, all under one prefix."""

    prefix: str
    """What stands before the names, such as `state_dict.model.`; keys and prefixes alike."""

    names: Mapping[str, str]
    """Name in the network -> path in the file."""

    @property
    def is_average(self) -> bool:
        """Whether its keys call it a moving average."""
        return is_average(self.prefix)

    @property
    def is_aside(self) -> bool:
        """Whether its keys call it something that is no finished network, such as the first weights."""
        return any(_ASIDE.fullmatch(word) for word in _words(self.prefix))


def is_average(path: str) -> bool:
    """Return whether keys call what lies under them a moving average.

    >>> [is_average(path) for path in ("state_dict_ema.module", "callbacks.EMA.weights", "schema.model")]
    [True, True, False]
    """
    return any(_AVERAGE.fullmatch(word) for word in _words(path))


def _words(path: str) -> list[str]:
    """Return the keys of a path, and the words that each consists of."""
    return [*path.lower().split("."), *_WORDS.findall(path.lower())]


def find_tables(contents: Contents, wanted: Collection[str]) -> list[TensorTable]:
    """List the tables that hold names of a network, in the order of the file.

    Args:
        contents: of the file.
        wanted: names of the network's tensors.
    """
    own = {part for name in wanted for part in name.split(".")}
    found: dict[str, dict[str, str]] = {}
    for path in contents.tensors:
        parts = without_wrappers(path, own).split(".")
        for at in range(len(parts)):
            name = ".".join(parts[at:])
            if name in wanted:
                prefix = "".join(f"{part}." for part in parts[:at])
                found.setdefault(prefix, {}).setdefault(name, path)
    return [TensorTable(prefix, names) for prefix, names in found.items()]


def without_wrappers(path: str, own: Collection[str]) -> str:
    """Remove what wrappers of networks put between names, unless the network has such parts itself.

    >>> without_wrappers("state_dict.module._orig_mod.layer1.0.weight", {"layer1", "0", "weight"})
    'state_dict.layer1.0.weight'
    """
    return ".".join(part for part in path.split(".") if part not in WRAPPERS or part in own)


def bare_tables(contents: Contents) -> list[dict[str, str]]:
    """List all tables without regard to a network, the likeliest first: names without prefixes -> paths."""
    homes: dict[str, list[str]] = {}
    for path, home in contents.homes.items():
        homes.setdefault(home, []).append(path)
    aside = {home: any(_ASIDE.fullmatch(word) for word in _words(home)) for home in homes}
    order = sorted(homes, key=lambda home: (aside[home], not is_average(home), -len(homes[home])))
    return [_bare(home, homes[home]) for home in order]


def _bare(home: str, paths: list[str]) -> dict[str, str]:
    """Strip the home of a table from its names, and prefixes that all of them share."""
    names = {without_wrappers(path[len(home) :].lstrip("."), ()): path for path in paths}
    names.pop("n_averaged", None)
    while len(names) > 1:
        firsts = {name.partition(".")[0] for name in names}
        if len(firsts) > 1 or not all("." in name for name in names):
            break
        names = {name.partition(".")[2]: path for name, path in names.items()}
    return names
