"""The settings of a whole job and of a single run.

No torch is imported from here, so that help and errors in flags and recipes appear at once.
"""

from dataclasses import dataclass, field

from tutelage.config.augmentation import AugmentationConfig
from tutelage.config.data import DataConfig
from tutelage.config.methods import MethodConfig
from tutelage.config.model import ModelConfig
from tutelage.config.roles import SPECIALIST, STUDENT, Role
from tutelage.config.schema import setting
from tutelage.config.teacher import SpecialistConfig, TeacherOutputConfig
from tutelage.config.tracking import TrackingConfig
from tutelage.config.training import DeviceConfig, OptimizationConfig


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(AugmentationConfig, OptimizationConfig, ModelConfig):
    """A network, how it is trained, and on which views."""


@dataclass(frozen=True, kw_only=True)
class DistillConfig(DeviceConfig, TrackingConfig, TeacherOutputConfig, MethodConfig):
    """A whole job: a teacher, and a student and a control for each seed."""

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
    """Number of students, and of controls, one of each for a seed. A verdict needs three or more."""

    seed: int = setting(0, at_least=0, at_most=2**31)
    """The first seed."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(DeviceConfig, TrackingConfig, TeacherOutputConfig, MethodConfig, NetworkConfig):
    """One run: a network trained on its own, or distilled."""

    data: DataConfig = field(default_factory=DataConfig)

    teacher: tuple[str, ...] = ()
    """Run folder or model folder of the teacher, or of several teachers. Unset: no teacher."""

    role: Role = "student"
    """What the run is in a job: the report groups runs by it."""

    specialist: SpecialistConfig = field(default_factory=SpecialistConfig)

    seed: int = setting(0, at_least=0, at_most=2**31)
    """Seed of the initial weights and of the order of images; views have their own, `view_seed`."""

    init_seed: int | None = setting(None, at_least=0, at_most=2**32)
    """Seed of the initial weights alone; unset: `seed`."""

    @property
    def is_student(self) -> bool:
        """Whether this is a student, rather than a network that a student needs or is compared with."""
        return self.role == STUDENT

    @property
    def is_specialist(self) -> bool:
        """Whether the network is trained on a few classes of the data, and one for all others."""
        return self.role == SPECIALIST
