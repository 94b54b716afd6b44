"""Trackio: a local database in TRACKING/trackio, or the folder or Space that environment variables name."""

import contextlib
import io
import os
import shlex
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tutelage.engine.trackers.tracker import LEARNING_RATE, TrackedRun

if TYPE_CHECKING:
    from trackio.run import Run


class TrackioTracker:
    """Log to Trackio; a continued run has the same name, and only lacking epochs are added.

    Trackio reads its folder (TRACKIO_DIR) once in a process, so that further jobs of this process share it.
    """

    def __init__(self) -> None:
        self._run: Run
        self._has: Collection[str] = ()

    def start(self, run: TrackedRun) -> Collection[int]:
        """Begin the run with this id, or continue it."""
        os.environ.setdefault("TRACKIO_DIR", str((run.folder / "trackio").absolute()))
        import trackio
        from trackio.sqlite_storage import SQLiteStorage

        name = f"{run.name}-{run.id[:6]}"
        with _silent():
            self._run = trackio.init(
                project=run.project,
                name=name,
                group=run.group,
                config=dict(run.config),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        rows = SQLiteStorage.get_logs(run.project, name)
        self._has = {key for row in rows for key in row}
        return {row["step"] for row in rows if LEARNING_RATE in row}

    def where(self) -> str:
        """The command that opens it."""
        from trackio.utils import TRACKIO_DIR

        place = shlex.quote(str(TRACKIO_DIR))
        return f"TRACKIO_DIR={place} trackio show --project {shlex.quote(self._run.project)}"

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add one row; a thread of Trackio writes it within a second."""
        self._run.log(dict(metrics), step=epoch)

    def summary(self, metrics: Mapping[str, float], *, epoch: int) -> None:
        """Add one row, unless the run has it from before."""
        if lacking := {k: v for k, v in metrics.items() if k not in self._has}:
            self._run.log(lacking, step=epoch)

    def image(self, name: str, pixels: NDArray[np.uint8], *, epoch: int) -> None:
        """Add a row with an image, unless the run has it from before."""
        import trackio

        if name not in self._has:
            self._run.log({name: trackio.Image(pixels)}, step=epoch)

    def artifact(self, path: Path) -> None:
        """Add a version of a file to the project's artifacts."""
        self._run.log_artifact(str(path), name=path.name, type="report")

    def finish(self, *, complete: bool) -> None:  # noqa: ARG002 - a run of Trackio has no state
        """Wait until everything is written."""
        import trackio

        with _silent():
            trackio.finish()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Trackio prints what it does; the console has a live block of its own."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
