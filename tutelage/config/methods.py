"""Settings of the methods: who teaches whom. Defaults are those of the papers where they have one.

What is taught is the objective's business: `alpha`, `terms` and `own` mean the same under every method.
"""

from dataclasses import dataclass, field
from typing import Literal

from tutelage.config.objective import ObjectiveConfig
from tutelage.config.schema import setting

MethodName = Literal[
    "offline",
    "multi-teacher",
    "assistants",
    "rco",
    "specialists",
    "dml",
    "one",
    "joint",
    "born-again",
    "byot",
    "ps-kd",
    "cs-kd",
    "tf-kd",
    "mean-teacher",
]
"""Every method; `offline` is one finished teacher."""


@dataclass(frozen=True, kw_only=True)
class MultiTeacherConfig:
    """Several finished teachers, each seeing images as it was trained to."""

    models: tuple[str, ...] = ()
    """Further teachers beside `teacher`, by network name; each is trained as `teacher` is."""

    combine: Literal["probabilities", "logits", "divergences"] = "probabilities"
    """What the student is held to: the mean of their softened probabilities, the mean of their logits, or
    each of them, with the terms added up.
    """

    weigh: Literal["given", "validation", "confidence"] = "given"
    """How much each counts: `weights`; by its loss on the validation images; or, image by image, by its
    loss on the label.
    """

    weights: tuple[float, ...] = setting((), at_least=0)
    """One for each teacher, the first of `teacher`; unset: all the same."""

    sharpness: float = setting(1.0, above=0)
    """Of `validation` and `confidence`: a teacher counts exp(-sharpness * loss)."""


@dataclass(frozen=True, kw_only=True)
class AssistantsConfig:
    """Teacher assistants: a chain from the teacher over networks in between to the student."""

    models: tuple[str, ...] = ("resnet26",)
    """The networks in between, from the teacher's side on; trained as the student is."""

    dense: bool = False
    """Whether each network is taught by all that come before it, rather than by the last one (DGKD)."""


@dataclass(frozen=True, kw_only=True)
class RCOConfig:
    """Route-constrained: a teacher's own checkpoints teach in their order, the early ones first."""

    checkpoints: int = setting(4, at_least=1)
    """Checkpoints that divide the teacher's training evenly, the finished one last; the student's, too."""


@dataclass(frozen=True, kw_only=True)
class SpecialistsConfig:
    """A generalist and, for each group of classes that it mixes up, a specialist: together they teach.

    The generalist is `teacher`. Specialists go on from its weights and see no mixtures of two images.
    """

    groups: int = setting(3, at_least=2)
    """Clusters that all classes fall into, by what is mixed up on the validation images. Each of two classes
    or more has a specialist, so there may be fewer of them.
    """

    epochs: int | None = setting(None, at_least=1)
    """Of a specialist's training; unset: as many as the generalist's."""

    active: int = setting(1, at_least=1)
    """A specialist is asked about an image where it knows one of so many classes that the generalist
    thinks likeliest.
    """


@dataclass(frozen=True, kw_only=True)
class DMLConfig:
    """Deep mutual learning: networks that learn side by side, each from all others."""

    models: tuple[str, ...] = ()
    """Networks beside the student, by name; unset: one more like it."""

    alternate: bool = False
    """Whether one network is updated after the other, rather than all at once."""


@dataclass(frozen=True, kw_only=True)
class OnlineEnsembleConfig:
    """Online ensemble: networks that learn side by side, each from what all of them say together."""

    models: tuple[str, ...] = ()
    """Networks beside the student, by name; unset: two more like it."""

    combine: Literal["gate", "mean", "least-loss"] = "gate"
    """The teacher they make: logits weighted by a gate that learns (ONE), their mean, or for each image
    those of least cross-entropy (KDCL-Naive); an image without a label has the mean.
    """


@dataclass(frozen=True, kw_only=True)
class JointConfig:
    """Teacher and student learn together from the start."""

    model: str = "resnet34"
    """The teacher's network."""


@dataclass(frozen=True, kw_only=True)
class BornAgainConfig:
    """Born-again networks: the student's own network, taught by the generation before it."""

    count: int = setting(2, at_least=0, at_most=20)
    """Generations after the first, which is plain training."""


@dataclass(frozen=True, kw_only=True)
class BYOTConfig:
    """Be your own teacher: exits at the earlier stages, taught by the last one and dropped at the end."""

    features: float = setting(0.03, at_least=0)
    """Weight of the distance between an exit's features and the last ones."""


@dataclass(frozen=True, kw_only=True)
class Past:
    """PS-KD: what the network itself said in the epoch before, weighted more as training goes on."""


@dataclass(frozen=True, kw_only=True)
class ClassWise:
    """CS-KD: what the network says about another image of the same class."""


@dataclass(frozen=True, kw_only=True)
class TfKDConfig:
    """Tf-KD: a teacher that is no network: so much for the right class, the rest evenly for the others."""

    correct: float = setting(0.99, above=0, below=1)
    """Probability that the virtual teacher gives the right class."""


@dataclass(frozen=True, kw_only=True)
class MeanTeacherConfig:
    """A moving average of the student teaches it (mean teacher)."""

    momentum: float = setting(0.999, at_least=0, below=1)
    """Share of the average that is kept at each step; in the first steps less, so that it is a plain mean."""


@dataclass(frozen=True, kw_only=True)
class MethodOptions:
    """A table for each method that has settings."""

    multi_teacher: MultiTeacherConfig = field(default_factory=MultiTeacherConfig)
    assistants: AssistantsConfig = field(default_factory=AssistantsConfig)
    rco: RCOConfig = field(default_factory=RCOConfig)
    specialists: SpecialistsConfig = field(default_factory=SpecialistsConfig)
    dml: DMLConfig = field(default_factory=DMLConfig)
    one: OnlineEnsembleConfig = field(default_factory=OnlineEnsembleConfig)
    joint: JointConfig = field(default_factory=JointConfig)
    born_again: BornAgainConfig = field(default_factory=BornAgainConfig)
    byot: BYOTConfig = field(default_factory=BYOTConfig)
    tf_kd: TfKDConfig = field(default_factory=TfKDConfig)
    mean_teacher: MeanTeacherConfig = field(default_factory=MeanTeacherConfig)


@dataclass(frozen=True, kw_only=True)
class MethodConfig(ObjectiveConfig):
    """What a student minimises, and who teaches it."""

    method: MethodName = "offline"
    """Who teaches: one finished teacher (`offline`), several, peers, itself (`tutelage methods`)."""

    methods: MethodOptions = field(default_factory=MethodOptions)
