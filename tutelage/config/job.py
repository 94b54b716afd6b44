"""The settings of a whole job and of a single run: composed here, declared beside their owners.

No torch is imported from here, so that help, a misspelt flag and a bad recipe answer at once.
"""

from dataclasses import dataclass, field
from typing import Literal

from tutelage.config.augmentation import AugmentationConfig
from tutelage.config.data import DataConfig
from tutelage.config.methods import MethodConfig
from tutelage.config.model import ModelConfig
from tutelage.config.schema import setting
from tutelage.config.teacher import SpecialistConfig, TeacherOutputConfig
from tutelage.config.training import DeviceConfig, OptimizationConfig


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(AugmentationConfig, OptimizationConfig, ModelConfig):
    """A network, how it is trained, and on which views."""


@dataclass(frozen=True, kw_only=True)
class DistillConfig(DeviceConfig, TeacherOutputConfig, MethodConfig):
    """The whole job: teacher, students, controls, over seeds."""

    title: str = "Knowledge distillation"
    """Heading of the report."""

    data: DataConfig = field(default_factory=DataConfig)

    teacher: NetworkConfig = field(
        default_factory=lambda: NetworkConfig(model="resnet34.tv_in1k", epochs=5, schedule="cosine")
    )

    student: NetworkConfig = field(
        default_factory=lambda: NetworkConfig(model="resnet18", epochs=30, schedule="cosine")
    )

    seeds: int = setting(1, at_least=1, at_most=100)
    """How many students and as many controls, each from a seed of its own. Three or more give a verdict."""

    seed: int = setting(0, at_least=0, at_most=2**31)
    """The first seed."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(DeviceConfig, TeacherOutputConfig, MethodConfig, NetworkConfig):
    """One run: a network trained alone, or taught by a teacher."""

    data: DataConfig = field(default_factory=DataConfig)

    teacher: tuple[str, ...] = ()
    """Who teaches: a run folder or a model folder; several times for several teachers. Unset: nobody."""

    role: Literal[
        "teacher",
        "specialist",
        "assistant",
        "generation",
        "student",
        "control",
        "control-equal-compute",
        "peer-control",
    ] = "student"
    """What the report will call this run."""

    specialist: SpecialistConfig = field(default_factory=SpecialistConfig)

    seed: int = setting(0, at_least=0, at_most=2**31)
    """Seeds the initialisation and the order of the images; views have a seed of their own, `view_seed`."""

    init_seed: int | None = setting(None, at_least=0, at_most=2**32)
    """Seeds the initialisation alone; unset: `seed`."""


UNTAUGHT = ("teacher", "specialist", "control", "control-equal-compute", "peer-control")
"""Roles of runs that nobody teaches, whatever the method: they have no objective but the label's."""
