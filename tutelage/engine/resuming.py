"""How a run begins, or goes on from the newest checkpoint that is whole; never a silent restart."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tutelage.engine.checkpoint import load_checkpoint
from tutelage.engine.incidents import note
from tutelage.engine.journal import Journal
from tutelage.engine.rotation import Newest, newest
from tutelage.engine.saving import Saver
from tutelage.engine.state import TrainingState
from tutelage.files import settle


def resume(
    state: TrainingState,
    run: Path,
    *,
    identity: Mapping[str, Any],
    journal: Journal | None,
    say: Callable[[str], None],
) -> tuple[Saver, bool]:
    """Put back where training stood, if it stood anywhere.

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

    def look() -> Newest:
        settle(run)
        return newest(run)

    def tell(text: str) -> None:
        say(text)
        if state.world.first:
            note(run, "note", text=text)

    found: Newest = state.world.first_does(look)
    for reason in found.refused:
        tell(f"a checkpoint is refused: {reason}")
    saver = Saver(run, tell=tell, whole=found.folder)
    if found.folder is None:
        if journal is not None:
            journal.rewind(0)
        return saver, False
    checkpoint = load_checkpoint(found.folder)
    notes = state.restore(checkpoint, identity=identity)
    if journal is not None:
        journal.rewind(checkpoint.facts["journal"])
        note(run, "continued", epoch=state.epoch + 1, step=state.step)
    say(f"continued in epoch {state.epoch + 1}, step {state.step}")
    for line in notes:
        tell(line)
    return saver, True
