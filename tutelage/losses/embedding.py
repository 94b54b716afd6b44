"""Embeddings of features: a linear layer whose output is normalised to length 1."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from tutelage.losses.distances import l2_normalize
from tutelage.losses.precision import in_full_precision
from tutelage.losses.shapes import as_vector, channels
from tutelage.types import FeaturePoint


class Embedding(nn.Module):
    """Features of a point, averaged over positions -> a linear layer -> unit vectors [B, width]."""

    def __init__(self, point: FeaturePoint, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels(point), width)

    @in_full_precision
    def forward(self, features: Tensor) -> Tensor:
        """Return unit vectors [B, width] in fp32 (fp64) of maps, tokens or vectors."""
        return l2_normalize(self.linear(as_vector(features)))


class FixedEmbedding(nn.Module):
    """The same with a random orthogonal matrix that is not trained, as a buffer.

    Where `width` is at least the number of channels, all cosines are kept exactly; otherwise approximately.
    The matrix is made in fp64 and rounded: a seed then gives one matrix, however many threads factorised it.
    """

    matrix: Tensor

    def __init__(self, point: FeaturePoint, width: int) -> None:
        super().__init__()
        matrix = nn.init.orthogonal_(torch.empty(width, channels(point), dtype=torch.float64))
        self.register_buffer("matrix", matrix.float())

    @in_full_precision
    def forward(self, features: Tensor) -> Tensor:
        """Return unit vectors [B, width] in fp32 (fp64) of maps, tokens or vectors."""
        return l2_normalize(linear(as_vector(features), self.matrix))
