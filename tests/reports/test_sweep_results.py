"""Cells of a sweep: what a run leaves behind is read back exactly, and nothing else is taken for one."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from support.reseal import reseal
from tutelage.config.job import TrainConfig
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.signals import StopRequest
from tutelage.errors import InputError
from tutelage.reports.sweep.results import (
    SweepResult,
    SweepRunInfo,
    known_results,
    read_results,
    write_result,
)
from tutelage.storage.checksums import read_sealed, write_sealed


@pytest.fixture(scope="module")
def run(small_pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A student that was taught for one epoch by a teacher that was trained for one."""
    root = tmp_path_factory.mktemp("cells")
    settings = TrainConfig(
        model="test_resnet", weights="none", epochs=1, batch_size=50, lr=3e-3, seed=5,
        precision="fp32", device="cpu",
    )  # fmt: skip
    place = RunContext("run", root / "teacher", root / "cache", Console(quiet=True), StopRequest())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])
        teacher = train_one(replace(settings, role="teacher", seed=6), small_pack, place)
        place = place._replace(folder=root / "run")
        yield train_one(replace(settings, teacher=(str(teacher),)), small_pack, place)


def kept(folder: Path, run: Path) -> Path:
    about = SweepRunInfo(
        name="kd-5", objective="kd", role="student", identity="settings", teacher="master",
        teacher_epochs=1, plain_epochs=3,
    )  # fmt: skip
    return write_result(folder, run, about)


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def unsealed(path: Path) -> dict[str, Any]:
    return read_sealed(path, kind="a cell")


def test_a_cell_is_its_run(run: Path, tmp_path: Path) -> None:
    """Every field of a cell that was written and read is what the files of its run say."""
    path = kept(tmp_path / "cells", run)
    assert path == tmp_path / "cells" / "kd-5.json"
    (cell,) = read_results(tmp_path / "cells")
    last, best = read(run / "scores.json")["last"], read(run / "scores.json")["best"]
    answers = load_file(run / "predictions" / "val.safetensors")
    order = np.argsort(answers["ids"])
    right = (answers["logits"].argmax(1) == answers["labels"])[order]
    assert cell.right.dtype == bool
    assert cell.right.tolist() == right.tolist()
    assert 0 < right.sum() < len(right) == 80
    assert cell.accuracy == right.mean() == pytest.approx(last["val"]["accuracy"], abs=1e-15)
    assert cell.best_accuracy == best["val"]["accuracy"]
    assert (cell.nll, cell.ece) == (last["val"]["nll"], last["val"]["ece"])
    assert cell.agreement == last["val"]["fidelity"]["agreement"]
    assert (cell.objective, cell.seed, cell.identity, cell.teacher) == (
        "kd", 5, "settings", "master",
    )  # fmt: skip
    assert (cell.model, cell.epochs, cell.image_size) == ("test_resnet", 1, 32)
    assert (cell.role, cell.teacher_epochs, cell.plain_epochs) == ("student", 1, 3)
    assert cell.together is None
    seconds = read(run / "timings.json")["epochs"][0]["seconds"]
    assert cell.seconds_per_epoch == pytest.approx(seconds, abs=0.05)
    around = read(run / "environment.json")
    assert around["processor"] in cell.machine
    assert cell.software == f"tutelage {around['tutelage']}, torch {around['torch']}"


def test_the_same_run_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    """A cell holds nothing of the moment or place in which it was written."""
    one, two = kept(tmp_path / "one", run), kept(tmp_path / "two", run)
    assert one.read_bytes() == two.read_bytes()
    assert str(tmp_path).encode() not in one.read_bytes()


@pytest.mark.parametrize("images", [1, 7, 8, 9, 79])
def test_any_number_of_images(run: Path, tmp_path: Path, images: int) -> None:
    """Right and wrong are kept image by image, however many bits are left over in the last byte."""
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    path = copy / "predictions" / "val.safetensors"
    answers = {name: array[:images].copy() for name, array in load_file(path).items()}
    answers["labels"][::2] = answers["logits"].argmax(1)[::2]
    save_file(answers, path)
    reseal(copy)
    kept(tmp_path / "cells", copy)
    (cell,) = read_results(tmp_path / "cells")
    right = (answers["logits"].argmax(1) == answers["labels"])[np.argsort(answers["ids"])]
    assert cell.right.tolist() == right.tolist()


def test_unlabelled_images_are_left_out(run: Path, tmp_path: Path) -> None:
    """Images without a label are neither right nor wrong."""
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    path = copy / "predictions" / "val.safetensors"
    answers = load_file(path)
    answers["labels"][3:13] = -1
    save_file(answers, path)
    reseal(copy)
    kept(tmp_path / "cells", copy)
    (cell,) = read_results(tmp_path / "cells")
    assert len(cell.right) == 70
    assert cell.accuracy == cell.right.mean()


def test_an_unfinished_run_is_no_cell(run: Path, tmp_path: Path) -> None:
    """A run without its answers is refused, and no file is left."""
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    (copy / "predictions" / "val.safetensors").unlink()
    with pytest.raises(InputError, match=r"val\.safetensors"):
        kept(tmp_path / "cells", copy)
    assert read_results(tmp_path / "cells") == []


Change = Callable[[dict[str, Any]], object]

SPOILT: dict[str, Change] = {
    "another one's name": lambda facts: facts.update(name="kd-6"),
    "another format": lambda facts: facts.update(format=1),
    "no format": lambda facts: facts.pop("format"),
    "a field less": lambda facts: facts.pop("nll"),
    "a field more": lambda facts: facts.update(speed=1.0),
    "no answers": lambda facts: facts.pop("right"),
    "answers that are no bytes": lambda facts: facts.update(right="yes and no"),
    "answers that are no text": lambda facts: facts.update(right=[1, 0]),
    "answers cut short": lambda facts: facts.update(right=facts["right"][:-4]),
    "answers too many": lambda facts: facts.update(right=facts["right"] + "00"),
    "no number of images": lambda facts: facts.update(images="all"),
    "fewer than no images": lambda facts: facts.update(images=-8),
    "an accuracy in words": lambda facts: facts.update(accuracy="high"),
    "no accuracy": lambda facts: facts.update(accuracy=None),
    "a seed in words": lambda facts: facts.update(seed="five"),
    "a model without a name": lambda facts: facts.update(model=None),
    "a length in words": lambda facts: facts.update(teacher_epochs="long"),
    "an agreement in words": lambda facts: facts.update(agreement="much"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_spoilt_cells_are_refused(case: str, run: Path, tmp_path: Path) -> None:
    """A file that is not wholly a cell is refused, and the message names it."""
    path = kept(tmp_path, run)
    facts = unsealed(path)
    SPOILT[case](facts)
    write_sealed(path, facts)
    with pytest.raises(InputError) as caught:
        read_results(tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '"cell"', "3", "null", "\udcff"])
def test_other_files_are_refused(text: str, run: Path, tmp_path: Path) -> None:
    """A JSON file that is none, or of something else, is refused by name beside sound cells."""
    kept(tmp_path, run)
    path = tmp_path / "notes.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError) as caught:
        read_results(tmp_path)
    assert str(path) in str(caught.value)


def test_a_teacher_agrees_with_nobody(run: Path, tmp_path: Path) -> None:
    """A cell without an agreement is read as one."""
    path = kept(tmp_path, run)
    write_sealed(path, {**unsealed(path), "agreement": None})
    assert read_results(tmp_path)[0].agreement is None


def test_known(run: Path, tmp_path: Path) -> None:
    """A run is known by objective, seed and identity together; order and number of cells say nothing."""
    kept(tmp_path, run)
    cells: list[SweepResult] = read_results(tmp_path)
    assert known_results(cells, "kd", 5, "settings")
    assert not known_results(cells, "kd", 4, "settings")
    assert not known_results(cells, "hint", 5, "settings")
    assert not known_results(cells, "kd", 5, "others")
    other = cells[0]._replace(objective="hint", identity="others")
    for both in ([*cells, other], [other, *cells]):
        assert known_results(both, "kd", 5, "settings")
        assert known_results(both, "hint", 5, "others")
        assert not known_results(both, "kd", 5, "others")
    assert not known_results([], "kd", 5, "settings")
