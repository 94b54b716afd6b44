"""Every method by name, and what follows from its declaration. A new method is one line here.

No torch is imported from here: the list is printed at once, and a term that a method cannot use is refused
before anything is built.
"""

from collections.abc import Mapping

from tutelage.config.augmentation import AugmentationConfig
from tutelage.config.job import DistillConfig, TrainConfig
from tutelage.config.methods import MethodConfig, MethodName, MethodOptions
from tutelage.config.roles import UNTAUGHT
from tutelage.errors import UsageError
from tutelage.methods.plan import PlannedRun
from tutelage.methods.spec import MethodSpec
from tutelage.methods.specs import (
    assistants,
    born_again,
    byot,
    cs_kd,
    dml,
    joint,
    mean_teacher,
    multi_teacher,
    offline,
    one,
    ps_kd,
    rco,
    specialists,
    tf_kd,
)

METHODS: Mapping[MethodName, MethodSpec] = {
    module.SPEC.name: module.SPEC
    for module in (
        offline,
        multi_teacher,
        assistants,
        rco,
        specialists,
        dml,
        one,
        joint,
        born_again,
        byot,
        ps_kd,
        cs_kd,
        tf_kd,
        mean_teacher,
    )
}


def spec_of(settings: MethodConfig) -> MethodSpec:
    """Return the declaration of the method that some settings name."""
    return METHODS[settings.method]


def plan_job(job: DistillConfig) -> list[PlannedRun]:
    """List the runs of a whole job, each after those it needs."""
    spec = spec_of(job)
    return spec.plan(spec, job)


def is_distilled(settings: TrainConfig) -> bool:
    """Whether a run has a teacher: teachers, controls and a student whose teacher is missing have none."""
    if settings.role in UNTAUGHT:
        return False
    spec = spec_of(settings)
    # Generation zero has no teacher, as little as a student whose teacher is missing.
    return bool(settings.teacher) or teaches_itself(spec)


def teaches_itself(spec: MethodSpec) -> bool:
    """Whether the student's teacher comes into being in its own run: itself, or networks beside it."""
    return not (spec.needs_teacher or spec.several_runs)


def peers_of(settings: MethodConfig, student: str) -> Mapping[str, str]:
    """Name the networks trained beside a student: name -> network.

    >>> peers_of(MethodConfig(method="dml"), "resnet18")
    {'peer1': 'resnet18'}
    """
    return spec_of(settings).peers(settings, student)


def check_term(
    method: MethodName, term: str, *, looks_inside: bool, settings: MethodOptions | None = None
) -> None:
    """Refuse a term that cannot be used under a method.

    Raises:
        UsageError: with the reason.
    """
    reason = incompatibility(method, term, looks_inside=looks_inside, settings=settings)
    if reason is not None:
        raise UsageError(
            f"losses.{term} cannot be used under the method {method}: {reason}",
            expected=f"{'a term on logits' if looks_inside else 'another term'}, or another method",
            fix="tutelage methods --losses",
        )


def incompatibility(
    method: MethodName, term: str, *, looks_inside: bool, settings: MethodOptions | None = None
) -> str | None:
    """Explain why a term cannot be used under a method; None where it can.

    Args:
        method: who teaches.
        term: by name.
        looks_inside: whether it compares features.
        settings: of the methods, since what a teacher gives may depend on them; default: the defaults.
    """
    spec = METHODS[method]
    if term == "simkd" and not spec.keeps_teacher_classifier:
        return "it gives a student its teacher's classifier for good, which the method offline alone does"
    if reason := spec.refuse(term):
        return reason
    if looks_inside and spec.signal(settings or MethodOptions()) == "logits":
        return f"{spec.signal_name} has logits and no features"
    return None


def check_mixtures(method: MethodName, views: AugmentationConfig) -> None:
    """Refuse views mixed from two images under a method that needs one.

    Raises:
        UsageError: with the reason.
    """
    reason = METHODS[method].no_mixtures
    if views.mixing and reason:
        raise UsageError(
            f"the method {method} cannot be used with views of two images: {reason}",
            found=f"mixup = {views.mixup}, cutmix = {views.cutmix}",
            fix="no mixup and no cutmix, or another method",
        )
