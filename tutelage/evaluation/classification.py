"""Image classification: one class per image, measured by accuracy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage.data.pack.pack import Pack
from tutelage.data.readers.source import Split
from tutelage.evaluation.metrics import scores_of
from tutelage.evaluation.predictions_csv import write_predictions
from tutelage.evaluation.task import Task


def _targets(pack: Pack, split: Split) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows = pack.rows(split)
    rows = rows[pack.labels[rows] >= 0]
    return rows, np.asarray(pack.labels[rows])


def _score(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    teacher: NDArray[np.float32] | None = None,
) -> Mapping[str, Any]:
    return scores_of(logits, labels, classes, teacher_logits=teacher)


def _summary(metrics: Mapping[str, Any]) -> Mapping[str, float]:
    return {"accuracy": metrics["accuracy"], "loss": metrics["nll"]}


def _write(
    path: Path, names: Sequence[str], logits: NDArray[np.float32], classes: Sequence[str]
) -> None:
    write_predictions(path, names, logits, classes)


CLASSIFICATION = Task(
    name="classification",
    primary_metric="accuracy",
    targets=_targets,
    score=_score,
    summary=_summary,
    text=lambda metrics: f"{100 * metrics['accuracy']:.1f} %",
    write_predictions=_write,
)
