"""Read `tutelage.json`: the facts about a saved network that timm's layout has no place for."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage.config.data import PREPARATION, DataConfig
from tutelage.config.image_size import height_width, image_size
from tutelage.config.schema import build
from tutelage.errors import InputError, UsageError
from tutelage.storage.checksums import read_sealed
from tutelage.storage.run_results import require_network_files
from tutelage.storage.safe_paths import path_inside
from tutelage.text import escape

FORMAT = 2
KIND = "a model folder"
FIX = "save the network again: the command that made the run, into another folder"
MOST_CLASSES = 100_000
LARGEST_SIDE = 4096
"""Pixels; as `data.image_size`."""
_NEEDED = {"files", "network", "classes", "stored_size", "input_size", "background", "mean", "std"}


def network_folder(path: Path) -> Path:
    """Return the model folder inside a run folder, or the folder itself if it is one.

    Raises:
        InputError: the one in a run folder is a link out of it, or not the one the run finished with.
    """
    if not (path / "model").is_dir():
        return path
    if (path / "run.json").is_file():
        require_network_files(path)
    return path_inside(path, "model", where=path)


def read_metadata(folder: Path) -> dict[str, Any]:
    """Read the `tutelage.json` of a model folder and check the type and size of every field.

    Raises:
        InputError: there is none, or it is of another format, damaged, or has a value that cannot be used.
    """
    path = folder / "tutelage.json"
    if not path.is_file():
        raise InputError(
            "not a model folder",
            where=folder,
            found="no tutelage.json",
            expected="a folder with model.safetensors and tutelage.json, such as RUN/model",
        )
    metadata = read_sealed(path, kind=KIND, version=FORMAT, fix=FIX)
    try:
        if missing := _NEEDED - metadata.keys():
            raise KeyError(f"without {', '.join(sorted(missing))}")
        _require_valid(metadata)
    except (ValueError, KeyError, TypeError, UsageError) as error:
        raise InputError("not a model folder", where=path, found=error) from error
    return metadata


def _require_valid(metadata: Mapping[str, Any]) -> None:
    """Refuse values that would fail later, or take memory that no images need."""
    if not isinstance(metadata["files"], dict):
        raise ValueError("files is not a table")
    classes = metadata["classes"]
    if not isinstance(classes, list) or not 1 <= len(classes) <= MOST_CLASSES:
        raise ValueError(f"classes is not a list of 1 to {MOST_CLASSES:,} names")
    if not all(isinstance(name, str) and name == escape(name) for name in classes):
        raise ValueError("a class name has characters that cannot be printed")
    if len(set(classes)) < len(classes):
        raise ValueError("two classes have the same name")
    for key in ("stored_size", "input_size"):
        if max(height_width(image_size(metadata[key]))) > LARGEST_SIDE:
            raise ValueError(f"{key} is not 1 to {LARGEST_SIDE}")
    prepared = metadata.get("preparation", {})
    if not isinstance(prepared, dict) or not prepared.keys() <= {*PREPARATION}:
        raise ValueError("preparation is not a table of how images are prepared")
    channels = build(DataConfig, prepared, where="preparation").channels
    for key in ("mean", "std"):
        numbers = [float(number) for number in metadata[key]]
        if len(numbers) != channels or not all(map(math.isfinite, numbers)):
            raise ValueError(f"{key} is not a number for each of {channels} channels")
    if 0 in metadata["std"] or metadata["background"] not in ("white", "black"):
        raise ValueError("std is 0, or background is not white or black")
    reuses = metadata.get("reuses")
    if metadata["network"] is not None and not isinstance(metadata["network"], dict):
        raise ValueError("network is not a table")
    if reuses is not None and (
        set(reuses) != {"channels", "reduction"}
        or not all(type(width) is int and 1 <= width <= 1 << 16 for width in reuses.values())
    ):
        raise ValueError("reuses is not a table of widths")
