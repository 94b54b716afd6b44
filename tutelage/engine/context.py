"""What a run is given by whoever starts it, and hands on to every stage."""

from pathlib import Path
from typing import NamedTuple

from tutelage.distributed import ALONE, World
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.signals import StopRequest
from tutelage.evaluation.classification import CLASSIFICATION
from tutelage.evaluation.task import Task


class RunContext(NamedTuple):
    """Where a run lives, what it shows, who may stop it, and which processes share it."""

    name: str
    """In messages and in the report: `student-0`."""

    folder: Path
    """The run folder."""

    caches: Path
    """Folder of the teacher caches, shared by all runs beside it."""

    console: Console

    stop: StopRequest

    job: Path | None = None
    """Folder of the job that the run is a part of; None: the run is all there is."""

    reference: Path | None = None
    """Within a job, the run folder of the teacher that students and controls are compared with."""

    world: World = ALONE

    task: Task = CLASSIFICATION
    """What is predicted and measured."""

    def line(self, text: str) -> None:
        """Print a line under the run's name."""
        self.console.line(f"{self.name}: {text}")
