"""Metrics of a classifier from its logits and the labels, as in `scores.json`.

The definitions are those of scikit-learn; macro-F1 with the classes that have an image as its labels.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tutelage.errors import InputError
from tutelage.evaluation.calibration import (
    Integers,
    expected_calibration_error,
    reliability_bins,
)
from tutelage.evaluation.fidelity import fidelity
from tutelage.evaluation.sums import CountMatrix, add_counts, count_matrix, require_labels
from tutelage.storage.scores import Metrics as Metrics
from tutelage.storage.scores import PerClass

Z95 = 1.959963984540054  # the 97.5 % point of the normal distribution
ROWS = 8192  # images counted at a time by `scores_of`, to bound its memory


def scores_of(
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    classes: Sequence[str],
    *,
    teacher_logits: npt.ArrayLike | None = None,
) -> Metrics:
    """Compute every metric of one network on one labelled split.

    Args:
        logits: [N, C] float, finite, N at least 1.
        labels: [N] int, each in 0 .. C - 1.
        classes: C names in the order of the columns.
        teacher_logits: [N, C], needed for `fidelity`.

    Raises:
        InputError: shapes do not fit, there is no image, an image is unlabelled (-1), a label is not a
            class, or a logit is not finite.

    >>> scores_of([[2.0, 0.0], [0.0, 1.0]], [0, 0], ["cat", "dog"])["accuracy"]
    0.5
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    require_labels(logits.shape, labels)
    sums = count_matrix(logits[:ROWS], labels[:ROWS])
    for start in range(ROWS, len(labels), ROWS):
        sums = add_counts(
            sums, count_matrix(logits[start : start + ROWS], labels[start : start + ROWS])
        )
    result = metrics_from_sums(sums, classes)
    if teacher_logits is not None:
        result["fidelity"] = fidelity(logits, teacher_logits)
    return result


def metrics_from_sums(sums: CountMatrix, classes: Sequence[str]) -> Metrics:
    """Compute the metrics from the sums over all images.

    nll is the mean of -log p(label), brier the mean over images of the sum over classes of
    (p - one-hot)^2, macro_f1 the plain mean over the classes that have an image (`measured_classes` tells
    how many). top5 is None up to 5 classes.

    Raises:
        InputError: the number of names is not the number of classes counted.
    """
    if len(classes) != len(sums.confusion):
        raise InputError(
            "the logits do not have one column for each class",
            found=f"{len(sums.confusion)} columns, {len(classes)} classes",
        )
    images, hits = int(sums.confusion.sum()), int(np.trace(sums.confusion))
    per_class = _per_class(sums.confusion, classes)
    present = [row for row in per_class if row["images"]]
    return {
        "images": images,
        "accuracy": hits / images,
        "accuracy_interval": list(wilson(hits, images)),
        "top5": sums.top5_hits / images if len(classes) > 5 else None,
        "macro_f1": math.fsum(row["f1"] for row in present) / len(present),
        "nll": sums.nll / images,
        "brier": sums.brier / images,
        "ece": expected_calibration_error(sums.bins),
        "per_class": per_class,
        "confusion": sums.confusion.tolist(),
        "reliability": reliability_bins(sums.bins),
        "fidelity": None,
    }


def wilson(hits: int, images: int) -> tuple[float, float]:
    """Compute Wilson's 95 % interval of a share (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    >>> [round(end, 4) for end in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    share, square = hits / images, Z95**2
    centre = (share + square / (2 * images)) / (1 + square / images)
    spread = share * (1 - share) / images + square / (4 * images**2)
    half = Z95 * math.sqrt(spread) / (1 + square / images)
    # All wrong or all right touch 0 or 1 exactly; rounding would miss by a bit.
    return (centre - half if hits else 0.0, centre + half if hits < images else 1.0)


def _per_class(confusion: Integers, classes: Sequence[str]) -> list[PerClass]:
    rows: list[PerClass] = []
    for index, name in enumerate(classes):
        hits, labelled = int(confusion[index, index]), int(confusion[index].sum())
        predicted = int(confusion[:, index].sum())
        rows.append(
            {
                "class": name,
                "images": labelled,
                "precision": hits / max(predicted, 1),
                "recall": hits / max(labelled, 1),
                "f1": 2 * hits / max(labelled + predicted, 1),
            }
        )
    return rows
