"""TensorBoard: event files in TRACKING/tensorboard/RUN, read by `tensorboard --logdir`."""

import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tutelage.engine.trackers.tracker import TrackedRun

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardTracker:
    """Write event files; a continued run writes all of its points anew and marks the older ones as void."""

    def __init__(self) -> None:
        self._folder = Path()
        self._writer: SummaryWriter

    def start(self, run: TrackedRun) -> Collection[int]:
        """Open a new event file that makes every point of earlier files void."""
        from torch.utils.tensorboard import SummaryWriter

        self._folder = run.folder / "tensorboard"
        self._writer = SummaryWriter(str(self._folder / run.name), purge_step=0)
        rows = [f"| {name} | {value} |" for name, value in run.config.items()]
        self._writer.add_text("settings", "\n".join(["| setting | value |", "|---|---|", *rows]), 0)
        self._writer.flush()
        return ()

    def where(self) -> str:
        """The command that opens it."""
        return f"tensorboard --logdir {shlex.quote(str(self._folder))}"

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add scalars, and flush them to the file."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def summary(self, metrics: Mapping[str, float], *, epoch: int) -> None:
        """Add scalars with a single point."""
        self.log(epoch, metrics)

    def image(self, name: str, pixels: NDArray[np.uint8], *, epoch: int) -> None:
        """Add an image."""
        self._writer.add_image(name, pixels, epoch, dataformats="HWC")
        self._writer.flush()

    def artifact(self, path: Path) -> None:
        """Show Markdown as text; TensorBoard keeps no other files."""
        if path.suffix == ".md":
            self._writer.add_text(path.stem, path.read_text("utf-8"), 0)

    def finish(self, *, complete: bool) -> None:  # noqa: ARG002 - event files have no end
        """Close the event file."""
        self._writer.close()
