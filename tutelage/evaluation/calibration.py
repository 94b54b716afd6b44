"""Confidence: how sure a network is of its answer, and how often it is right when it is that sure.

The bins are sums, so that parts of a data set (batches, ranks) add up; they are divided once, at
the end.
"""

from typing import NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BINS = 15
EDGES: Floats = np.arange(BINS + 1) / BINS


class Confidences(NamedTuple):
    """What logits say as probabilities, both float64 [N, C]."""

    log_probabilities: Floats
    probabilities: Floats


class BinSums(NamedTuple):
    """Sums over the images whose confidence lies in (lower, upper], one entry a bin, each [15]."""

    images: Integers
    correct: Integers
    confidence: Floats


class ReliabilityBin(TypedDict):
    """One bar of a reliability diagram; means are None where no image falls into the bin."""

    lower: float
    upper: float
    count: int
    confidence: float | None
    accuracy: float | None


def confidences(logits: npt.ArrayLike) -> Confidences:
    """Softmax and its logarithm in float64, finite for finite logits [N, C]; nothing is clipped.

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
    """Sort images into 15 equal-width bins (lower, upper] by the probability of their top class.

    Args:
        confidence: [N] probability of the predicted class, in (0, 1].
        correct: [N] whether that class is the label.
    """
    index = np.searchsorted(EDGES, confidence, side="left") - 1
    return BinSums(
        images=np.bincount(index, minlength=BINS).astype(np.int64),
        correct=np.bincount(index[correct], minlength=BINS).astype(np.int64),
        confidence=np.bincount(index, confidence, BINS).astype(np.float64),
    )


def expected_calibration_error(sums: BinSums) -> float:
    """Mean over images of |accuracy - confidence| of their bin, in [0, 1].

    Naeini, Cooper, Hauskrecht 2015, https://ojs.aaai.org/index.php/AAAI/article/view/9602, with the
    15 equal-width bins and the top class only, as in Guo et al. 2017, arXiv:1706.04599.
    """
    return float(np.abs(sums.correct - sums.confidence).sum() / sums.images.sum())


def reliability_bins(sums: BinSums) -> list[ReliabilityBin]:
    """The 15 bars of the reliability diagram, lowest confidence first."""
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
