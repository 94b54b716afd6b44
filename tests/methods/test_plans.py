"""Which runs a job takes, by its method: names, roles, seeds, and who teaches whom."""

import dataclasses
from typing import Any

import pytest

from tutelage.commands.preflight import Job, check_settings
from tutelage.config.job import DistillConfig, NetworkConfig
from tutelage.config.losses.feature import HintConfig
from tutelage.config.methods import (
    AssistantsConfig,
    BornAgainConfig,
    DMLConfig,
    JointConfig,
    MethodConfig,
    MethodName,
    MethodOptions,
    MultiTeacherConfig,
    RCOConfig,
    SpecialistsConfig,
)
from tutelage.config.objective import LossConfig
from tutelage.config.schema import shared_fields
from tutelage.config.teacher import SpecialistConfig
from tutelage.errors import UsageError
from tutelage.methods.plan import PEER_SEED, PlannedRun, equal_compute_epochs
from tutelage.methods.registry import METHODS, is_distilled, plan_job, spec_of


def job(method: MethodName, seeds: int = 1, **methods: Any) -> DistillConfig:
    """A job of small networks."""
    teacher = NetworkConfig(model="cifar_resnet14", epochs=4, lr=0.1)
    student = NetworkConfig(model="cifar_resnet8", epochs=3, lr=0.2)
    own = MethodOptions(**methods)
    return DistillConfig(
        method=method, methods=own, seeds=seeds, seed=5, teacher=teacher, student=student
    )


def chain(steps: list[PlannedRun]) -> dict[str, tuple[str, ...]]:
    return {step.name: step.teachers for step in steps}


def test_offline() -> None:
    """One teacher; for each seed a student of it and a control of the same settings."""
    steps = plan_job(job("offline", seeds=2))
    assert chain(steps) == {
        "teacher": (),
        "student-5": ("teacher",),
        "control-5": (),
        "student-6": ("teacher",),
        "control-6": (),
    }
    assert {step.reference for step in steps[1:]} == {"teacher"}
    student, control = (step.settings for step in steps[1:3])
    assert dataclasses.replace(student, role="control") == control


def equal_compute(settings: MethodConfig, epochs: int) -> int:
    return equal_compute_epochs(spec_of(settings).step_cost(settings.methods), epochs)


@pytest.mark.parametrize("method", ["ps-kd", "tf-kd"])
def test_nobody_from_outside(method: MethodName) -> None:
    """A network that teaches itself at no further cost takes a student and a control."""
    assert chain(plan_job(job(method))) == {"student-5": (), "control-5": ()}


@pytest.mark.parametrize(("method", "epochs"), [("cs-kd", 4), ("mean-teacher", 4), ("byot", 4)])
def test_equal_compute(method: MethodName, epochs: int) -> None:
    """A method that teaches itself at a price is held against plain training of that price, rounded up."""
    *rest, longer = plan_job(job(method))
    assert chain(rest) == {"student-5": (), "control-5": ()}
    assert (longer.name, longer.settings.role, longer.settings.epochs) == (
        "control-equal-compute-5",
        "control-equal-compute",
        epochs,
    )
    assert dataclasses.replace(longer.settings, role="control", epochs=3) == rest[1].settings


def test_longer_epochs() -> None:
    """Exact where binary fractions are not: four thirds of 30 are 40, of 31 a little less than 42."""
    assert [equal_compute(MethodConfig(method="mean-teacher"), n) for n in (0, 30, 31)] == [
        0,
        40,
        42,
    ]
    assert [equal_compute(MethodConfig(method="byot"), n) for n in (10, 30, 50)] == [
        11,
        33,
        55,
    ]
    assert equal_compute(MethodConfig(method="dml"), 30) == 30


def test_several() -> None:
    """Teachers of other networks and seeds, trained alike; every student hears all of them."""
    steps = plan_job(
        job(
            "multi-teacher",
            multi_teacher=MultiTeacherConfig(models=("cifar_resnet14", "cifar_resnet20")),
        )
    )
    names = ("teacher", "teacher-2", "teacher-3")
    assert chain(steps) == {**dict.fromkeys(names, ()), "student-5": names, "control-5": ()}
    teachers = [step.settings for step in steps[:3]]
    assert [t.model for t in teachers] == ["cifar_resnet14", "cifar_resnet14", "cifar_resnet20"]
    assert [t.seed for t in teachers] == [5, 6, 7]
    assert {(t.epochs, t.lr, t.role) for t in teachers} == {(4, 0.1, "teacher")}


def test_course() -> None:
    """One teacher, which keeps the checkpoints; nobody else does."""
    steps = plan_job(job("rco", rco=RCOConfig(checkpoints=2)))
    assert chain(steps) == {"teacher": (), "student-5": ("teacher",), "control-5": ()}
    assert [step.settings.keep_checkpoints for step in steps] == [2, None, None]


def test_specialists() -> None:
    """A generalist, as many who go on from it as there are clusters, and students of all of them."""
    own = SpecialistsConfig(groups=3, epochs=7)
    usual = job("specialists", seeds=2, specialists=own)
    usual = dataclasses.replace(usual, teacher=dataclasses.replace(usual.teacher, mixup=0.2))
    steps = plan_job(usual)
    special = tuple(f"specialist-{number}" for number in (1, 2, 3))
    assert chain(steps) == {
        "teacher": (),
        **dict.fromkeys(special, ("teacher",)),
        "student-5": ("teacher", *special),
        "control-5": (),
        "student-6": ("teacher", *special),
        "control-6": (),
    }
    assert {step.reference for step in steps[1:]} == {"teacher"}
    for number, step in enumerate(steps[1:4], 1):
        settings = step.settings
        assert (settings.role, settings.model, settings.epochs, settings.lr, settings.mixup) == (
            "specialist", "cifar_resnet14", 7, 0.1, None,
        )  # fmt: skip
        assert settings.seed == 5 + number
        assert settings.specialist == SpecialistConfig(clusters=3, number=number)
        assert step.resolve is not None
        assert not is_distilled(settings)
    # Under another objective they are the same runs.
    other = plan_job(dataclasses.replace(usual, alpha=0.3, losses=LossConfig()))
    assert [repr(s.settings) for s in other[:4]] == [repr(s.settings) for s in steps[:4]]
    unset = plan_job(job("specialists"))
    assert [step.settings.epochs for step in unset[1:4]] == [4, 4, 4]


@pytest.mark.parametrize("dense", [False, True])
def test_assistants(*, dense: bool) -> None:
    """A chain: each network is taught by the one before it, or by all; assistants train as students do."""
    own = AssistantsConfig(models=("cifar_resnet20", "cifar_resnet14"), dense=dense)
    steps = plan_job(job("assistants", seeds=2, assistants=own))
    found = chain(steps)
    if dense:
        both = ("teacher", "assistant-1")
        assert found["assistant-2"] == both
        assert found["student-5"] == found["student-6"] == (*both, "assistant-2")
    else:
        assert found["assistant-2"] == ("assistant-1",)
        assert found["student-5"] == found["student-6"] == ("assistant-2",)
    assert found["assistant-1"] == ("teacher",)
    assert found["control-5"] == ()
    for step, model in zip(steps[1:3], own.models, strict=True):
        kept = (step.settings.model, step.settings.role, step.settings.epochs, step.settings.lr)
        assert kept == (model, "assistant", 3, 0.2)


def test_generations() -> None:
    """Each generation is taught by the one before; they differ in seed, and the last has the control's."""
    steps = plan_job(job("born-again", seeds=2, born_again=BornAgainConfig(count=2)))
    line = ["generation-0-6", "generation-1-6", "student-6"]
    found = chain(steps)
    assert [found[name] for name in line] == [(), ("generation-0-6",), ("generation-1-6",)]
    by_name = {step.name: step.settings for step in steps}
    assert (
        len(
            {
                by_name[name].seed
                for name in METHODS["born-again"].ensembles(steps)["student-5"] + line
            }
        )
        == 6
    )
    assert by_name["student-6"].seed == by_name["control-6"].seed == 6
    assert by_name["control-equal-compute-6"].epochs == 3 * 3
    assert METHODS["born-again"].ensembles(steps)["student-6"] == line
    first = by_name["generation-0-6"]
    untaught = shared_fields(MethodConfig, MethodConfig())
    assert dataclasses.replace(first, role="control", seed=6, **untaught) == by_name["control-6"]


def test_no_generations() -> None:
    """With none after the first, the student is plain training, and so is what it costs."""
    steps = plan_job(job("born-again", born_again=BornAgainConfig(count=0)))
    assert chain(steps) == {"student-5": (), "control-5": ()}
    assert METHODS["born-again"].ensembles(steps) == {"student-5": ["student-5"]}


WRONG = {
    "unknown teacher": (
        job("multi-teacher", multi_teacher=MultiTeacherConfig(models=("cifar_resnt14",))),
        "cifar_resnt14",
    ),
    "unknown assistant": (
        job("assistants", assistants=AssistantsConfig(models=("rsnet18",))),
        "rsnet18",
    ),
    "unknown peer": (job("dml", dml=DMLConfig(models=("resnt18",))), "resnt18"),
    "weights": (
        job(
            "multi-teacher", multi_teacher=MultiTeacherConfig(weights=(1.0,), models=("resnet18",))
        ),
        "do not fit",
    ),
    "long course": (
        job("rco", rco=RCOConfig(checkpoints=4)),
        "more teacher checkpoints than the student",
    ),
    "many kept": (
        dataclasses.replace(
            job("offline"),
            student=NetworkConfig(model="cifar_resnet8", epochs=2, keep_checkpoints=3),
        ),
        "more networks are to be kept",
    ),
    "untrained specialists": (
        dataclasses.replace(
            job("specialists"), teacher=NetworkConfig(model="cifar_resnet14", epochs=0)
        ),
        "specialists without training",
    ),
    "features of specialists": (
        dataclasses.replace(job("specialists"), losses=LossConfig(hint=HintConfig())),
        "generalist and its specialists has logits",
    ),
    "features of several": (
        dataclasses.replace(job("multi-teacher"), losses=LossConfig(hint=HintConfig())),
        "mean output of several teachers",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_plans(case: str) -> None:
    """What cannot be done is refused by name before any run begins."""
    wrong, told = WRONG[case]
    with pytest.raises(UsageError, match=told):
        check_settings(Job(wrong, plan_job(wrong), {}))


def test_a_students_teacher_is_not_asked_for() -> None:
    """Where nobody teaches from outside, the teacher's network need not exist."""
    alone = dataclasses.replace(job("ps-kd"), teacher=NetworkConfig(model="no_such_network"))
    check_settings(Job(alone, plan_job(alone), {}))
    taught = dataclasses.replace(alone, method="offline")
    with pytest.raises(UsageError, match="no_such_network"):
        check_settings(Job(taught, plan_job(taught), {}))


@pytest.mark.parametrize(
    ("method", "own", "models"),
    [
        ("dml", {"dml": DMLConfig(models=("cifar_resnet8", "cifar_resnet20"))}, (8, 20)),
        ("one", {}, (8, 8)),
        ("joint", {"joint": JointConfig(model="cifar_resnet20")}, (20,)),
    ],
)
def test_companions_alone(method: MethodName, own: dict[str, Any], models: tuple[int, ...]) -> None:
    """Each companion has a run without the others: its network, its first weights, the student's budget."""
    steps = plan_job(job(method, seeds=2, **own))
    alone = [
        step.settings
        for step in steps
        if step.settings.role == "peer-control" and step.student_seed == 6
    ]
    assert [settings.model for settings in alone] == [f"cifar_resnet{n}" for n in models]
    assert [settings.init_seed for settings in alone] == [
        6 + number * PEER_SEED for number in range(1, len(models) + 1)
    ]
    control = next(step.settings for step in steps if step.name == "control-6")
    for settings in alone:
        same = {"role": "control", "init_seed": None, "model": control.model, "weights": None}
        assert dataclasses.replace(settings, **same) == dataclasses.replace(control, weights=None)
    assert all(is_distilled(step.settings) == (step.settings.role == "student") for step in steps)
