"""Calibration: the confidence of a network, and its accuracy at that confidence.

The bins are sums, so that parts of a dataset (batches, ranks) add up; they are divided once, at the end.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tutelage.storage.scores import ReliabilityBin

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BINS = 15
EDGES: Floats = np.arange(BINS + 1) / BINS


class Confidences(NamedTuple):
    """Softmax probabilities of some logits."""

    log_probabilities: Floats
    """float64 [N, C]."""
    probabilities: Floats
    """float64 [N, C]."""


class BinSums(NamedTuple):
    """Sums over the images whose confidence lies in (lower, upper], one entry for each of the 15 bins."""

    images: Integers
    """int64 [15], number of images."""
    correct: Integers
    """int64 [15], number of correct predictions."""
    confidence: Floats
    """float64 [15], sum of confidences."""


def confidences(logits: npt.ArrayLike) -> Confidences:
    """Compute the softmax and its logarithm in float64, finite for finite logits [N, C] and not clipped.

    >>> confidences([[0.0, 0.0, 1e4]]).log_probabilities.tolist()
    [[-10000.0, -10000.0, 0.0]]
    """
    logits = np.asarray(logits, dtype=np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    total = powers.sum(axis=1, keepdims=True)
    # Divided rather than exp(log): equal logits then give 1 / C to the last bit, on the bin's edge.
    return Confidences(shifted - np.log(total), powers / total)


def bin_sums(confidence: Floats, correct: npt.NDArray[np.bool_]) -> BinSums:
    """Sort images into 15 equal-width bins (lower, upper] by confidence.

    Args:
        confidence: float64 [N], probability of the predicted class, in (0, 1].
        correct: bool [N], whether that class is the label.
    """
    index = np.searchsorted(EDGES, confidence, side="left") - 1
    return BinSums(
        images=np.bincount(index, minlength=BINS).astype(np.int64),
        correct=np.bincount(index[correct], minlength=BINS).astype(np.int64),
        confidence=np.bincount(index, confidence, BINS).astype(np.float64),
    )


def expected_calibration_error(sums: BinSums) -> float:
    """Compute the mean over images of |accuracy - confidence| of their bin, in [0, 1].

    Naeini, Cooper, Hauskrecht 2015, https://ojs.aaai.org/index.php/AAAI/article/view/9602, with the
    15 equal-width bins and the top class only, as in Guo et al. 2017, arXiv:1706.04599.
    """
    return float(np.abs(sums.correct - sums.confidence).sum() / sums.images.sum())


def reliability_bins(sums: BinSums) -> list[ReliabilityBin]:
    """Return the 15 bars of the reliability diagram, lowest confidence first."""
    bars: list[ReliabilityBin] = []
    for index, (images, correct, confidence) in enumerate(zip(*sums, strict=True)):
        bars.append(
            {
                "lower": float(EDGES[index]),
                "upper": float(EDGES[index + 1]),
                "count": int(images),
                "confidence": float(confidence / images) if images else None,
                "accuracy": float(correct / images) if images else None,
            }
        )
    return bars
