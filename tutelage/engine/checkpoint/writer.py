"""Write checkpoints beside training: a step waits for the copy of its state, and a thread writes it.

What was saved is read back before an older checkpoint goes. A save that fails costs nothing while an earlier
checkpoint stands: it is told, and tried again at the next time, a few times in a row.
"""

import threading
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from tutelage.engine.checkpoint.format import Checkpoint, check_checkpoint, save_checkpoint
from tutelage.engine.checkpoint.rotation import KEPT, checkpoint_folder, keep_last_checkpoints
from tutelage.errors import InputError, MachineError
from tutelage.storage.disk import require_free

FAILURES = 3
"""So many saves in a row may fail before training stops."""

_SPARE = 1.2


class _NotFinite(Exception):  # noqa: N818 - nothing failed: such a state is not worth a checkpoint
    pass


class CheckpointWriter:
    """Write the checkpoints of one run, one at a time. The run's lock is held; one thread calls it.

    Args:
        run: the run's folder.
        tell: called with a sentence for a person about what could not be saved.
        whole: the checkpoint that training goes on from.
    """

    def __init__(
        self, run: Path, *, tell: Callable[[str], None], whole: Path | None = None
    ) -> None:
        self._run, self._tell = run, tell
        self._whole = [] if whole is None else [whole]
        self._failures = 0
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._step = 0

    def save(
        self, checkpoint: Checkpoint, *, step: int, before: Callable[[], None] = lambda: None
    ) -> None:
        """Copy a state and start writing it; waits for the save before it.

        Args:
            checkpoint: the state; its tensors may change afterwards.
            step: of the state.
            before: done by the thread first: makes durable what the checkpoint relies on.

        Raises:
            MachineError: see `settle`.
        """
        self.settle()
        tensors = {name: _copy(name, tensor) for name, tensor in checkpoint.tensors.items()}
        copied = checkpoint._replace(tensors=tensors)
        self._step, self._error = step, None
        self._thread = threading.Thread(
            target=self._write,
            args=(copied, checkpoint_folder(self._run, step), before),
            daemon=True,
        )
        self._thread.start()

    def look(self) -> None:
        """Collect a save that has ended meanwhile; see `settle`."""
        if self._thread is not None and not self._thread.is_alive():
            self.settle()

    def settle(self, *, last: bool = False) -> None:
        """Wait for the save in progress.

        Args:
            last: none comes after it, so it must not fail.

        Raises:
            MachineError: it failed and must not, or no earlier checkpoint stands, or several failed in a row.
        """
        if self._thread is None:
            return
        self._thread.join()
        self._thread = None
        error = self._error
        if error is None:
            self._failures = 0
        elif isinstance(error, _NotFinite):
            self._tell(f"step {self._step} is not saved: {error}; the checkpoint before it is kept")
        elif isinstance(error, MachineError):
            self._failures += 1
            if last or not self._whole or self._failures == FAILURES:
                raise error
            self._tell(
                f"step {self._step} is not saved (failure {self._failures} of at most {FAILURES - 1} "
                f"in a row): {error.what}: {error.found}; training goes on, {self._whole[-1].name} "
                "is kept"
            )
        else:
            raise error

    def close(self) -> None:
        """Wait for the save in progress, whatever its outcome."""
        if self._thread is not None:
            self._thread.join()

    def _write(self, checkpoint: Checkpoint, folder: Path, before: Callable[[], None]) -> None:
        try:
            _require_finite(checkpoint)
            size = sum(
                tensor.numel() * tensor.element_size() for tensor in checkpoint.tensors.values()
            )
            require_free(folder, int(_SPARE * size))
            before()
            save_checkpoint(folder, checkpoint)
            _read_back(folder)
            self._whole = [*(path for path in self._whole if path != folder), folder][-KEPT:]
            keep_last_checkpoints(self._run, self._whole)
        except BaseException as error:
            self._error = error


def _copy(name: str, tensor: Tensor) -> Tensor:
    if name.startswith("best/"):  # a copy already, which is replaced and never changed
        return tensor
    return tensor.detach().to("cpu", copy=True)


def _require_finite(checkpoint: Checkpoint) -> None:
    for name, tensor in checkpoint.tensors.items():
        if not (tensor.is_floating_point() and tensor.numel()):
            continue
        # One pass without a copy; not-a-number comes through as both.
        if not all(map(torch.isfinite, tensor.detach().aminmax())):
            raise _NotFinite(f"{name} is not finite")


def _read_back(folder: Path) -> None:
    try:
        check_checkpoint(folder)
    except (InputError, OSError) as error:
        raise MachineError(
            "a checkpoint cannot be read back as it was written",
            where=folder,
            found=error,
            fix="look at the system's log for errors of the disk, and choose another --out",
        ) from error
