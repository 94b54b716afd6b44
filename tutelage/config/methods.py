"""Settings of the methods: who teaches whom. Defaults are those of the papers where they give one.

What is learned is up to the objective: `alpha`, `losses` and `custom` mean the same under every method.
"""

from collections.abc import Mapping
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

METHOD_LABELS: Mapping[str, str] = {
    "offline": "one finished teacher",
    "multi-teacher": "several finished teachers",
    "assistants": "teacher assistants",
    "rco": "route-constrained optimization",
    "specialists": "a generalist and specialists",
    "dml": "deep mutual learning",
    "one": "online ensemble",
    "joint": "teacher and student trained together",
    "born-again": "born-again networks",
    "byot": "be your own teacher",
    "ps-kd": "progressive self-distillation",
    "cs-kd": "class-wise self-distillation",
    "tf-kd": "teacher-free distillation",
    "mean-teacher": "mean teacher",
}
"""What each name stands for, as a report shows it."""


@dataclass(frozen=True, kw_only=True)
class MultiTeacherConfig:
    """Several finished teachers, each with its own preprocessing."""

    models: tuple[str, ...] = ()
    """Further teachers beside `teacher`, by network; each is trained with the settings of `teacher`."""

    combine: Literal["probabilities", "logits", "divergences"] = "probabilities"
    """The student's target: the mean of their softened probabilities, the mean of their logits, or each of
    them, with the losses added up.
    """

    weigh: Literal["given", "validation", "confidence"] = "given"
    """Weight of each teacher: as in `weights`; by its loss on the validation images; or for each image by its
    loss on the label.
    """

    weights: tuple[float, ...] = setting((), at_least=0)
    """A weight for each teacher, that of `teacher` first; unset: equal weights."""

    sharpness: float = setting(1.0, above=0)
    """With `validation` and `confidence` a teacher has the weight exp(-sharpness * loss)."""


@dataclass(frozen=True, kw_only=True)
class AssistantsConfig:
    """Teacher assistants: a chain of networks from the teacher to the student."""

    models: tuple[str, ...] = ("resnet26",)
    """The networks in between, in order from the teacher on; trained with the student's settings."""

    dense: bool = False
    """Teach each network by all before it, rather than by the last one (DGKD)."""


@dataclass(frozen=True, kw_only=True)
class RCOConfig:
    """Route-constrained optimization: the teacher's own checkpoints teach in order, the earliest first."""

    checkpoints: int = setting(4, at_least=1)
    """Teacher checkpoints, evenly spaced over its training, the last one finished. Each teaches for an equal
    part of the student's training.
    """


@dataclass(frozen=True, kw_only=True)
class SpecialistsConfig:
    """A generalist and, for each group of classes it confuses, a specialist: together they teach.

    The generalist is `teacher`. Specialists start from its weights and train without MixUp and CutMix.
    """

    groups: int = setting(3, at_least=2)
    """Clusters of classes, by what is confused on the validation images. Each cluster of two classes or more
    has a specialist, so there may be fewer specialists.
    """

    epochs: int | None = setting(None, at_least=1)
    """Epochs of a specialist; unset: those of the generalist."""

    active: int = setting(1, at_least=1)
    """A specialist is used for an image if it knows one of this many classes that are most probable by the
    generalist.
    """


@dataclass(frozen=True, kw_only=True)
class DMLConfig:
    """Deep mutual learning: networks trained side by side, each taught by all others."""

    models: tuple[str, ...] = ()
    """Networks beside the student, by name; unset: one more of the student's."""

    alternate: bool = False
    """Update one network after the other, rather than all at once."""


@dataclass(frozen=True, kw_only=True)
class OnlineEnsembleConfig:
    """Online ensemble: networks trained side by side, taught by their combined output."""

    models: tuple[str, ...] = ()
    """Networks beside the student, by name; unset: two more of the student's."""

    combine: Literal["gate", "mean", "least-loss"] = "gate"
    """The teacher they form: logits weighted by a learned gate (ONE), the mean of the logits, or for each
    image the logits of least cross-entropy (KDCL-Naive; the mean if there is no label).
    """


@dataclass(frozen=True, kw_only=True)
class JointConfig:
    """Teacher and student trained together from the start."""

    model: str = "resnet34"
    """The teacher's network."""


@dataclass(frozen=True, kw_only=True)
class BornAgainConfig:
    """Born-again networks: the student's own network, taught by the generation before it."""

    count: int = setting(2, at_least=0, at_most=20)
    """Generations after the first, which is plain training."""


@dataclass(frozen=True, kw_only=True)
class BYOTConfig:
    """Be your own teacher: exits at the earlier stages, taught by the last one and removed at the end."""

    features: float = setting(0.03, at_least=0)
    """Weight of the distance between an exit's features and the last ones."""


@dataclass(frozen=True, kw_only=True)
class TfKDConfig:
    """Tf-KD: a virtual teacher: a fixed probability for the right class, the rest shared by the others."""

    correct: float = setting(0.99, above=0, below=1)
    """Probability of the right class under the virtual teacher."""


@dataclass(frozen=True, kw_only=True)
class MeanTeacherConfig:
    """Mean teacher: a moving average of the student's weights teaches it."""

    momentum: float = setting(0.999, at_least=0, below=1)
    """Decay of the average at each step; lower in the first steps, so that it starts as a plain mean."""


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
    """What a student minimises, and what teaches it."""

    method: MethodName = "offline"
    """What teaches the student: one finished teacher (`offline`), several, peers, itself."""

    methods: MethodOptions = field(default_factory=MethodOptions)
