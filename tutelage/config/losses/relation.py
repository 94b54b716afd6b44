"""Settings of the relation losses: between layers and between images. Defaults as published."""

from dataclasses import dataclass

from tutelage.config.loss_schedule import FeatureLossConfig
from tutelage.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class FSPConfig(FeatureLossConfig):
    """Flow of solution procedure: the Gram matrix between a stage's input and output. Points come in pairs:
    start and end of a section.
    """

    weight: float | None = setting(50.0, at_least=0)
    """Weight in the total."""


@dataclass(frozen=True, kw_only=True)
class RKDDistanceConfig(FeatureLossConfig):
    """Relational KD: distances between the images of a batch."""

    weight: float | None = setting(25.0, at_least=0)
    """Weight in the total."""


@dataclass(frozen=True, kw_only=True)
class RKDAngleConfig(FeatureLossConfig):
    """Relational KD: angles between the images of a batch."""

    weight: float | None = setting(50.0, at_least=0)
    """Weight in the total."""


@dataclass(frozen=True, kw_only=True)
class SPConfig(FeatureLossConfig):
    """Similarity preserving: which images of a batch have similar activations."""

    weight: float | None = setting(3000.0, at_least=0)
    """Weight in the total."""


@dataclass(frozen=True, kw_only=True)
class CCConfig(FeatureLossConfig):
    """Correlation congruence: a Gaussian kernel between the images of a batch."""

    weight: float | None = setting(0.02, at_least=0)
    """Weight in the total."""

    gamma: float = setting(0.4, above=0)
    """Width of the kernel exp(-gamma |x - y|^2)."""

    order: int = setting(2, at_least=1, at_most=10)
    """Terms of the kernel's Taylor series."""

    width: int = setting(128, at_least=1)
    """Numbers in an embedding."""


@dataclass(frozen=True, kw_only=True)
class PKTConfig(FeatureLossConfig):
    """Probabilistic knowledge transfer: the probability that images are neighbours of each other."""

    weight: float | None = setting(30000.0, at_least=0)
    """Weight in the total."""


@dataclass(frozen=True, kw_only=True)
class ICCConfig(FeatureLossConfig):
    """Inter-channel correlation: which channels of the last features are correlated."""

    weight: float | None = setting(2.5, at_least=0)
    """Weight in the total."""


@dataclass(frozen=True, kw_only=True)
class IRGConfig(FeatureLossConfig):
    """Instance relationship graph: images are vertices, distances are edges, and both change over layers."""

    weight: float | None = setting(0.005, at_least=0)
    """Weight in the total."""

    vertices: float = setting(0.1, at_least=0)
    """Weight of the vertices."""

    edges: float = setting(5.0, at_least=0)
    """Weight of the edges."""

    transformation: float = setting(5.0, at_least=0)
    """Weight of the change of the graph from one layer to the next."""
