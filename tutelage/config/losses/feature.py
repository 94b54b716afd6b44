"""Settings of the feature losses. Defaults are those of the papers or their code."""

from dataclasses import dataclass

from tutelage.config.loss_schedule import FeatureLossConfig
from tutelage.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class HintConfig(FeatureLossConfig):
    """FitNets: the student's middle features, adapted, equal the teacher's."""

    weight: float | None = setting(100.0, at_least=0)
    """Weight in the total."""


@dataclass(frozen=True, kw_only=True)
class ATConfig(FeatureLossConfig):
    """Attention transfer: where the energy of the features lies."""

    weight: float | None = setting(1000.0, at_least=0)
    """Weight in the total."""

    power: float = setting(2.0, above=0)
    """Exponent of a feature's absolute value in the attention map."""


@dataclass(frozen=True, kw_only=True)
class NSTConfig(FeatureLossConfig):
    """Neuron selectivity transfer: the distributions of activation patterns, by their mean discrepancy."""

    weight: float | None = setting(50.0, at_least=0)
    """Weight in the total."""


@dataclass(frozen=True, kw_only=True)
class VIDConfig(FeatureLossConfig):
    """Variational information distillation: a Gaussian around the teacher's features."""

    variance: float = setting(5.0, above=1e-5)
    """Variance of each channel at the start."""


@dataclass(frozen=True, kw_only=True)
class ABConfig(FeatureLossConfig):
    """Activation boundaries: which neurons are active, with a margin. Meant for the first epochs."""

    margin: float = setting(1.0, above=0)
    """Required distance from the boundary."""


@dataclass(frozen=True, kw_only=True)
class FTConfig(FeatureLossConfig):
    """Factor transfer: factors from a paraphraser of the teacher, matched by a translator of the student."""

    weight: float | None = setting(200.0, at_least=0)
    """Weight in the total."""

    rate: float = setting(0.5, above=0, at_most=4)
    """Channels of the factors, as a share of the teacher's."""

    paraphraser: float = setting(0.125, at_least=0, below=1)
    """Share of the run that trains the paraphraser, before the student (published: 30 of 240 epochs)."""


@dataclass(frozen=True, kw_only=True)
class OFDConfig(FeatureLossConfig):
    """Overhaul: features before the activation, with a margin from the teacher's BatchNorm."""

    weight: float | None = setting(1e-3, at_least=0)
    """Weight in the total."""


@dataclass(frozen=True, kw_only=True)
class ReviewConfig(FeatureLossConfig):
    """Knowledge review: fused features of this and all deeper stages, compared at several scales."""

    channels: int = setting(512, at_least=1)
    """Most channels of the fused features."""


@dataclass(frozen=True, kw_only=True)
class SimKDConfig(FeatureLossConfig):
    """SimKD: reuse the teacher's classifier and learn only the features before it, through a projector."""

    reduction: int = setting(2, at_least=1)
    """Factor by which the projector is narrower inside than the teacher's features."""


@dataclass(frozen=True, kw_only=True)
class CRDConfig(FeatureLossConfig):
    """Contrastive representation: an image's two embeddings are closer than those of different images."""

    weight: float | None = setting(0.8, at_least=0)
    """Weight in the total."""

    temperature: float = setting(0.07, above=0)
    """Divides the cosine of two embeddings."""

    width: int = setting(128, at_least=1)
    """Numbers in an embedding."""

    negatives: int = setting(16384, at_least=1)
    """Images of other classes, from the memory, that each image is contrasted with."""

    momentum: float = setting(0.5, at_least=0, below=1)
    """Share of the old embedding that is kept in the memory."""

    memory: bool = True
    """Take negatives from a memory of all images, rather than from the batch."""


@dataclass(frozen=True, kw_only=True)
class MGDConfig(FeatureLossConfig):
    """Masked generation: restore the teacher's features from the student's with some masked."""

    weight: float | None = setting(7e-5, at_least=0)
    """Weight in the total."""

    masked: float = setting(0.15, at_least=0, below=1)
    """Share of the student's features that is masked."""


@dataclass(frozen=True, kw_only=True)
class SRRLConfig(FeatureLossConfig):
    """Softmax regression: the teacher's classifier is applied to the student's features."""

    features: float = setting(1.0, at_least=0)
    """Weight of the distance of features (the paper's alpha)."""

    regression: float = setting(1.0, at_least=0)
    """Weight of the distance of the classifier's outputs (the paper's beta)."""


@dataclass(frozen=True, kw_only=True)
class KDPPConfig(FeatureLossConfig):
    """KD++: student features as long as the teacher's, in the direction of their class mean."""

    momentum: float = setting(0.9, at_least=0, below=1)
    """Share of the old class mean that is kept at each step."""
