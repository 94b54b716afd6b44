"""What `scores.json` and `timings.json` hold about a network: written by `evaluation`, read by `reports`."""

from collections.abc import Mapping
from typing import Any, TypedDict

PerClass = TypedDict(
    "PerClass", {"class": str, "images": int, "precision": float, "recall": float, "f1": float}
)
"""The scores of one class; `images` have it as their label."""


class ReliabilityBin(TypedDict):
    """One bar of a reliability diagram: the images whose confidence lies in (lower, upper]."""

    lower: float
    upper: float
    count: int
    """Images in the bin."""
    confidence: float | None
    """Mean probability of the predicted class; None in an empty bin."""
    accuracy: float | None
    """Share of correct predictions; None in an empty bin."""


class TeacherFidelity(TypedDict):
    """How closely a student repeats its teacher."""

    agreement: float
    """Share of images with the same predicted class."""
    kl: float
    """Mean KL(teacher || student) at temperature 1, in nats."""


class Metrics(TypedDict):
    """The metrics of one network on one labelled split; shares are in [0, 1]."""

    images: int
    accuracy: float
    accuracy_interval: list[float]
    """Lower and upper end of Wilson's 95 % interval."""
    top5: float | None
    """None for up to five classes."""
    macro_f1: float
    """Mean F1 of the classes that have an image."""
    nll: float
    """Mean negative log-likelihood of the labels, in nats."""
    brier: float
    """Mean squared distance between probabilities and one-hot label, in [0, 2]."""
    ece: float
    """Expected calibration error over 15 bins."""
    per_class: list[PerClass]
    confusion: list[list[int]]
    """[C, C]: a row for each label, a column for each prediction."""
    reliability: list[ReliabilityBin]
    fidelity: TeacherFidelity | None
    """None for a network without a teacher."""


def measured_classes(metrics: Mapping[str, Any]) -> str:
    """Say over how many classes a mean over classes was taken; empty where it was all of them.

    >>> measured_classes({"per_class": [{"class": "a", "images": 9}, {"class": "b", "images": 0}]})
    '1 of 2 classes measured'
    """
    counts = [int(row["images"]) for row in metrics.get("per_class", ())]
    present = sum(count > 0 for count in counts)
    return "" if present == len(counts) else f"{present} of {len(counts)} classes measured"


class Latency(TypedDict):
    """The time of one forward pass of a batch."""

    batch: int
    p50_ms: float
    """Median, in milliseconds."""
    p95_ms: float
    """95th percentile, in milliseconds."""
    device: str
