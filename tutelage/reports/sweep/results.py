"""Cells: finished runs of a sweep as small JSON files that outlive their run folders.

A cell holds what a table needs and nothing else, so that cells can be kept under version control and a
table can grow over many sessions and machines.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import numpy as np
from numpy.typing import NDArray

from tutelage.config.renamed import current_name
from tutelage.errors import InputError
from tutelage.reports.record.fields import Fields
from tutelage.reports.record.read import read_run
from tutelage.storage.checksums import read_sealed, write_sealed
from tutelage.storage.run_results import open_results

FORMAT = 3
_FIX = "remove it; the same `tutelage sweep` does its run again"


class SweepRunInfo(NamedTuple):
    """What a run's own folder does not tell about its place in a sweep.

    name: of the run, and of the cell's file; objective: what the table calls it; role: as in a report;
    identity: fingerprint of settings and images, its teachers' too; teacher: fingerprint of the run it is
    held to, its own where it is that; teacher_epochs: of the finished teacher, None where there is none;
    plain_epochs: of training without a teacher that costs as much.
    """

    name: str
    objective: str
    role: str
    identity: str
    teacher: str
    teacher_epochs: int | None
    plain_epochs: int


class SweepResult(NamedTuple):
    """One run: what it is of, as in `SweepRunInfo`, and how it did on the validation images after its last epoch.

    right: for each labelled validation image, whether it was named rightly; agreement: with the teacher;
    together: accuracy of the mean answer of all networks that learned in the run, None where it was one;
    machine, software: where it ran.
    """

    objective: str
    role: str
    seed: int
    model: str
    identity: str
    teacher: str
    teacher_epochs: int | None
    epochs: int
    plain_epochs: int
    image_size: int
    accuracy: float
    best_accuracy: float
    nll: float
    ece: float
    agreement: float | None
    together: float | None
    seconds_per_epoch: float
    right: NDArray[np.bool_]
    machine: str
    software: str


def write_result(folder: Path, run: Path, about: SweepRunInfo) -> Path:
    """Keep a finished run as a cell.

    Args:
        folder: of the cells.
        run: the run folder.
        about: its place in the sweep.

    Returns:
        The file.
    """
    found = read_run(run)
    results = open_results(run)
    environment, timings = results.table("environment.json"), results.timings()["epochs"]
    right = found.predictions["val"].labelled().correct()
    ensemble = found.scores.get("ensemble")
    facts = {
        "format": FORMAT,
        "name": about.name,
        "objective": about.objective,
        "role": about.role,
        "seed": found.seed,
        "model": found.model,
        "identity": about.identity,
        "teacher": about.teacher,
        "teacher_epochs": about.teacher_epochs,
        "epochs": found.last.epoch,
        "plain_epochs": about.plain_epochs,
        "image_size": found.cost.input_size,
        "accuracy": float(right.mean()),
        "best_accuracy": found.best.val.accuracy,
        "nll": found.last.val.nll,
        "ece": found.last.val.ece,
        "agreement": found.last.val.fidelity.agreement if found.last.val.fidelity else None,
        "together": ensemble["val"]["accuracy"] if isinstance(ensemble, dict) else None,
        "seconds_per_epoch": round(float(np.median([e["seconds"] for e in timings] or [0.0])), 1),
        "images": len(right),
        "right": np.packbits(right).tobytes().hex(),
        "machine": f"{environment.get('processor', '?')}, {environment.get('precision', '?')}",
        "software": ", ".join(f"{name} {environment[name]}" for name in ("tutelage", "torch")),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{about.name}.json"
    write_sealed(path, facts)
    return path


def read_results(folder: Path) -> list[SweepResult]:
    """All cells of a folder, by objective and seed.

    Raises:
        InputError: a file is no cell.
    """
    return [read_result(path) for path in sorted(folder.glob("*.json"))]


def read_result(path: Path) -> SweepResult:
    """One cell.

    Raises:
        InputError: it is none, it is damaged, or it has another one's name.
    """
    found = read_sealed(path, kind="a cell of a sweep", version=FORMAT, fix=_FIX)
    facts, kinds = Fields(found, path), get_type_hints(SweepResult)
    if set(facts.plain) != {*kinds, "format", "name", "images"}:
        raise InputError("not a cell of a sweep", where=path, expected=f"one of format {FORMAT}")
    if facts.text("name") != path.stem:
        raise InputError(
            "a cell under another one's name", where=path, found=facts.text("name"), fix=_FIX
        )
    read: dict[Any, Callable[[str], Any]] = {
        str: facts.text,
        int: facts.integer,
        float: facts.number,
        float | None: facts.optional_number,
        int | None: facts.optional_integer,
    }
    plain = {name: read[kind](name) for name, kind in kinds.items() if name != "right"}
    plain["role"] = current_name("role", plain["role"])
    plain["objective"] = _objective_of(plain["objective"])
    return SweepResult(**plain, right=_answers(facts))


def _objective_of(name: str) -> str:
    """A recipe of a loss or a method, or a role, by its name of today."""
    for kind in ("losses", "method", "role"):
        name = current_name(kind, name)
    return name


def _answers(facts: Fields) -> NDArray[np.bool_]:
    """Right or wrong, image by image, of eight a byte."""
    images = facts.integer("images")
    try:
        packed = np.frombuffer(bytes.fromhex(facts.text("right")), np.uint8)
    except ValueError as error:
        raise InputError("right cannot be read", where=facts.where, found=error) from error
    if len(packed) != -(-images // 8):
        raise InputError(
            "right does not fit the images",
            where=facts.where,
            found=f"{images} images, {len(packed)} bytes",
            expected="eight images a byte",
        )
    return np.unpackbits(packed)[:images].astype(bool)


def known_results(cells: Sequence[SweepResult], objective: str, seed: int, identity: str) -> bool:
    """Whether a run of these settings and images is among the cells."""
    wanted = (objective, seed, identity)
    return any((cell.objective, cell.seed, cell.identity) == wanted for cell in cells)
