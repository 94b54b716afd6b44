"""The example: its notebook is made of the script, and runs in a real kernel from first cell to last."""

import json
import re
import runpy
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "distill.py"
NOTEBOOK = ROOT / "examples" / "distill.ipynb"


def test_the_notebook_is_made_of_the_script() -> None:
    """Every line of code of one is in the other."""
    make = runpy.run_path(str(ROOT / "scripts" / "make_notebook.py"))
    assert NOTEBOOK.read_text(encoding="utf-8") == make["text"](SCRIPT.read_text(encoding="utf-8"))


def test_the_script_fits_on_a_screen() -> None:
    """50 lines of at most 100 characters."""
    lines = SCRIPT.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 50
    assert not [line for line in lines if len(line) > 100]


@pytest.mark.timeout(600)
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with a verdict, a report and a checked ONNX file."""
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own, about event loops and ports
        NotebookClient(
            notebook, timeout=540, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
        ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    said = "".join(output.get("text", "") for output in outputs)
    assert re.search(r"95 % interval .* over 3 seeds on 200 test images", said), said
    assert "same classes" in said
    made = tmp_path / "runs" / "example"
    assert (made / "student.onnx").is_file()
    scores = json.loads((made / "job" / "report" / "scores.json").read_text())
    assert {"teacher", "student-2", "control-2"} <= set(scores["runs"])
