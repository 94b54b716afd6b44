"""`tutelage benchmark`: a plain table, and the figures in a file where asked for."""

import json
from pathlib import Path

import pytest

from tutelage.__main__ import main


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command in this process: exit code, output, errors."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["tutelage", *map(str, words)])
        code = main()
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


SMALL = ["--model", "test_resnet", "--teacher-model", "test_resnet", "--image-size", "32"]
SMALL += ["--batch-size", "8", "--rounds", "3", "--device", "cpu"]


def test_step(said, tmp_path: Path) -> None:
    code, out, err = said("benchmark", "step", *SMALL, "--json", tmp_path / "step.json")
    assert code == 0, err
    assert "test_resnet at 32 px, batch 8" in out
    assert [line.split()[0] for line in out.splitlines()[-3:]] == ["plain", "cached", "live"]
    facts = json.loads((tmp_path / "step.json").read_text())
    assert set(facts["figures"]) == {"plain", "cached", "live"}
    assert facts["figures"]["live"]["ratio"]["rounds"] == 3
    assert facts["figures"]["plain"]["images_per_second"] > 0
    assert {"torch", "processor", "threads"} <= set(facts["environment"])


def test_losses(said, tmp_path: Path) -> None:
    from tutelage.config.objective import settings_classes

    words = ["--model", "test_resnet", "--teacher-model", "test_resnet", "--image-size", "64"]
    words += ["--classes", "10", "--batch-size", "4", "--rounds", "2", "--device", "cpu"]
    code, out, err = said("benchmark", "losses", *words, "--json", tmp_path / "losses.json")
    assert code == 0, err
    facts = json.loads((tmp_path / "losses.json").read_text())
    assert set(facts["figures"]) == {"plain step", *settings_classes()}
    assert not facts["without"]
    assert facts["figures"]["plain step"]["megabytes"] > 0
    assert facts["figures"]["kd"]["memory_ratio"] < 1
    assert all(name in out for name in settings_classes())


def test_latency(said, teacher_folder: Path, tmp_path: Path) -> None:
    words = [teacher_folder, "--batch-size", "1", "--batch-size", "4", "--seconds", "0.05"]
    code, out, err = said("benchmark", "latency", *words, "--json", tmp_path / "latency.json")
    assert code == 0, err
    assert "batch     1" in out
    facts = json.loads((tmp_path / "latency.json").read_text())
    assert [one["batch"] for one in facts["figures"]] == [1, 4]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["step", "--rounds", "0"], 2, "--rounds"),
        (["step", "--batch-size", "1.5"], 2, "whole number"),
        (["step", "--model", "resnt18", "--device", "cpu"], 2, "did you mean resnet18"),
        (["step", "nowhere", "--device", "cpu"], 3, "nowhere"),
        (["step", "--device", "tpux"], 2, "device"),
        (["losses", "--classes", "0"], 2, "--classes"),
        (["latency", "nowhere"], 3, "model folder"),
        (["latency", "nowhere", "--seconds", "nan"], 2, "--seconds"),
        (["stpe"], 2, "step"),
    ],
)
def test_mistakes_end_in_one_message(said, words: list[str], code: int, message: str) -> None:
    found, _, err = said("benchmark", *words)
    assert found == code
    assert message in err
    assert "Traceback" not in err
