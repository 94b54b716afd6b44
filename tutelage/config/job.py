"""The settings of a whole job and of a single run: composed here, declared beside their owners.

No torch is imported from here, so that help, a misspelt flag and a bad recipe answer at once.
"""

from dataclasses import dataclass, field
from typing import Literal

from tutelage.config.augmentation import Views
from tutelage.config.data import Data
from tutelage.config.methods import Teaching
from tutelage.config.model import Network
from tutelage.config.schema import setting
from tutelage.config.teacher import Asking, Specialist
from tutelage.config.training import Machine, Training


@dataclass(frozen=True, kw_only=True)
class Trainee(Views, Training, Network):
    """A network, how it is trained, and on which views."""


@dataclass(frozen=True, kw_only=True)
class Job(Machine, Asking, Teaching):
    """The whole job: teacher, students, controls, over seeds."""

    title: str = "Knowledge distillation"
    """Heading of the report."""

    data: Data = field(default_factory=Data)

    teacher: Trainee = field(
        default_factory=lambda: Trainee(model="resnet34.tv_in1k", epochs=5, schedule="cosine")
    )

    student: Trainee = field(
        default_factory=lambda: Trainee(model="resnet18", epochs=30, schedule="cosine")
    )

    seeds: int = setting(1, at_least=1, at_most=100)
    """How many students and as many controls, each from a seed of its own. Three or more give a verdict."""

    seed: int = setting(0, at_least=0, at_most=2**31)
    """The first seed."""


@dataclass(frozen=True, kw_only=True)
class Single(Machine, Asking, Teaching, Trainee):
    """One run: a network trained alone, or taught by a teacher."""

    data: Data = field(default_factory=Data)

    teacher: tuple[str, ...] = ()
    """Who teaches: a run folder or a model folder; several times for several teachers. Unset: nobody."""

    role: Literal[
        "teacher", "specialist", "assistant", "generation", "student", "control", "longer", "alone"
    ] = "student"
    """What the report will call this run."""

    specialist: Specialist = field(default_factory=Specialist)

    seed: int = setting(0, at_least=0, at_most=2**31)
    """Seeds the initialisation and the order of the images; views have a seed of their own, `view_seed`."""

    init_seed: int | None = setting(None, at_least=0, at_most=2**32)
    """Seeds the initialisation alone; unset: `seed`."""


UNTAUGHT = ("teacher", "specialist", "control", "longer", "alone")
"""Roles of runs that nobody teaches, whatever the method: they have no objective but the label's."""
