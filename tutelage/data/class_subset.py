"""A pack as a specialist sees it: some of the classes, and one more for all others, the dustbin.

Hinton, Vinyals and Dean 2015, arXiv:1503.02531, section 5.2. Images, splits and keys are those of the pack;
labels, class names and the fingerprint are of the subset.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tutelage.config.schema import fingerprint
from tutelage.data.pack.pack import Pack
from tutelage.errors import InputError, suggest


def dustbin_class(classes: Sequence[str]) -> str:
    """Return a name for all other classes together, one that none of the classes has.

    >>> dustbin_class(["cat", "dog"]), dustbin_class(["cat", "(others)"])
    ('(others)', '((others))')
    """
    name = "(others)"
    while name in classes:
        name = f"({name})"
    return name


def class_subset(pack: Pack, group: Sequence[str]) -> Pack:
    """Return the pack with a group's classes as 0 to G - 1, in the order given, and all others as class G.

    Args:
        pack: of all classes.
        group: names of G classes of the pack, at least one and not all of them.

    Raises:
        InputError: a class the pack does not have, a class named twice, or no class left for the others.
    """
    _require(pack, group)
    number = {name: place for place, name in enumerate(group)}
    # One more place for the label -1 of the unlabelled, which indexes the last one.
    to = np.array([*(number.get(name, len(group)) for name in pack.classes), -1], np.int64)
    manifest = {
        **pack.manifest,
        "classes": [*group, dustbin_class(pack.classes)],
        "fingerprint": fingerprint("grouped", pack.fingerprint, list(group)),
    }
    return dataclasses.replace(pack, manifest=manifest, labels=to[pack.labels])


def _require(pack: Pack, group: Sequence[str]) -> None:
    unknown = next((name for name in group if name not in pack.classes), None)
    if unknown is not None:
        raise InputError(
            f"no class named {unknown} in the data", expected=suggest(unknown, pack.classes)
        )
    if not group or len(set(group)) < len(group) or len(group) == len(pack.classes):
        raise InputError(
            "a specialist takes some of the classes, each of them once",
            found=", ".join(group) or "none",
            expected=f"fewer than {len(pack.classes)} different classes",
        )
