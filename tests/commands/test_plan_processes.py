"""Plans of several runs, by two processes as by one: who teaches in a step is agreed on."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tutelage.data.pack.pack import Pack

ONE = [sys.executable, "-m", "tutelage"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
TWO = [*TORCHRUN, "-m", "tutelage"]

# Plain SGD, smooth activations and few small steps: rounding is not turned into whole steps.
USUAL = ["--device", "cpu", "--precision", "fp32", "--skip-teacher-check"]
for who in ("teacher", "student"):
    USUAL += f"--{who}.model test_efficientnet --{who}.weights none --{who}.epochs 2".split()
    USUAL += f"--{who}.optimizer sgd --{who}.lr 0.001 --{who}.batch-size 67".split()
METHODS = {
    "multi-teacher": [
        "--methods.multi-teacher.models",
        "cifar_resnet8",
        "--methods.multi-teacher.weigh",
        "confidence",
    ],
    "rco": ["--methods.rco.checkpoints", "2"],
    "assistants": ["--methods.assistants.models", "cifar_resnet8", "--methods.assistants.dense"],
    "born-again": ["--methods.born-again.count", "1", "--alpha", "0.5"],
}


@pytest.mark.parametrize("method", METHODS)
def test_two_processes(method: str, small_pack: Pack, tmp_path: Path) -> None:
    """Losses of every epoch and answers of the student are those of one process."""
    words = ["run", str(small_pack.folder), "--method", method, *METHODS[method], *USUAL]
    for name, command in (("one", ONE), ("two", TWO)):
        out = ["--out", str(tmp_path / name / "job")]
        done = subprocess.run(
            [*command, *words, *out], capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
    one, two = (tmp_path / name / "job" / "student-0" for name in ("one", "two"))
    told = [_epochs(folder) for folder in (one, two)]
    assert len(told[0]) == len(told[1]) == 2
    for mine, theirs in zip(*told, strict=True):
        assert mine.keys() == theirs.keys() == {"label", "kd"}
        assert mine == pytest.approx(theirs, rel=1e-3)
    answers = [load_file(folder / "predictions" / "val.safetensors") for folder in (one, two)]
    spread = float(answers[0]["logits"].std())
    np.testing.assert_allclose(
        answers[1]["logits"], answers[0]["logits"], rtol=0, atol=0.05 * spread
    )


def _epochs(run: Path) -> list[dict[str, float]]:
    """The terms of each epoch."""
    lines = map(json.loads, (run / "journal.jsonl").read_text().splitlines())
    return [line["train"]["terms"] for line in lines if line["event"] == "epoch"]
