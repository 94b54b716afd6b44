"""Start a run, or resume it from the newest intact checkpoint; never restart silently."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.distributed import DistError

from tutelage.engine.checkpoint.format import load_checkpoint
from tutelage.engine.checkpoint.rotation import LatestCheckpoint, find_latest_checkpoint
from tutelage.engine.checkpoint.writer import CheckpointWriter
from tutelage.engine.runtime.incidents import note_incident
from tutelage.engine.runtime.journal import EventLog
from tutelage.engine.train.state import TrainingState
from tutelage.errors import InputError
from tutelage.storage.atomic import recover_partial_writes

_ODD = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError)


def resume_training(
    state: TrainingState,
    run: Path,
    *,
    identity: Mapping[str, Any],
    journal: EventLog | None,
    say: Callable[[str], None],
) -> tuple[CheckpointWriter, bool]:
    """Restore the newest intact checkpoint, if there is any.

    Args:
        state: as new; every process of the run has its own.
        run: the run's folder.
        identity: what the run is a training of; see `identity`.
        journal: of the first process; cut back to where the checkpoint stands.
        say: what a person should know.

    Returns:
        What saves the run's next checkpoints, and whether there was one to go on from.

    Raises:
        InputError: the checkpoint is of another run, lacks something, or none of several is whole.
    """

    def look() -> LatestCheckpoint:
        recover_partial_writes(run)
        return find_latest_checkpoint(run)

    def tell(text: str) -> None:
        say(text)
        if state.world.first:
            note_incident(run, "note", text=text)

    found: LatestCheckpoint = state.world.run_on_rank0(look)
    for reason in found.refused:
        tell(f"a checkpoint is refused: {reason}")
    saver = CheckpointWriter(run, tell=tell, whole=found.folder)
    if found.folder is None:
        if journal is not None:
            journal.rewind(0)
        return saver, False
    checkpoint = load_checkpoint(found.folder)
    try:
        notes = state.restore(checkpoint, identity=identity)
        if checkpoint.facts["journal"] < 0:
            raise ValueError("a journal of less than nothing")
        if journal is not None:
            journal.rewind(checkpoint.facts["journal"])
    except _ODD as error:  # its checksums fit, so nobody but a stranger has made it like this
        if isinstance(error, torch.OutOfMemoryError | DistError):
            raise
        raise InputError(
            "the checkpoint is none of this run",
            where=found.folder,
            found=f"{type(error).__name__}: {error}",
            fix="take the run's folder of checkpoints away to begin this run anew",
        ) from error
    if journal is not None:
        note_incident(run, "continued", epoch=state.epoch + 1, step=state.step)
    say(f"continued in epoch {state.epoch + 1}, step {state.step}")
    for line in notes:
        tell(line)
    return saver, True
