"""The plan of a sweep: what jobs have in common is done once, what differs is not mixed up."""

import dataclasses
from typing import Any

import pytest

from tutelage.commands.sweep_plan import SweepRun, plan_sweep, runs_needed
from tutelage.config.job import DistillConfig, NetworkConfig
from tutelage.config.methods import DMLConfig, MethodOptions
from tutelage.config.recipes import METHODS as RECIPES
from tutelage.config.recipes import method_names, recipe

SMALL = NetworkConfig(model="cifar_resnet8", weights="none", epochs=3)
BASE = DistillConfig(teacher=dataclasses.replace(SMALL, epochs=8), student=SMALL, seeds=2)


def jobs(*names: str, **changes: Any) -> dict[str, DistillConfig]:
    return {name: dataclasses.replace(BASE, method=name, **changes) for name in names}


def names(plan: list[SweepRun]) -> list[str]:
    return [planned.run.name for planned in plan]


def by_name(plan: list[SweepRun]) -> dict[str, SweepRun]:
    return {planned.run.name: planned for planned in plan}


def test_what_is_common_is_done_once() -> None:
    """One teacher and one control a seed for all; a longer control of one length for all that cost it."""
    plan = plan_sweep(jobs("offline", "dml", "mean-teacher", "cs-kd", "ps-kd"))
    assert names(plan) == [
        "teacher",
        "offline-0",
        "control-0",
        "dml-0",
        "mean-teacher-0",
        "control-equal-compute-0",
        "cs-kd-0",
        "ps-kd-0",
        "offline-1",
        "control-1",
        "dml-1",
        "mean-teacher-1",
        "control-equal-compute-1",
        "cs-kd-1",
        "ps-kd-1",
    ]
    found = by_name(plan)
    assert (
        found["mean-teacher-0"].plain_epochs
        == found["control-equal-compute-0"].run.settings.epochs
        == 4
    )
    assert found["ps-kd-0"].plain_epochs == 3
    assert [found[f"{n}-0"].teacher_epochs for n in ("offline", "dml")] == [8, None]
    assert [found[n].objective for n in ("teacher", "control-0", "control-equal-compute-1")] == [
        "teacher",
        "control",
        "control-equal-compute",
    ]


def test_what_differs_is_not_shared() -> None:
    """Longer controls of other lengths and teachers of other settings have names of their own."""
    plan = plan_sweep(jobs("mean-teacher", "born-again"))
    found = by_name(plan)
    assert found["control-equal-compute-0"].run.settings.epochs == 4
    assert found["born-again-control-equal-compute-0"].run.settings.epochs == 9
    assert found["generation-0-0"].objective is None
    base = jobs("offline")["offline"]
    short = dataclasses.replace(base, teacher=dataclasses.replace(base.teacher, epochs=2))
    plan = plan_sweep({"kd@8": base, "kd@2": short})
    assert names(plan) == [
        "teacher",
        "kd@8-0",
        "control-0",
        "kd@2-teacher",
        "kd@2-0",
        "kd@8-1",
        "control-1",
        "kd@2-1",
    ]
    found = by_name(plan)
    assert found["kd@2-0"].run.teachers == ("kd@2-teacher",)
    assert found["kd@2-0"].run.reference == "kd@2-teacher"
    assert (found["kd@2-0"].teacher_epochs, found["kd@8-1"].teacher_epochs) == (2, 8)
    assert found["kd@2-teacher"].objective == "teacher"


def test_companions_are_not_trained_alone() -> None:
    """A sweep holds students against controls; networks beside them are for the report of a job."""
    methods = MethodOptions(dml=DMLConfig(models=("cifar_resnet14",)))
    assert {p.run.settings.role for p in plan_sweep(jobs("dml", methods=methods))} == {
        "student", "control",
    }  # fmt: skip


def test_wanted() -> None:
    """What is missing brings those before it along, and nothing else."""
    plan = plan_sweep(jobs("assistants", "dml"))
    assert names(runs_needed(plan, {"assistants-1"})) == ["teacher", "assistant-1", "assistants-1"]
    assert names(runs_needed(plan, {"dml-0"})) == ["dml-0"]
    assert names(runs_needed(plan, {"control-1"})) == ["teacher", "control-1"]
    assert runs_needed(plan, set()) == []


@pytest.mark.parametrize("name", method_names())
def test_every_method_can_be_swept(name: str) -> None:
    """Each published method has a student for each seed, after all that it needs."""
    taught = recipe(str(RECIPES / f"{name}.toml"))
    job = dataclasses.replace(BASE, method=taught.method, methods=taught.methods)
    plan = plan_sweep({name: job})
    done: set[str] = set()
    for planned in plan:
        assert {*planned.run.teachers, planned.run.reference} - {None} <= done
        done.add(planned.run.name)
    assert {f"{name}-0", f"{name}-1", "control-0", "control-1"} <= done
