"""The contract of a task: what a network is trained to predict, and how well it does.

Everything that depends on the kind of target or metric is behind this contract: the engine knows a `Task`
and no metric by name. Sections of the report are in `reports/render/`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.data.pack.pack import Pack
from tutelage.data.readers.source import Split


class Task(NamedTuple):
    """What is predicted and measured."""

    name: str

    primary_metric: str
    """The metric that selects the best epoch: higher is better."""

    targets: Callable[[Pack, Split], tuple[NDArray[np.int64], NDArray[Any]]]
    """(pack, split) -> rows of the images that have a target, and their targets."""

    score: Callable[..., Mapping[str, Any]]
    """(predictions, targets, class names, teacher predictions or None) -> metrics by name."""

    summary: Callable[[Mapping[str, Any]], Mapping[str, float]]
    """(metrics) -> the numbers that the event log holds for each epoch."""

    text: Callable[[Mapping[str, Any]], str]
    """(metrics) -> the primary metric for a person: `88.1 %`."""

    write_predictions: Callable[[Path, Sequence[str], NDArray[np.float32], Sequence[str]], None]
    """(path, file names, predictions, class names): write a table for a person."""

    def value(self, metrics: Mapping[str, Any]) -> float:
        """Return the primary metric."""
        return float(metrics[self.primary_metric])
