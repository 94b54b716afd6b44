"""Settings: unknown keys, types, ranges, defaults, round trips, fingerprints."""

import dataclasses
import math
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from tutelage.config.data import DataConfig
from tutelage.config.job import DistillConfig, NetworkConfig, TrainConfig
from tutelage.config.losses.response import KDConfig, LabelConfig
from tutelage.config.objective import LossConfig
from tutelage.config.schema import (
    build,
    fingerprint,
    flag,
    setting,
    shared_fields,
    to_table,
    validate,
)
from tutelage.config.toml import to_toml
from tutelage.config.training import OptimizationConfig
from tutelage.errors import UsageError


def refused(cls: type[Any], content: dict[str, Any]) -> str:
    """What `build` says about a table it must not take."""
    with pytest.raises(UsageError) as caught:
        build(cls, content, where="recipe.toml")
    assert "recipe.toml" in str(caught.value) or "--" in str(caught.value)
    return str(caught.value)


def test_unknown_key() -> None:
    """A key that is no setting is refused with its dotted path and the nearest that is."""
    message = refused(DistillConfig, {"teacher": {"epoch": 3}})
    assert "teacher.epoch" in message
    assert "did you mean epochs?" in message
    assert "recipe.toml" in message
    assert "seeds" in refused(
        DistillConfig, {"zzz": 1}
    )  # nothing is near: the list of what there is


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", True),
        ("epochs", "5"),
        ("epochs", 5.0),
        ("lr", "0.1"),
        ("lr", False),
        ("flip", 1),
        ("flip", "true"),
        ("model", 18),
        ("model", ["resnet18"]),
        ("schedule", 1),
        ("schedule", "cosin"),
        ("clip_grad", "none"),
        ("epochs", {"value": 3}),
        ("epochs", [3]),
    ],
)
def test_wrong_type(key: str, value: object) -> None:
    """A value of another type is refused by name: true is no number, "5" is not 5, 5.0 no count."""
    message = refused(DistillConfig, {"student": {key: value}})
    assert f"student.{key}" in message
    assert str(value) in message or repr(value) in message


def test_table_where_a_value_is_wanted_and_the_other_way_round() -> None:
    """A number in the place of a table is refused as such."""
    assert "a table" in refused(DistillConfig, {"teacher": 5})
    assert "data.split" in refused(DistillConfig, {"data": {"split": [0.8, 0.2]}})
    assert "data.split" in refused(DistillConfig, {"data": {"split": 0.8}})
    assert "data.split" in refused(DistillConfig, {"data": {"split": [0.8, 0.1, "0.1"]}})


def test_whole_number_for_a_float() -> None:
    """A whole number is taken where a float is wanted, as a float."""
    job = build(
        DistillConfig,
        {"student": {"lr": 1, "clip_grad": 2}, "data": {"split": [7800, 2600, 2600]}},
        where="",
    )
    assert isinstance(job.student.lr, float)
    assert isinstance(job.student.clip_grad, float)
    assert job.data.split == (7800.0, 2600.0, 2600.0)
    assert all(isinstance(part, float) for part in job.data.split)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ({"student": {"lr": math.nan}}, "--student.lr"),
        ({"student": {"lr": math.inf}}, "--student.lr"),
        ({"student": {"lr": -0.1}}, "--student.lr"),
        ({"student": {"lr": 0}}, "--student.lr"),
        ({"student": {"lr": 10**400}}, "--student.lr"),
        ({"teacher": {"batch_size": 0}}, "--teacher.batch-size"),
        ({"teacher": {"epochs": -1}}, "--teacher.epochs"),
        ({"student": {"ema_decay": 1.0}}, "--student.ema-decay"),
        ({"student": {"crop_scale": 0.0}}, "--student.crop-scale"),
        ({"student": {"label_smoothing": 1.0}}, "--student.label-smoothing"),
        ({"seeds": 0}, "--seeds"),
        ({"seed": 10**400}, "--seed"),
        ({"seed": 2**31 + 1}, "--seed"),
        ({"alpha": 1.5}, "--alpha"),
        ({"alpha": math.nan}, "--alpha"),
        ({"losses": {"kd": {"temperature": 0.0}}}, "--losses.kd.temperature"),
        ({"losses": {"kd": {"temperature": math.inf}}}, "--losses.kd.temperature"),
        ({"losses": {"label": {"weight": -1.0}}}, "--losses.label.weight"),
        ({"data": {"split": [0.8, -0.1, 0.3]}}, "--data.split"),
        ({"data": {"image_size": 4}}, "--data.image-size"),
    ],
)
def test_out_of_range(content: dict[str, Any], name: str) -> None:
    """A number out of range, not-a-number and infinity are refused, and the flag is named."""
    assert f"{name} is out of range" in refused(DistillConfig, content)


def test_range_is_checked_for_python_objects_too() -> None:
    """Settings made in Python are held to the same ranges by `validate`."""
    with pytest.raises(UsageError, match=r"--student\.lr is out of range"):
        validate(DistillConfig(student=NetworkConfig(lr=-1.0)))
    validate(DistillConfig())


def test_bounds_themselves() -> None:
    """`at_least` and `at_most` take their bound; `above` and `below` do not."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Four:
        a: float = setting(0.0, at_least=0, at_most=1)
        b: float = setting(0.5, above=0, below=1)

    for content in ({"a": 0}, {"a": 1}, {"b": 1e-9}, {"b": 1 - 1e-9}):
        build(Four, content, where="")
    for content in ({"a": -1e-9}, {"a": 1 + 1e-9}, {"b": 0}, {"b": 1}):
        refused(Four, content)


def test_optional_tables_inside_tables() -> None:
    """A table for one term leaves the other term, and the rest of its own, as they are."""
    job = build(DistillConfig, {"losses": {"kd": {"temperature": 2}}}, where="")
    assert job.losses == LossConfig(label=LabelConfig(), kd=KDConfig(temperature=2.0))

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Outer:
        kd: KDConfig | None = None

    assert build(Outer, {}, where="").kd is None
    assert build(Outer, {"kd": {}}, where="").kd == KDConfig()
    assert build(Outer, {"kd": {"weight": 1}}, where="").kd == KDConfig(weight=1.0)


def test_defaults_of_the_parent_are_kept() -> None:
    """What a table leaves out is the default of its place, not of its class."""
    job = build(DistillConfig, {"teacher": {"epochs": 3}}, where="")
    assert job.teacher == NetworkConfig(model="resnet34.tv_in1k", epochs=3, schedule="cosine")
    assert job.student == DistillConfig().student
    assert job.student.model == "resnet18"


@st.composite
def jobs(draw: st.DrawFn) -> DistillConfig:
    """Valid jobs of many kinds."""
    positive = st.floats(1e-6, 100, allow_subnormal=False)

    def trainee() -> NetworkConfig:
        return NetworkConfig(
            model=draw(st.text(max_size=8)),
            weights=draw(st.none() | st.text(max_size=8)),
            stem=draw(st.sampled_from(["standard", "small"])),
            input_size=draw(st.none() | st.integers(8, 512)),
            epochs=draw(st.integers(0, 300)),
            lr=draw(positive),
            clip_grad=draw(st.none() | positive),
            flip=draw(st.booleans()),
            crop_scale=draw(st.none() | st.floats(0.01, 1)),
        )

    split = st.tuples(*[st.floats(0, 10_000)] * 3) | st.just((7800.0, 2600.0, 2600.0))
    kd = KDConfig(weight=draw(st.none() | positive), temperature=draw(positive))
    return DistillConfig(
        title=draw(st.text(st.characters(codec="utf-8"), max_size=20)),
        teacher=trainee(),
        student=trainee(),
        data=DataConfig(split=draw(split), dir=draw(st.none() | st.just("here"))),
        losses=LossConfig(label=LabelConfig(weight=draw(st.none() | positive)), kd=kd),
        alpha=draw(st.none() | st.floats(0, 1)),
        seeds=draw(st.integers(1, 100)),
    )


@given(job=jobs())
@examples(25)
def test_round_trip(job: DistillConfig) -> None:
    """A job as a table, and as TOML text, builds the same job again."""
    table = to_table(job)
    assert to_table(build(DistillConfig, table, where="")) == table
    assert to_table(build(DistillConfig, tomllib.loads(to_toml(table)), where="")) == table


def test_shared() -> None:
    """The common fields of two classes carry the object's values."""
    trainee = NetworkConfig(model="resnet50", epochs=7, flip=True)
    values = shared_fields(OptimizationConfig, trainee)
    assert values["epochs"] == 7
    assert "model" not in values
    assert TrainConfig(**shared_fields(TrainConfig, trainee)).flip


def test_flag() -> None:
    """A dotted path is spelt with dashes on the command line."""
    assert flag("data.image_size") == "--data.image-size"


def test_fingerprint() -> None:
    """Equal settings have one fingerprint, stable over releases; any change gives another."""
    assert fingerprint({"b": 1, "a": [1, 2]}) == fingerprint({"a": [1, 2], "b": 1})
    assert fingerprint({"a": 1}) == "b713f6d2a989e907"  # SHA-256 of [{"a":1}]
    assert fingerprint(DistillConfig()) == fingerprint(DistillConfig())
    assert fingerprint(DistillConfig()) == fingerprint(to_table(DistillConfig()))
    others = [
        DistillConfig(seed=1),
        DistillConfig(alpha=0.7),
        DistillConfig(title="x"),
        DistillConfig(teacher=NetworkConfig()),
        DistillConfig(losses=LossConfig(kd=KDConfig(temperature=4.5))),
        DistillConfig(data=DataConfig(split=(0.7, 0.2, 0.1))),
    ]
    prints = {fingerprint(job) for job in [DistillConfig(), *others]}
    assert len(prints) == 1 + len(others)
    assert fingerprint(1, 2) != fingerprint(12)
    assert fingerprint("1") != fingerprint(1)
