"""The counts and sums behind every metric, so that parts of a dataset (batches, ranks) add up.

Counts add up exactly, float64 sums up to rounding: how the images are split does not matter.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tutelage.errors import InputError
from tutelage.evaluation.calibration import BinSums, Integers, bin_sums, confidences


class CountMatrix(NamedTuple):
    """Counts and sums over labelled images."""

    confusion: Integers
    """int64 [C, C]: a row for each label, a column for each prediction."""
    top5_hits: int
    """Images whose label is among the five largest logits."""
    nll: float
    """Sum of negative log-likelihoods, in nats."""
    brier: float
    """Sum of squared distances between probabilities and one-hot label."""
    bins: BinSums


def count_matrix(logits: npt.ArrayLike, labels: npt.ArrayLike) -> CountMatrix:
    """Count one part of a dataset.

    The prediction is the class of the largest logit; of equal logits the lower index comes first.

    Args:
        logits: [N, C] float, finite, N at least 1.
        labels: [N] int, each in 0 .. C - 1.

    Raises:
        InputError: as `require_labels`, or a logit is not finite.
    """
    scores, labels = np.asarray(logits), np.asarray(labels)
    require_labels(scores.shape, labels)
    if not np.isfinite(scores).all():
        raise InputError(
            "the logits hold NaN or infinity",
            found=f"image {int(np.isfinite(scores).all(axis=1).argmin())} of {len(scores)} first",
            fix="look in the journal for the epoch in which the loss stopped being finite",
        )
    images, classes = scores.shape
    row, labels = np.arange(images), labels.astype(np.int64)
    log_probabilities, probabilities = confidences(scores)
    predicted = scores.argmax(axis=1)
    of_label = scores[row, labels][:, None]
    before = (scores == of_label) & (np.arange(classes) < labels[:, None])
    rank = ((scores > of_label) | before).sum(axis=1)
    errors = probabilities.copy()
    errors[row, labels] -= 1.0
    pairs = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return CountMatrix(
        confusion=pairs.astype(np.int64).reshape(classes, classes),
        top5_hits=int((rank < 5).sum()),
        nll=float(-log_probabilities[row, labels].sum()),
        brier=float((errors**2).sum()),
        bins=bin_sums(probabilities[row, predicted], predicted == labels),
    )


def add_counts(a: CountMatrix, b: CountMatrix) -> CountMatrix:
    """Add up two parts of a dataset; both must have the same classes."""
    return CountMatrix(
        confusion=a.confusion + b.confusion,
        top5_hits=a.top5_hits + b.top5_hits,
        nll=a.nll + b.nll,
        brier=a.brier + b.brier,
        bins=BinSums(
            images=a.bins.images + b.bins.images,
            correct=a.bins.correct + b.bins.correct,
            confidence=a.bins.confidence + b.bins.confidence,
        ),
    )


def require_labels(shape: tuple[int, ...], labels: npt.NDArray[np.generic]) -> None:
    """Require labels that fit logits of this shape.

    Raises:
        InputError: the shapes are not [N, C] and [N], there is no image, labels are not whole numbers, an
            image is unlabelled (-1), or a label is not a class.
    """
    if len(shape) != 2 or labels.shape != shape[:1] or 0 in shape:
        raise InputError(
            "logits and labels do not fit together",
            found=f"logits {list(shape)}, labels {list(labels.shape)}",
            expected="logits [N, C] and labels [N] with N of at least 1",
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError("labels must be whole numbers", found=labels.dtype, expected="int64")
    whole = labels.astype(np.int64)
    if (whole == -1).any():
        raise InputError(
            "images without a label cannot be scored",
            found=f"{int((whole == -1).sum())} of {len(whole)} images have label -1",
            fix="leave the unlabelled images out",
        )
    if whole.min() < 0 or whole.max() >= shape[1]:
        raise InputError(
            "a label is not one of the classes",
            found=f"labels from {whole.min()} to {whole.max()}",
            expected=f"0 to {shape[1] - 1}",
        )
