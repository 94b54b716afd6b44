"""Check an exported file: run it on real images at several batch sizes and compare with the network."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tutelage.errors import InputError

BATCHES = (1, 3, 8)
TOLERANCE = 1e-3


def require_same_outputs(
    run: Callable[[Tensor], Tensor], graph: nn.Module, images: Tensor
) -> float:
    """Compare a file with its network at batch 1, 3 and 8: exporters can fail at one size and not another.

    Args:
        run: runs the file: uint8 [B, 3, S, S] -> float32 logits [B, C].
        graph: the network it was exported from.
        images: uint8 [8, 3, S, S], real images.

    Returns:
        The largest difference of a logit, relative to the spread of the logits.

    Raises:
        InputError: predictions differ, or logits differ by more than `TOLERANCE` of their spread.
    """
    worst = 0.0
    for batch in BATCHES:
        with torch.no_grad():
            expected = graph(images[:batch])
        found = run(images[:batch])
        same = found.shape == expected.shape and torch.equal(found.argmax(1), expected.argmax(1))
        spread = float(expected.std(correction=0)) or 1.0
        difference = float((found - expected).abs().max()) / spread if same else math.inf
        if not difference <= TOLERANCE:  # rejects NaN too
            raise InputError(
                "the exported file has other outputs than the network",
                found=f"batch {batch}: logits differ by {difference:.1e} of their spread"
                if same
                else f"batch {batch}: other classes",
                expected=f"at most {TOLERANCE:g}, and the same classes",
                fix="another version of torch or of the exporter's packages; nothing was written",
            )
        worst = max(worst, difference)
    return worst
