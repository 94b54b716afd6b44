"""Terms of one's own: from a file, from an installed package, and what is refused."""

import sys
from pathlib import Path

import pytest
import torch

from tutelage.cli.flags import read_command
from tutelage.config.loss_weights import loss_weights
from tutelage.config.objective import ObjectiveConfig
from tutelage.config.plugins import custom_loss, register_losses
from tutelage.config.schema import build, to_table
from tutelage.errors import UsageError
from tutelage.losses.registry import build_terms
from tutelage.losses.term import BuildContext
from tutelage.types import NO_NETWORK_INFO, START, Batch, ModelOutput, TeacherOutput

FILE = """
from dataclasses import dataclass

from tutelage.config.schema import setting
from tutelage.losses.term import Term
from tutelage.config.loss_schedule import WeightedLossConfig


@dataclass(frozen=True, kw_only=True)
class Shrink(WeightedLossConfig):
    power: int = setting(2, at_least=1)


class ShrinkTerm(Term):
    settings = Shrink()

    def forward(self, student, teacher, batch, progress):
        return student.logits.abs().pow(self.settings.power).mean()


TERMS = {"shrink": (Shrink, ShrinkTerm)}
PAIR = TERMS["shrink"]
"""
GROUND = BuildContext(NO_NETWORK_INFO, NO_NETWORK_INFO, classes=3, images=4)


def objective(**settings: float | bool | str) -> ObjectiveConfig:
    return build(ObjectiveConfig, {"alpha": 0.5, "custom": {"shrink": settings}}, where="test")


def test_file(tmp_path: Path) -> None:
    """A file's term has its weight and settings, and stands behind the built-in ones."""
    file = tmp_path / "shrink.py"
    file.write_text(FILE)
    assert register_losses(file) == ["shrink"]
    chosen = objective(weight=3.0, power=4)
    assert loss_weights(chosen) == {"label": 0.5, "kd": 0.5, "shrink": 3.0}
    assert to_table(chosen)["custom"] == {"shrink": {"weight": 3.0, "power": 4}}
    term = build_terms(chosen, GROUND)["shrink"]
    logits = torch.tensor([[1.0, -2.0, 0.0]])
    batch = Batch(
        torch.zeros(1, 3, 1, 1, dtype=torch.uint8), torch.zeros(1).long(), torch.arange(1), 0
    )
    value = term(ModelOutput(logits, {}), TeacherOutput(None, {}), batch, START)
    assert value.item() == pytest.approx(17 / 3)


def test_other_code_is_another_run(tmp_path: Path) -> None:
    """The version of a file's term is that of its text, so a changed file makes another run."""
    file = tmp_path / "shrink.py"
    file.write_text(FILE)
    register_losses(file)
    before = custom_loss("shrink").version
    file.write_text(FILE + "\n# changed\n")
    register_losses(file)
    assert custom_loss("shrink").version != before


def test_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package offers a term by an entry point, without a file being named."""
    (tmp_path / "shrinking.py").write_text(FILE)
    facts = tmp_path / "shrinking-1.2.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: shrinking\nVersion: 1.2\n")
    (facts / "entry_points.txt").write_text("[tutelage.terms]\nless = shrinking:PAIR\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = custom_loss("less")
    assert found.version == "shrinking 1.2"
    assert found.term.__name__ == "ShrinkTerm"
    assert "shrinking" in sys.modules


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "has no losses"),
        ("TERMS = {}", "has no losses"),
        ("1 / 0", "ZeroDivisionError"),
        ("TERMS = {'kd': (int, int)}", "name that cannot be used"),
        ("TERMS = {'mine': (int, int)}", "not a pair of classes"),
        ("TERMS = {'mine': 3}", "not a pair of classes"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    """A file that offers nothing usable is refused with its path."""
    file = tmp_path / "bad.py"
    file.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        register_losses(file)
    assert str(file) in str(caught.value)


def test_refused(tmp_path: Path) -> None:
    """A missing file, a loss that does not exist, a setting it does not have, one out of range."""
    with pytest.raises(UsageError, match="no such file"):
        register_losses(tmp_path / "nothing.py")
    with pytest.raises(UsageError, match="no such custom loss: other"):
        loss_weights(build(ObjectiveConfig, {"custom": {"other": {"weight": 1.0}}}, where="test"))
    (tmp_path / "shrink.py").write_text(FILE)
    register_losses(tmp_path / "shrink.py")
    with pytest.raises(UsageError, match="no such setting: powr"):
        loss_weights(objective(powr=3))
    with pytest.raises(UsageError, match="power is out of range"):
        loss_weights(objective(power=0))


@pytest.mark.parametrize("place", ["flags", "recipe"])
def test_numbers_of_the_command_line(place: str, tmp_path: Path) -> None:
    """A fraction stays one, a whole number fits a whole setting, in flags and in a recipe below them."""
    (tmp_path / "shrink.py").write_text(FILE)
    (tmp_path / "shrink.toml").write_text("[custom.shrink]\nweight = 0.5\npower = 4\n")
    given = {
        "flags": ["--custom.shrink.weight", "0.5", "--custom.shrink.power", "4"],
        "recipe": ["--recipe", str(tmp_path / "shrink.toml")],
    }[place]
    register_losses(tmp_path / "shrink.py")
    _, found = read_command("run", ["run", "photos", *given])
    assert loss_weights(found)["shrink"] == 0.5
    term = build_terms(found, GROUND)["shrink"]
    assert term.settings.power == 4
    assert isinstance(term.settings.power, int)
