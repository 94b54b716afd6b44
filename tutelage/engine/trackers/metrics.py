"""Events of the journal as metrics: one name for each number, the same in every tracker."""

from collections.abc import Mapping
from typing import Any

from tutelage.engine.trackers.tracker import LEARNING_RATE

_TIMINGS = {
    "images_per_second": "time/images_per_second",
    "seconds": "time/epoch_seconds",
    "data_wait": "time/data_wait",
}


def epoch_metrics(event: Mapping[str, Any], timings: Mapping[str, float]) -> dict[str, float]:
    """What is known at the end of an epoch.

    Args:
        event: the journal's `epoch`.
        timings: of that epoch; empty where they are not known.

    Returns:
        Learning rate of the last step; losses, the loss terms before they are weighted, and accuracies in
        [0, 1]; speed, seconds and the share of time spent waiting for data.
    """
    train, val = event["train"], event["val"]
    metrics = {
        LEARNING_RATE: event["lr"],
        "train/loss": train["loss"],
        "train/accuracy": train["accuracy"],  # None without labelled images
        "val/loss": val["loss"],
        "val/accuracy": val["accuracy"],
        **{f"train/loss/{name}": value for name, value in train["terms"].items()},
        **{name: timings[key] for key, name in _TIMINGS.items() if key in timings},
    }
    return {name: float(value) for name, value in metrics.items() if value is not None}


def gradient_metrics(event: Mapping[str, Any]) -> dict[str, float]:
    """Norm of each term's gradient, measured in the first and in the last epoch."""
    return {f"gradient_norm/{name}": float(norm) for name, norm in event["norms"].items()}


def final_metrics(scores: Mapping[str, Any]) -> dict[str, float]:
    """What `scores.json` holds about the last and the best epoch, as `scores/last/test/accuracy`."""
    return {
        f"scores/{moment}/{split}/{name}": value
        for moment in ("last", "best")
        for split in ("val", "test")
        for name, value in (scores[moment].get(split) or {}).items()
        if isinstance(value, float)
    }
