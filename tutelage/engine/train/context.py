"""What the training loop is given, apart from the state that changes in it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tutelage.config.training import OptimizationConfig
from tutelage.data.loading.loader import Loader
from tutelage.engine.context import RunContext
from tutelage.engine.runtime.journal import EventLog
from tutelage.engine.train.state import TrainingState
from tutelage.teachers.teacher import Teacher


class FitArguments(NamedTuple):
    """The arguments of `fit` that stay the same from the first step to the last."""

    context: RunContext

    settings: OptimizationConfig

    loader: Loader

    teacher: Teacher

    validate: Callable[[TrainingState], Mapping[str, Any]]
    """Measure the network after an epoch."""

    identity: Mapping[str, Any]
    """What this is a training of; a checkpoint of anything else is refused."""

    facts: Mapping[str, Any]
    """How the run is trained, for the first event of its log."""

    journal: EventLog | None
    """The event log; None in every process but the first."""

    notes: Sequence[str] = ()
    """What a person should know before training begins."""

    save_snapshot: Callable[[TrainingState], None] = lambda _state: None
    """Save the network of an epoch that is to be kept."""
