"""What a training loop is given, apart from the state that changes in it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.config.training import OptimizationConfig
from tutelage.data.loading.loader import Loader
from tutelage.distributed import ALONE, World
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.journal import EventLog
from tutelage.engine.runtime.signals import StopRequest
from tutelage.engine.train.state import TrainingState
from tutelage.evaluation.metrics import Metrics
from tutelage.teachers.teacher import Teacher


class FitArguments(NamedTuple):
    """All that a training run is given, apart from what changes in it.

    identity: what it is a training of; facts: what the journal says of how it is trained; notes: what a
    person should know; journal: of the first process, the others have none; keep: saves the network of an
    epoch that is to be kept.
    """

    name: str
    settings: OptimizationConfig
    loader: Loader
    teacher: Teacher
    validate: Callable[[TrainingState], Metrics]
    identity: Mapping[str, Any]
    facts: Mapping[str, Any]
    folder: Path
    journal: EventLog | None
    screen: Console
    stop: StopRequest
    world: World = ALONE
    notes: Sequence[str] = ()
    keep: Callable[[TrainingState], None] = lambda _state: None
