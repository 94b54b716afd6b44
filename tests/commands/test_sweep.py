"""A sweep through the command line: its cells, its page, what a second call does, and what is refused."""

import contextlib
import hashlib
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from safetensors.numpy import load_file

from tutelage.reports.sweep.results import SweepResult, read_results

USUAL = {
    "--teacher.model": "test_resnet", "--teacher.weights": "none", "--teacher.epochs": "1",
    "--teacher.batch-size": "50", "--student.model": "test_resnet", "--student.weights": "none",
    "--student.epochs": "1", "--student.batch-size": "50", "--student.lr": "0.003",
    "--image-size": "32", "--precision": "fp32", "--device": "cpu",
}  # fmt: skip
SMALL = ["--skip-teacher-check", *(word for flag in USUAL.items() for word in flag)]
TWO = ["--compare", "kd", "hint", "--seeds", "2"]
RUNS = ["control-0", "control-1", "hint-0", "hint-1", "kd-0", "kd-1", "teacher"]


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def trained(self) -> list[str]:
        """The runs that were trained, in their order."""
        return re.findall(r"^(\S+): epoch 1/1 .* validation ", self.err, flags=re.MULTILINE)


def tutelage(*words: object) -> Answer:
    """The command line, in this process; how long one image takes is not measured."""
    from tutelage.__main__ import main

    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["tutelage", *map(str, words)])
        patch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main()
    return Answer(code, out.getvalue(), err.getvalue())


class Swept(NamedTuple):
    folder: Path
    answer: Answer


@pytest.fixture(scope="module")
def swept(sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Two objectives, two seeds."""
    out = tmp_path_factory.mktemp("sweep") / "out"
    return Swept(out, tutelage("sweep", sample_folder, "--out", out, *TWO, *SMALL))


@pytest.fixture
def copy(swept: Swept, tmp_path: Path) -> Path:
    """The same sweep in a folder of the test's own."""
    return Path(shutil.copytree(swept.folder, tmp_path / "out"))


def cells(folder: Path) -> dict[str, dict[str, Any]]:
    """The cells of a sweep as plain facts, without the time that they took and its seal."""
    found = {path.stem: json.loads(path.read_text()) for path in (folder / "cells").glob("*.json")}
    timeless = {"seconds_per_epoch": 0, "seal": ""}
    return {name: {**facts, **timeless} for name, facts in sorted(found.items())}


def digest(folder: Path) -> dict[str, str]:
    """A hash of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_page_and_cells(swept: Swept) -> None:
    """A sweep trains a teacher, and controls and students of each seed; each leaves a cell, all a page."""
    folder, answer = swept
    assert answer.code == 0, answer.err
    assert answer.trained == [
        "teacher",
        "kd-0",
        "control-0",
        "hint-0",
        "kd-1",
        "control-1",
        "hint-1",
    ]
    assert list(cells(folder)) == RUNS
    page = (folder / "cells.md").read_text()
    assert answer.out == f"{page}\n{folder / 'cells.md'}\n"
    assert all(f"| {name} | 2 |" in page for name in ("control", "kd", "hint"))
    assert re.search(r"Fewer than 3 seeds, .*: (kd, hint|hint, kd)\.", page)


def test_cells_are_their_runs(swept: Swept) -> None:
    """Each cell holds the answers of its own run, and all name one teacher."""
    found: dict[str, SweepResult] = {
        "teacher" if c.role == "teacher" else f"{c.objective}-{c.seed}": c
        for c in read_results(swept.folder / "cells")
    }
    for name, cell in found.items():
        run = swept.folder / name
        answers = load_file(run / "predictions" / "val.safetensors")
        right = dict(
            zip(answers["ids"], answers["logits"].argmax(1) == answers["labels"], strict=True)
        )
        assert cell.right.tolist() == [right[i] for i in sorted(right)]
        assert (cell.epochs, cell.image_size, len(cell.right)) == (1, 32, 80)
        assert json.loads((run / "run.json").read_text())["seed"] == cell.seed
    facts = json.loads((swept.folder / "teacher" / "run.json").read_text())
    assert {cell.teacher for cell in found.values()} == {facts["fingerprint"]}
    assert len({cell.identity for cell in found.values()}) == 7
    assert found["kd-0"].right.tolist() != found["kd-1"].right.tolist()


def test_objectives_are_trained(swept: Swept) -> None:
    """The journals tell that each student minimised its own objective, the controls the label alone."""
    for name, terms in {
        "control-0": {"label"},
        "kd-1": {"label", "kd"},
        "hint-1": {"label", "hint"},
    }.items():
        lines = (swept.folder / name / "journal.jsonl").read_text().splitlines()
        epoch = next(e for e in map(json.loads, lines) if e["event"] == "epoch")
        assert set(epoch["train"]["terms"]) == terms


def test_the_second_call_trains_nothing(copy: Path, sample_folder: Path) -> None:
    """What has a cell is not done again, and no file changes."""
    before = digest(copy)
    answer = tutelage("sweep", sample_folder, "--out", copy, *TWO, *SMALL)
    assert answer.code == 0, answer.err
    assert answer.trained == []
    assert "7 of 7 runs have a cell" in answer.err
    assert digest(copy) == before


def test_a_lost_run_is_trained_again(copy: Path, sample_folder: Path) -> None:
    """A run without cell and folder is trained alone, to the same answers; no other cell is touched."""
    before, bytes_before = cells(copy), digest(copy / "cells")
    (copy / "cells" / "hint-1.json").unlink()
    shutil.rmtree(copy / "hint-1")
    answer = tutelage("sweep", sample_folder, "--out", copy, *TWO, *SMALL)
    assert answer.code == 0, answer.err
    assert answer.trained == ["hint-1"]
    assert cells(copy) == before
    changed = digest(copy / "cells").items() - bytes_before.items()
    assert {name for name, _ in changed} <= {"hint-1.json"}


def test_a_lost_cell_is_written_again(copy: Path, sample_folder: Path) -> None:
    """A run that is finished in its folder gives its cell without being trained."""
    before = digest(copy / "cells")
    (copy / "cells" / "kd-0.json").unlink()
    answer = tutelage("sweep", sample_folder, "--out", copy, *TWO, *SMALL)
    assert answer.code == 0, answer.err
    assert answer.trained == []
    assert "kd-0: done before, kept" in answer.err
    assert digest(copy / "cells") == before


def test_a_sweep_grows(copy: Path, sample_folder: Path) -> None:
    """A further seed and a further objective add only what is missing."""
    before = digest(copy / "cells")
    more = ["--compare", "kd", "hint", "--seeds", "3"]
    answer = tutelage("sweep", sample_folder, "--out", copy, *more, *SMALL)
    assert answer.code == 0, answer.err
    assert answer.trained == ["kd-2", "control-2", "hint-2"]
    assert "nothing can be said" not in answer.out
    other = ["--compare", "kd", "ttm", "--seeds", "1"]
    answer = tutelage("sweep", sample_folder, "--out", copy, *other, *SMALL)
    assert answer.code == 0, answer.err
    assert answer.trained == ["ttm-0"]
    after = digest(copy / "cells")
    assert before.items() <= after.items()
    assert after.keys() - before.keys() == {
        "control-2.json", "kd-2.json", "hint-2.json", "ttm-0.json",
    }  # fmt: skip
    page = (copy / "cells.md").read_text()
    assert "| control | 3 |" in page
    assert "| ttm | 1 |" in page


def test_cells_outlive_their_runs(swept: Swept, sample_folder: Path, tmp_path: Path) -> None:
    """With the cells alone, what is missing is trained, and its teacher before it, to the same answers."""
    shutil.copytree(swept.folder / "cells", tmp_path / "kept")
    place = ["--out", tmp_path / "new", "--cells", tmp_path / "kept"]
    for lost in ("control-1", "kd-1"):
        (tmp_path / "kept" / f"{lost}.json").unlink()
    answer = tutelage("sweep", sample_folder, *place, *TWO, *SMALL)
    assert answer.code == 0, answer.err
    assert "5 of 7 runs have a cell" in answer.err
    assert answer.trained == ["teacher", "kd-1", "control-1"]
    assert (tmp_path / "kept.md").is_file()
    (tmp_path / "kept").rename(tmp_path / "cells")
    assert cells(tmp_path) == cells(swept.folder)


def test_nothing_is_missing_elsewhere(swept: Swept, sample_folder: Path, tmp_path: Path) -> None:
    """Where all cells are there, a new folder needs no run at all, not even a teacher."""
    place = ["--out", tmp_path / "new", "--cells", swept.folder / "cells"]
    answer = tutelage("sweep", sample_folder, *place, *TWO, *SMALL)
    assert answer.code == 0, answer.err
    assert answer.trained == []
    assert not (tmp_path / "new" / "teacher").exists()


def test_other_settings_are_others(copy: Path, sample_folder: Path, tmp_path: Path) -> None:
    """A folder is not continued with other settings, and cells of other settings do not count."""
    other = ["0.002" if word == "0.003" else word for word in SMALL]
    refused = tutelage("sweep", sample_folder, "--out", copy, *TWO, *other)
    assert refused.code == 2
    assert "student.lr: 0.003 there, 0.002 here" in refused.err
    one = ["--compare", "kd", "--seeds", "1"]
    place = ["--out", tmp_path / "new", "--cells", copy / "cells"]
    answer = tutelage("sweep", sample_folder, *place, *one, *other)
    assert answer.code == 0, answer.err
    assert "1 of 3 runs have a cell" in answer.err
    assert answer.trained == ["teacher", "kd-0", "control-0"]


def test_students_of_another_teacher_are_others(
    copy: Path, sample_folder: Path, tmp_path: Path
) -> None:
    """With other settings of the teacher its students are trained anew; the control has none."""
    one = ["--compare", "kd", "--seeds", "1", "--teacher.lr", "0.002"]
    place = ["--out", tmp_path / "new", "--cells", copy / "cells"]
    answer = tutelage("sweep", sample_folder, *place, *one, *SMALL)
    assert answer.code == 0, answer.err
    assert "1 of 3 runs have a cell" in answer.err
    assert answer.trained == ["teacher", "kd-0"]


def test_methods_and_lengths_of_the_teacher(sample_folder: Path, tmp_path: Path) -> None:
    """Who teaches is compared as what is taught: teachers of two lengths, a peer, a moving average."""
    words = ["--compare", "kd", "dml", "mean-teacher", "--teacher-epochs", "1", "2", "--seeds", "1"]
    answer = tutelage("sweep", sample_folder, "--out", tmp_path / "out", *words, *SMALL)
    assert answer.code == 0, answer.err
    found = cells(tmp_path / "out")
    assert list(found) == [
        "control-0",
        "control-equal-compute-0",
        "dml-0",
        "kd@1-0",
        "kd@2-0",
        "kd@2-teacher",
        "mean-teacher-0",
        "teacher",
    ]
    assert [found[name]["teacher_epochs"] for name in ("kd@1-0", "kd@2-0", "dml-0")] == [
        1,
        2,
        None,
    ]
    assert found["kd@2-0"]["teacher"] != found["kd@1-0"]["teacher"]
    assert (
        found["mean-teacher-0"]["plain_epochs"] == found["control-equal-compute-0"]["epochs"] == 2
    )
    scores = json.loads((tmp_path / "out" / "dml-0" / "scores.json").read_text())
    assert found["dml-0"]["together"] == scores["ensemble"]["val"]["accuracy"]
    assert (tmp_path / "out" / "cells.svg").is_file()
    assert "## The teacher's epochs" in answer.out
    assert "](cells.svg)" in answer.out


def test_resume_says_what_to_do(copy: Path) -> None:
    """A sweep is continued by its own command, and `resume` says so."""
    answer = tutelage("resume", copy)
    assert answer.code == 2
    assert "tutelage sweep" in answer.err


RECIPES = {
    "control.toml": "alpha = 0.5\n",
    "teacher.toml": "alpha = 0.5\n",
    "kd.toml": "alpha = 0.5\n",
    "nothing.toml": "seeds = 2\n",
    "wide.toml": "alpha = 1.5\n",
    "twice.toml": "alpha = 0.5\n[losses.kd]\nweight = 1.0\n",
    "lost.toml": '[losses.hint]\nstudent_points = ["layer9"]\nteacher_points = ["layer2"]\n',
}
REFUSED = {
    "called control": (["{}/control.toml"], {}, "cannot be called control"),
    "called teacher": (["kd", "{}/teacher.toml"], {}, "cannot be called teacher"),
    "unknown recipe": (["kd", "hintt"], {}, "did you mean hint?"),
    "no objective": (["{}/nothing.toml"], {}, "names no terms, no alpha and no method"),
    "out of range": (["{}/wide.toml"], {}, "alpha"),
    "weights said twice": (["kd", "{}/twice.toml"], {}, "cannot be combined"),
    "no such point": (["kd", "{}/lost.toml"], {}, "the student has no point layer9"),
    "one name twice": (["kd", "{}/kd.toml"], {}, "two of the recipes have one name"),
    "too large a batch": (["kd"], {"--student.batch-size": "300"}, "--student.batch-size 50"),
    "too large a teacher's": (["kd"], {"--teacher.batch-size": "300"}, "--teacher.batch-size 50"),
    "too small a rest": (["kd", "rkd"], {"--student.batch-size": "66"}, "rkd_angle compares at least 3"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, sample_folder: Path, tmp_path: Path) -> None:
    """What cannot be swept is refused in one message before anything is trained, and no folder is left."""
    for name, text in RECIPES.items():
        (tmp_path / name).write_text(text)
    objectives, flags, said = REFUSED[case]
    names = [name.format(tmp_path) for name in objectives]
    place = ["--out", tmp_path / "out", "--cells", tmp_path / "kept"]
    words = [word for flag in {**USUAL, **flags}.items() for word in flag]
    answer = tutelage("sweep", sample_folder, *place, "--compare", *names, *words)
    assert answer.code == 2, answer.err
    assert said in answer.err
    assert answer.trained == []
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "kept").exists()


def test_a_failure_costs_nothing_that_was_done(
    swept: Swept, sample_folder: Path, tmp_path: Path
) -> None:
    """Where an objective diverges, what was trained before it stays, and serves a sweep without it."""
    wild, out = tmp_path / "wild.toml", tmp_path / "out"
    wild.write_text("[losses.label]\nweight = 1.0\n[losses.kd]\nweight = 1e39\n")
    one = ["--compare", wild, "--seeds", "1"]
    answer = tutelage("sweep", sample_folder, "--out", out, *one, *SMALL)
    assert answer.code == 4, answer.err
    assert "not finite in all steps of epoch 1" in answer.err
    assert "1 of 3 runs have no result" in answer.err
    whole = cells(swept.folder)
    assert cells(out) == {name: whole[name] for name in ("control-0", "teacher")}
    one = ["--compare", "kd", "--seeds", "1"]
    answer = tutelage("sweep", sample_folder, "--out", out, *one, *SMALL)
    assert (answer.code, answer.trained) == (0, ["kd-0"])


def test_an_interrupted_sweep_goes_on(swept: Swept, sample_folder: Path, tmp_path: Path) -> None:
    """Ctrl-C leaves whole cells; the same command does the rest, with the same answers."""
    out, objectives = tmp_path / "out", ["--compare", "kd", "hint", "--seeds", "1"]
    words = ["sweep", sample_folder, "--out", out, *objectives, *SMALL]
    words = [sys.executable, "-m", "tutelage", *words]
    process = subprocess.Popen(list(map(str, words)), stderr=subprocess.PIPE, text=True)
    journal = out / "kd-0" / "journal.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.is_file() and journal.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    done = cells(out)
    assert "teacher" in done
    assert len(done) < 4
    answer = tutelage(*words[3:])
    assert answer.code == 0, answer.err
    assert f"{len(done)} of 4 runs have a cell" in answer.err
    assert "teacher" not in answer.trained
    assert cells(out) == {
        name: facts for name, facts in cells(swept.folder).items() if name[-1] in "0r"
    }
