"""`tutelage.json`: what timm's layout of a model folder has no place for, held to its kinds and sizes."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage.errors import InputError
from tutelage.storage.checksums import read_sealed
from tutelage.text import escape

FORMAT = 2
KIND = "a model folder"
FIX = "save the network again: the command that made the run, into another folder"
MOST_CLASSES = 100_000
LARGEST_SIDE = 4096
"""Pixels; as `data.image_size`."""
_NEEDED = {"files", "network", "classes", "stored_size", "input_size", "background", "mean", "std"}


def read_metadata(folder: Path) -> dict[str, Any]:
    """What `tutelage.json` of a model folder says, every field of a kind and size that can be used.

    Raises:
        InputError: there is none, of another format, damaged, or one that nobody would have written.
    """
    path = folder / "tutelage.json"
    if not path.is_file():
        raise InputError(
            "not a model folder",
            where=folder,
            found="no tutelage.json",
            expected="a folder with model.safetensors and tutelage.json, such as RUN/model",
        )
    facts = read_sealed(path, kind=KIND, version=FORMAT, fix=FIX)
    try:
        if missing := _NEEDED - facts.keys():
            raise KeyError(f"without {', '.join(sorted(missing))}")
        _require_sound(facts)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError("not a model folder", where=path, found=error) from error
    return facts


def _require_sound(facts: Mapping[str, Any]) -> None:
    """Refuse facts that would break what is made of them, or take memory that no images need."""
    if not isinstance(facts["files"], dict):
        raise ValueError("files is no table")
    classes = facts["classes"]
    if not isinstance(classes, list) or not 1 <= len(classes) <= MOST_CLASSES:
        raise ValueError(f"classes is no list of 1 to {MOST_CLASSES:,} names")
    if not all(isinstance(name, str) and name == escape(name) for name in classes):
        raise ValueError("a class name that cannot be shown")
    if len(set(classes)) < len(classes):
        raise ValueError("two classes of one name")
    for key in ("stored_size", "input_size"):
        if type(facts[key]) is not int or not 1 <= facts[key] <= LARGEST_SIDE:
            raise ValueError(f"{key} is not 1 to {LARGEST_SIDE}")
    for key in ("mean", "std"):
        numbers = [float(number) for number in facts[key]]
        if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
            raise ValueError(f"{key} is not three numbers")
    if 0 in facts["std"] or facts["background"] not in ("white", "black"):
        raise ValueError("std or background is none that is ever written")
    reuses = facts.get("reuses")
    if facts["network"] is not None and not isinstance(facts["network"], dict):
        raise ValueError("network is no table")
    if reuses is not None and (
        set(reuses) != {"channels", "reduction"}
        or not all(type(width) is int and 1 <= width <= 1 << 16 for width in reuses.values())
    ):
        raise ValueError("reuses is no table of widths")
