"""What a user can get wrong on the command line ends in one message and an exit code, with no waiting.

Bad files, folders, weights and recipes are in `tests/reliability/`.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support.reseal import reseal, reseal_model

NETWORKS = [
    "--teacher.weights",
    "none",
    "--teacher.model",
    "test_resnet",
    "--student.model",
    "test_resnet",
]


@pytest.fixture(scope="module")
def odd(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of folders that are each wrong in one way."""
    root = tmp_path_factory.mktemp("odd")
    (root / "flat").mkdir()
    for image in sorted((images / "test").iterdir())[:5]:
        shutil.copy(image, root / "flat")
    for name in ("a", "b"):
        (root / "ruined" / name).mkdir(parents=True)
        for number in range(20):
            (root / "ruined" / name / f"{number}.jpg").write_bytes(b"<html>not found</html>")
    (root / "full").mkdir()
    (root / "full" / "letter.txt").write_text("dear")
    return root


CASES = {
    "all unreadable": (["run", "{odd}/ruined"], 3, "HTML"),
    "unknown network": (["run", "{good}", "--student.model", "resnt18"], 2, "did you mean resnet18"),
    "unknown tag": (["run", "{good}", "--student.model", "resnet18.tv_in2k"], 2, "tv_in1k"),
    "unknown recipe": (["run", "{good}", "--recipe", "resnet34-resnet"], 2, "resnet34-resnet18"),
    "unknown flag": (["run", "{good}", "--student.epoch", "3"], 2, "--student.epochs"),
    "unknown verb": (["rum", "{good}"], 2, "run"),
    "half a seed": (["run", "{good}", "--seed", "1.5"], 2, "whole number"),
    "negative rate": (["run", "{good}", "--student.lr", "-1"], 2, "--student.lr"),
    "not a number": (["run", "{good}", "--alpha", "nan"], 2, "--alpha"),
    "alpha above one": (["run", "{good}", "--alpha", "1.7"], 2, "at most 1"),
    "no seeds": (["run", "{good}", "--seeds", "0"], 2, "--seeds"),
    "temperature zero": (["run", "{good}", "--temperature", "0"], 2, "temperature"),
    "alpha and a weight": (
        ["run", "{good}", "--alpha", "0.5", "--losses.kd.weight", "1"], 2, "cannot be combined",
    ),
    "unknown device": (["run", "{good}", "--device", "tpux"], 2, "device"),
    "batch larger than the data": (
        ["run", "{good}", "--student.batch-size", "5000", "--data.image-size", "32"], 2, "5000",
    ),
    "sizes larger than the data": (
        ["run", "{good}", "--splits", "redraw", "--split", "9000", "10", "10"], 3, "9,000",
    ),
    "weights not there": (["run", "{good}", "--student.weights", "{odd}/none.pt"], 3, "none.pt"),
    "a teacher that is none": (["distill", "{good}", "--teacher", "{odd}/flat"], 3, "model folder"),
    "no teacher": (["distill", "{good}"], 2, "--teacher"),
    "nothing to resume": (["resume", "{odd}/full"], 2, "no run"),
    "no network to predict with": (["predict", "{odd}/flat", "{good}"], 3, "model folder"),
    "nothing to export": (["export", "{odd}/flat"], 3, "model folder"),
    "no job to report": (["report", "{odd}/full"], 3, "plan.json"),
    "a stem it has not": (
        ["run", "{good}", "--student.model", "test_vit", "--student.stem", "small"], 2, "stem",
    ),
    "nothing to compare": (["compare"], 2, "compare"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_ends_in_one_message(
    case: str, odd: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """One message that names the mistake, the exit code of its kind, nothing trained."""
    from tutelage.__main__ import main

    words, code, said = CASES[case]
    words = [word.format(odd=odd, good=images) for word in words]
    if words[0] == "run":
        given = " ".join(words)
        words += [
            word
            for flag, value in zip(NETWORKS[::2], NETWORKS[1::2], strict=True)
            if flag not in given
            for word in (flag, value)
        ]
    if "--out" not in words and words[0] in ("run", "distill"):
        words += ["--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["tutelage", *words])
    monkeypatch.chdir(tmp_path)
    assert main() == code
    told = capsys.readouterr()
    assert said.lower() in told.err.lower(), told.err
    assert "error: " in told.err
    assert "Traceback" not in told.err
    assert "epoch 1" not in told.err
    assert not (tmp_path / "out").exists(), "a refused job leaves no folder behind"
    assert not list(tmp_path.glob("tutelage-error.txt"))


def test_pretrained_weights_out_of_reach(
    images: Path, tutelage_command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without network and cache the message names the file and the flag, within seconds."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    answer = tutelage_command(
        "run", images, "--recipe", "resnet34-resnet18", "--out", tmp_path / "out", seconds=60
    )
    assert answer.returncode == 3
    assert "timm/resnet34.tv_in1k" in answer.stderr
    assert "--teacher.weights PATH" in answer.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "nowhere"], 3, "no such data"),
        (["train", "nowhere"], 3, "no such data"),
        (["run", "sample", "--student.model", "resnet19"], 2, "did you mean resnet18"),
    ],
)
def test_what_costs_nothing_is_looked_at_before_weights(
    words: list[str], code: int, said: str,
    tutelage_command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A slip in the folder's or a network's name is not hidden behind weights that are out of reach."""
    for name in ("HF_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    answer = tutelage_command(*words, "--out", tmp_path / "out", seconds=60)
    assert answer.returncode == code
    assert said in answer.stderr
    assert not (tmp_path / "out").exists()


def test_teacher_of_other_classes_is_refused(
    images: Path, tutelage_command: Callable, tmp_path: Path
) -> None:
    """A teacher with fewer classes does not teach; the same in another order are told apart by name."""
    few = tmp_path / "few"
    for split in ("train", "val"):
        for name in ("Bag", "Coat"):
            shutil.copytree(images / split / name, few / split / name)
    small = [
        "--model",
        "test_resnet",
        "--epochs",
        "0",
        "--batch-size",
        "8",
        "--data.image-size",
        "32",
    ]
    made = tutelage_command("train", few, "--out", tmp_path / "teacher", *small)
    assert made.returncode == 0, made.stderr
    taught = [
        "distill",
        images,
        "--teacher",
        tmp_path / "teacher",
        "--out",
        tmp_path / "s",
        *small,
    ]
    answer = tutelage_command(*taught)
    assert answer.returncode == 3
    assert "knows 2 classes, the data have 10" in answer.stderr
    reseal_model(tmp_path / "teacher" / "model", classes=["Coat", "Bag"])
    reseal(tmp_path / "teacher")
    answer = tutelage_command(
        "distill", few, "--teacher", tmp_path / "teacher", "--out", tmp_path / "s2", *small
    )
    assert answer.returncode == 3
    assert "no better than chance" in answer.stderr  # its names fit; it was not trained at all
