"""Finished jobs that a stranger made, every seal good: a report or a message, never a traceback."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from support.reports.make_job import make_job
from tutelage.errors import TutelageError
from tutelage.reports.record.read import read_job
from tutelage.reports.render.console import render_comparison
from tutelage.reports.render.csv import curves_csv, differences_csv, per_class_csv, runs_csv
from tutelage.reports.render.html import render_page
from tutelage.reports.render.markdown import render_markdown
from tutelage.reports.statistics.verdict import compare_runs
from tutelage.reports.write import scores_json
from tutelage.storage.checksums import checksum_of, seal
from tutelage.storage.run_results import seal_run

ROOT = Path(__file__).parents[2]
FILES = ("scores.json", "environment.json", "run.json", "timings.json", "plan.json", "data.json")


@pytest.fixture(scope="module")
def reshaped() -> Iterator[Callable[..., Any]]:
    """What changes a table."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks" / "reliability"))
        yield import_module("mutate").reshaped


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished job."""
    job = make_job(tmp_path_factory.mktemp("good") / "job", seeds=1, count=200, epochs=2)
    told(job)
    return job


def told(job: Path) -> None:
    """Everything a report says, but for the figures."""
    record = read_job(job)
    verdict = compare_runs(record)
    render_comparison(record)
    scores_json(record, verdict)
    render_markdown(record, verdict, [])
    render_page(record, verdict, [])
    for table in (runs_csv, per_class_csv, curves_csv, differences_csv):
        table(record)


def table_of(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_bytes())
    content.pop("seal", None)
    return content


def sealed_again(run: Path, facts: dict[str, Any] | None = None) -> None:
    facts = table_of(run / "run.json") if facts is None else facts
    seal_run(run, {key: facts[key] for key in facts if key not in ("files", "finished")})


@pytest.mark.parametrize("name", FILES)
def test_any_value_anywhere(
    name: str, good: Path, reshaped: Callable[..., Any], tmp_path: Path
) -> None:
    """Values of other kinds, missing, renamed, doubled: twelve changes of each file."""
    for seed in range(12):
        job = Path(shutil.copytree(good, tmp_path / str(seed)))
        run, dice = job / "student-0", random.Random(f"{name} {seed}")
        path = job / name if (job / name).is_file() else run / name
        odd = reshaped(table_of(path), dice)
        with suppress(
            TutelageError, UnicodeEncodeError
        ):  # half a character can be sealed by nobody
            if path.parent == job:
                path.write_bytes(seal(odd))
            elif name == "run.json":
                sealed_again(run, odd)
            else:
                path.write_text(json.dumps(odd))
                sealed_again(run)
        with suppress(TutelageError):
            told(job)


@pytest.mark.parametrize("name", ["labels", "ids", "logits"])
def test_predictions(name: str, good: Path, tmp_path: Path) -> None:
    """Labels of classes that are not there, images that are not there, answers that are no numbers."""
    for number, change in enumerate(
        (
            lambda a: a + 1_000_000,
            lambda a: -a - 5,
            lambda a: a[:0],
            lambda a: a * np.float32("nan"),
            lambda a: a[..., None],
        )
    ):
        job = Path(shutil.copytree(good, tmp_path / str(number)))
        path = job / "student-0" / "predictions" / "val.safetensors"
        arrays = load_file(path)
        with np.errstate(all="ignore"):
            save_file({**arrays, name: np.ascontiguousarray(change(arrays[name]))}, path)
        sealed_again(job / "student-0")
        with suppress(TutelageError), np.errstate(all="ignore"):
            told(job)


@pytest.mark.parametrize(("name", "value"), [("labels", 1000), ("labels", -7), ("splits", 9)])
def test_arrays_of_the_pack(name: str, value: int, good: Path, tmp_path: Path) -> None:
    """A label or split of an image that is none."""
    job = Path(shutil.copytree(good, tmp_path / "job"))
    path = job / "pack" / f"{name}.bin"
    values = np.fromfile(path, "<i8" if name == "labels" else "u1")
    values[0] = value
    path.write_bytes(values.tobytes())
    about = table_of(job / "data.json")
    about["files"][path.name] = checksum_of(path.read_bytes())
    (job / "data.json").write_bytes(seal(about))
    with suppress(TutelageError):
        told(job)
