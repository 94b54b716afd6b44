"""Checkpoints a run keeps beside its last and best network: after which epochs, and in which folders."""

from pathlib import Path

SNAPSHOTS = "checkpoints-kept"
"""Name of their folder in a run folder."""


def snapshot_epochs(keep: int | None, epochs: int) -> list[int]:
    """Return the epochs (from 1) after which the network is kept: `keep`, evenly spaced, with the last.

    >>> snapshot_epochs(4, 10), snapshot_epochs(1, 10), snapshot_epochs(None, 10)
    ([3, 5, 8, 10], [10], [])
    """
    return [] if keep is None else [-(-number * epochs // keep) for number in range(1, keep + 1)]


def snapshot_folder(run: Path, epoch: int) -> Path:
    """Return the folder of the network after an epoch (from 1): `checkpoints-kept/0003/model` of a run."""
    return run / SNAPSHOTS / f"{epoch:04}" / "model"


def snapshot_folders(run: Path) -> list[Path]:
    """Return the folders of the networks that a run has kept, in the order of their epochs."""
    found = (run / SNAPSHOTS).glob("*/model")
    return sorted(found, key=lambda folder: int(folder.parent.name))
