"""The checkpoints of one run, in `checkpoints/step-NNNNNNNN`: find the newest intact one, remove old ones.

Only folders of such a name are looked at, and of what is in them only the files of a checkpoint are ever
removed. The caller holds the lock of the run's folder.
"""

import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tutelage.engine.checkpoint.format import FACTS, MANIFEST, TENSORS, check_checkpoint
from tutelage.errors import InputError

NAME = "checkpoints"
KEPT = 2
_STEP = re.compile(r"step-\d{8,}")
_EARLIER = "checkpoint"  # where earlier versions kept the only one


class LatestCheckpoint(NamedTuple):
    """The newest whole checkpoint, None where there is none at all; and newer ones that are refused: why."""

    folder: Path | None
    refused: list[str]


def checkpoint_folder(run: Path, step: int) -> Path:
    """Return the folder of the checkpoint after a step."""
    return run / NAME / f"step-{step:08d}"


def find_latest_checkpoint(run: Path) -> LatestCheckpoint:
    """Find the newest checkpoint of a run whose every byte is as it was written.

    Raises:
        InputError: there are checkpoints and none of them is whole; all are named.
    """
    if (run / _EARLIER / MANIFEST).is_file():
        raise InputError(
            "a checkpoint of another format",
            where=run / _EARLIER,
            found="that of an earlier version",
            fix="finish the run with the version that began it, or take that folder away to begin anew",
        )
    steps: list[Path] = []
    refused: list[str] = []
    while steps != (steps := _steps(run)):  # what a run at work rotates away is not damaged
        refused.clear()
        for folder in steps:
            try:
                check_checkpoint(folder)
            except InputError as error:
                refused.append(f"{folder.name}: {error.what} ({Path(str(error.where)).name})")
            else:
                return LatestCheckpoint(folder, refused)
    if refused:
        raise InputError(
            "no checkpoint of this run is whole",
            where=run / NAME,
            found="; ".join(refused),
            fix=f"take {run / NAME} away to begin this run anew",
        )
    return LatestCheckpoint(None, [])


def latest_folder(run: Path) -> Path | None:
    """Return the newest checkpoint by name, unread; None if there is none."""
    return next(iter(_steps(run)), None)


def keep_last_checkpoints(run: Path, keep: Collection[Path]) -> None:
    """Remove all but the last checkpoints; what cannot be removed stays."""
    for folder in _steps(run):
        if folder not in keep:
            _remove(folder)


def remove_checkpoints(run: Path) -> None:
    """Remove every checkpoint: the run is finished."""
    keep_last_checkpoints(run, ())
    with suppress(OSError):
        (run / NAME).rmdir()


def _steps(run: Path) -> list[Path]:
    """List the folders of checkpoints, newest first."""
    folder = run / NAME
    found = [path for path in folder.glob("step-*") if _STEP.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")), reverse=True)


def _remove(folder: Path) -> None:
    with suppress(OSError):  # a full or failing disk is told of where something is written
        for name in (MANIFEST, FACTS, TENSORS):  # what makes it whole goes first
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()
