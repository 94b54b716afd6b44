"""Checkpoints that a run keeps beside its last and best network: which epochs, and where they lie."""

from pathlib import Path

SNAPSHOTS = "checkpoints-kept"


def snapshot_epochs(keep: int | None, epochs: int) -> list[int]:
    """The epochs (from 1) after which a network is kept: so many, evenly spaced, the last one included.

    >>> snapshot_epochs(4, 10), snapshot_epochs(1, 10), snapshot_epochs(None, 10)
    ([3, 5, 8, 10], [10], [])
    """
    return [] if keep is None else [-(-number * epochs // keep) for number in range(1, keep + 1)]


def snapshot_folder(run: Path, epoch: int) -> Path:
    """Where the network after an epoch (from 1) is kept: `checkpoints-kept/0003/model` of a run."""
    return run / SNAPSHOTS / f"{epoch:04}" / "model"


def snapshot_folders(run: Path) -> list[Path]:
    """The networks that a run has kept, in the order of their epochs."""
    found = (run / SNAPSHOTS).glob("*/model")
    return sorted(found, key=lambda folder: int(folder.parent.name))
