"""What a method declares about itself, before anything is built and without torch.

One file in `methods/specs/` declares one method: everything in which it differs from the others is a field
here, so that no other code asks which method a run has. What trains is built by the function in `builder`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from tutelage.config.job import DistillConfig
from tutelage.config.methods import MethodConfig, MethodName, MethodOptions
from tutelage.errors import UsageError
from tutelage.methods.plan import (
    PlannedRun,
    plan_equal_compute,
    plan_peer_controls,
    plan_students,
    student_seeds,
)

Combination = Literal["single", "list", "ensemble", "sequence", "specialist-ensemble"]
"""What a run's finished teachers are made into; see `engine/teachers.py`."""


def no_peers(_settings: MethodConfig, _student: str) -> Mapping[str, str]:
    """Declare that nothing is trained beside the student."""
    return {}


def one_teacher(settings: MethodConfig, count: int) -> None:
    """Refuse more than one finished teacher.

    Raises:
        UsageError: there are several.
    """
    if count > 1:
        raise UsageError(
            f"the method {settings.method} has one teacher",
            found=f"{count} teachers",
            fix="--method multi-teacher",
        )


COPIES_WEIGHTS: Mapping[str, str] = {"srrl": "last layer", "ofd": "BatchNorm"}
"""Terms that copy weights of a teacher before training begins, and which."""


def number_peers(models: Sequence[str]) -> Mapping[str, str]:
    """Name the networks trained beside a student: `peer1`, `peer2`, ..."""
    return {f"peer{number}": model for number, model in enumerate(models, 1)}


def refuse_teacher_weights(term: str) -> str | None:
    """Refuse terms that copy weights of a teacher, for methods whose teacher is being trained itself."""
    part = COPIES_WEIGHTS.get(term)
    return part and f"it takes the {part} of its teacher, which here is still learning"


def any_teachers(_settings: MethodConfig, _count: int) -> None:
    """Accept any number of finished teachers."""


def any_epochs(_settings: MethodConfig, _epochs: int, *, flag: str) -> None:
    """Accept any number of epochs of the student."""


def no_requirements(
    _job: DistillConfig, *, classes: int | None = None, own_teacher: bool = False
) -> None:
    """Accept every job."""


def plan_without_teacher(spec: "MethodSpec", job: DistillConfig) -> list[PlannedRun]:
    """Plan, for each seed, a student and its controls: plain, at equal compute, and of each peer."""
    runs: list[PlannedRun] = []
    peers = list(spec.peers(job, job.student.model).items())
    for seed in student_seeds(job):
        runs += plan_students(job, seed)
        runs += plan_peer_controls(job, seed, peers)
        runs += plan_equal_compute(job, seed, spec.step_cost(job.methods))
    return runs


@dataclass(frozen=True, kw_only=True)
class MethodSpec:
    """Who teaches whom: one scheme of distillation."""

    name: MethodName

    family: Literal["offline", "online", "self"]

    line: str
    """For lists: who teaches, in a few words."""

    source: str
    """Where it was published."""

    builder: str
    """`module:function` below `tutelage.methods`: (settings, student, others, facts) -> Method."""

    needs_teacher: bool = False
    """Whether the student needs a finished teacher."""

    several_runs: bool = False
    """Whether one student takes several training runs, which `tutelage run` plans."""

    plan: "Callable[[MethodSpec, DistillConfig], list[PlannedRun]]" = plan_without_teacher
    """The runs of a whole job, each after those it needs."""

    check_job: Callable[..., None] = no_requirements
    """Refuse a job whose settings do not go together; `classes` is their number where it is known."""

    check_epochs: Callable[..., None] = any_epochs
    """Refuse a number of epochs of the student; `flag` is the start of its flags, for the message."""

    peers: Callable[[MethodConfig, str], Mapping[str, str]] = no_peers
    """Networks trained beside a student of the given network: name -> network."""

    teacher_among_peers: bool = False
    """Whether one of the peers is the teacher, rather than one more student."""

    check_teachers: Callable[[MethodConfig, int], None] = any_teachers
    """Refuse a number of finished teachers."""

    combination: Callable[[MethodOptions], Combination] = lambda _options: "single"
    """What several finished teachers are made into."""

    weighted: bool = False
    """Whether teachers have weights of their own (`methods.multi_teacher.weigh`)."""

    checkpoints: Callable[[MethodOptions], int | None] = lambda _options: None
    """How many checkpoints of its one teacher teach, in order; None: the finished teacher alone."""

    signal: Callable[[MethodOptions], Literal["features", "logits"]] = lambda _options: "features"
    """What the terms are given of the teacher."""

    signal_name: str = ""
    """What gives logits only, for messages: `an exit`."""

    refuse: Callable[[str], str | None] = lambda _term: None
    """Why a term cannot be used under this method; None where it can."""

    keeps_teacher_classifier: bool = False
    """Whether the student may keep its teacher's classifier for good (SimKD)."""

    no_mixtures: str | None = None
    """Why views mixed from two images cannot be used; None where they can."""

    step_cost: Callable[[MethodOptions], Fraction] = lambda _options: Fraction(1)
    """What a method that teaches itself costs, in trainings of the student without a teacher.

    A step is one forward pass and one backward pass, which takes about twice as long: another forward pass
    makes it 4/3.
    """

    ensembles: Callable[[Sequence[PlannedRun]], Mapping[str, Sequence[str]]] = lambda _runs: {}
    """Runs whose mean output is reported as well, by the name of the student they belong to."""
