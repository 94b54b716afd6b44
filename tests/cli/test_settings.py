"""`tutelage settings`: every setting is explained, and a wrong name is answered with the nearest."""

import re

import pytest

from tutelage.cli import call
from tutelage.config.job import DistillConfig, TrainConfig
from tutelage.config.listing import field_texts, list_settings
from tutelage.config.losses.response import KDConfig
from tutelage.config.schema import flag
from tutelage.errors import UsageError


def printed(capsys: pytest.CaptureFixture[str], *prefix: str) -> str:
    call(["settings", *prefix])
    return capsys.readouterr().out


def listed(text: str) -> set[str]:
    return set(re.findall(r"^  (--[a-z][\w.-]+)", text, flags=re.MULTILINE))


def test_all(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting of a job, and those that a single run has beside them; no line is too long."""
    monkeypatch.setenv("COLUMNS", "100")
    text = printed(capsys)
    job = {flag(path) for path in list_settings(DistillConfig)} - {"--custom"}
    single = {"--teacher", "--role", "--init-seed", "--specialist.classes"}
    single |= {"--specialist.clusters", "--specialist.number"}
    assert listed(text) - {"--custom.NAME.SETTING"} == job | single
    assert max(map(len, text.splitlines())) <= 100
    assert "--clip-grad 1" in text


@pytest.mark.parametrize("cls", [DistillConfig, TrainConfig])
def test_every_setting_has_a_text(cls: type) -> None:
    for setting in list_settings(cls).values():
        assert len(setting.text) > 10, setting.path


def test_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    """A table's own settings with default, range and choices, in either spelling."""
    text = printed(capsys, "losses.kd")
    assert listed(text) == {flag(f"losses.kd.{name}") for name in KDConfig.__dataclass_fields__}
    flat = " ".join(text.split())
    assert "--losses.kd.temperature NUMBER" in text
    assert "Above 0 and at most 1,000. [4]" in flat
    assert "One of forward, reverse, jensen-shannon. [forward]" in flat
    assert printed(capsys, "--losses.rkd_angle") == printed(capsys, "losses.rkd-angle")


def test_the_students_have_another_name_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert "these have no prefix" in printed(capsys, "student")
    assert "these have no prefix" not in printed(capsys, "data")


def test_one_name(capsys: pytest.CaptureFixture[str]) -> None:
    """A name without its table stands for all settings of that name."""
    assert listed(printed(capsys, "clip-grad")) == {"--teacher.clip-grad", "--student.clip-grad"}
    assert listed(printed(capsys, "methods.dml.models")) == {"--methods.dml.models"}
    assert listed(printed(capsys, "role")) == {"--role"}


@pytest.mark.parametrize(
    ("prefix", "near"),
    [("studnet", "student"), ("losses.kdd", "losses.kd"), ("clip-gard", "clip-grad")],
)
def test_a_wrong_name(prefix: str, near: str) -> None:
    with pytest.raises(UsageError, match=rf"no such setting: {prefix}") as caught:
        call(["settings", prefix])
    assert f"did you mean {near}?" in str(caught.value)


def test_texts_of_inherited_fields() -> None:
    """A field's text is found where the field is declared, the nearest declaration first."""
    texts = field_texts(KDConfig)
    assert texts["temperature"].startswith("T: ")
    assert texts["weight"].endswith("unset: alpha.")
    assert "from_epoch" in texts
