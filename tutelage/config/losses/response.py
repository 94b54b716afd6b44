"""Settings of the response losses, which compare logits. Defaults are those of the papers."""

from dataclasses import dataclass
from typing import Literal

from tutelage.config.loss_schedule import WeightedLossConfig
from tutelage.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class LabelConfig(WeightedLossConfig):
    """Cross-entropy with the label."""

    weight: float | None = setting(None, at_least=0)
    """Weight in the total; unset: 1 - alpha."""


@dataclass(frozen=True, kw_only=True)
class LogitLossConfig(WeightedLossConfig):
    """A loss that compares logits."""

    standardize: bool = False
    """Standardize each row of logits, of both networks, to mean 0 and standard deviation 1 first."""


@dataclass(frozen=True, kw_only=True)
class KDConfig(LogitLossConfig):
    """Hinton's loss: T^2 * KL(teacher || student) of softened probabilities."""

    weight: float | None = setting(None, at_least=0)
    """Weight in the total; unset: alpha."""

    temperature: float = setting(4.0, above=0, at_most=1000)
    """T: divides both networks' logits before the softmax."""

    direction: Literal["forward", "reverse", "jensen-shannon"] = "forward"
    """KL(teacher || student), KL(student || teacher), or the mean divergence of both from their mean."""


@dataclass(frozen=True, kw_only=True)
class DKDConfig(LogitLossConfig):
    """Decoupled KD: the target class and the other classes, weighted apart."""

    temperature: float = setting(4.0, above=0, at_most=1000)
    """T: divides both networks' logits before the softmax."""

    target: float = setting(1.0, at_least=0)
    """Weight of the divergence between target and rest (the paper's alpha)."""

    rest: float = setting(8.0, at_least=0)
    """Weight of the divergence among the other classes (the paper's beta)."""


@dataclass(frozen=True, kw_only=True)
class DISTConfig(LogitLossConfig):
    """Correlation rather than distance of probabilities, along each image and along each class."""

    temperature: float = setting(1.0, above=0, at_most=1000)
    """T: divides both networks' logits before the softmax."""

    inter: float = setting(2.0, at_least=0)
    """Weight of the relation between the classes of an image (the paper's beta)."""

    intra: float = setting(2.0, at_least=0)
    """Weight of the relation between the images of a class (the paper's gamma)."""


@dataclass(frozen=True, kw_only=True)
class NKDConfig(LogitLossConfig):
    """Normalised KD: the soft label of the target, and the normalised other classes."""

    temperature: float = setting(1.0, above=0, at_most=1000)
    """T of the other classes."""

    rest: float = setting(1.5, at_least=0)
    """Weight of the other classes (the paper's gamma)."""


@dataclass(frozen=True, kw_only=True)
class WSLDConfig(LogitLossConfig):
    """KD with a weight for each image: less where the student already does better than the teacher."""

    weight: float | None = setting(2.5, at_least=0)
    """Weight in the total (the paper's alpha)."""

    temperature: float = setting(2.0, above=0, at_most=1000)
    """T: divides both networks' logits before the softmax."""


@dataclass(frozen=True, kw_only=True)
class MLKDConfig(LogitLossConfig):
    """Multi-level logits: each image, the batch and the classes, at several temperatures."""

    temperatures: tuple[float, ...] = setting((2.0, 3.0, 4.0, 5.0, 6.0), above=0, at_most=1000)
    """Temperatures; their losses are added up."""


@dataclass(frozen=True, kw_only=True)
class TTMConfig(LogitLossConfig):
    """Transformed teacher matching: a temperature on the teacher alone."""

    temperature: float = setting(4.0, at_least=1, at_most=1000)
    """T: the teacher's probabilities are raised to 1 / T and normalised; the student's are not."""

    weighted: bool = False
    """WTTM: weight each image by how spread out the teacher's probabilities are."""


@dataclass(frozen=True, kw_only=True)
class LogitMSEConfig(LogitLossConfig):
    """Squared distance of logits (Ba and Caruana)."""


@dataclass(frozen=True, kw_only=True)
class HardLabelConfig(LogitLossConfig):
    """Cross-entropy with the class that the teacher predicts."""
