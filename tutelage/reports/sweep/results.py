"""Results of a sweep: finished runs as small JSON files that outlive their run folders.

Such a file, a cell, holds what a table needs and nothing else, so that cells can be kept under version
control and a table can grow over many sessions and machines.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.config.image_size import ImageSize
from tutelage.config.renamed import current_name
from tutelage.errors import InputError
from tutelage.reports.record.read import read_run
from tutelage.storage.checksums import read_sealed, write_sealed
from tutelage.storage.run_results import open_results
from tutelage.storage.typed_json import read_record

FORMAT = 3
_FIX = "remove it; the same `tutelage sweep` repeats its run"


class SweepRunInfo(NamedTuple):
    """The place of a run in a sweep."""

    name: str
    """Of the run and of the cell's file."""
    objective: str
    """The recipe of its loss or method, as the table calls it."""
    role: str
    identity: str
    """Fingerprint of its settings and images, and of those of its teachers."""
    teacher: str
    """Fingerprint of the teacher's run it is compared with; its own if it is that teacher."""
    teacher_epochs: int | None
    """Of the finished teacher; None without one."""
    plain_epochs: int
    """Epochs of training without a teacher that cost as much."""


class SweepResult(NamedTuple):
    """One run of a sweep: its place as in `SweepRunInfo`, and its last epoch's scores on validation."""

    objective: str
    role: str
    seed: int
    model: str
    identity: str
    teacher: str
    teacher_epochs: int | None
    epochs: int
    plain_epochs: int
    image_size: ImageSize
    accuracy: float
    best_accuracy: float
    """Of the best epoch."""
    nll: float
    ece: float
    agreement: float | None
    """With the teacher."""
    together: float | None
    """Accuracy of the ensemble of all networks trained in the run; None if there was one network."""
    seconds_per_epoch: float
    right: NDArray[np.bool_]
    """Whether each labelled validation image is classified correctly."""
    machine: str
    software: str


class _Packed(NamedTuple):
    images: int
    right: str


def write_result(folder: Path, run: Path, about: SweepRunInfo) -> Path:
    """Write the cell of a finished run into a folder of cells, and return the file."""
    found = read_run(run)
    results = open_results(run)
    environment, timings = results.table("environment.json"), results.timings()["epochs"]
    right = found.predictions["val"].labelled().correct()
    ensemble, fidelity = found.scores.get("ensemble"), found.last.val["fidelity"]
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
        "best_accuracy": found.best.val["accuracy"],
        "nll": found.last.val["nll"],
        "ece": found.last.val["ece"],
        "agreement": fidelity["agreement"] if fidelity else None,
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
    """Read all cells of a folder, in the order of their file names; raises as `read_result`."""
    return [read_result(path) for path in sorted(folder.glob("*.json"))]


def read_result(path: Path) -> SweepResult:
    """Read one cell.

    Raises:
        InputError: the file is not a cell, was changed, or was renamed.
    """
    found = read_sealed(path, kind="a cell of a sweep", version=FORMAT, fix=_FIX)
    if set(found) != {*SweepResult._fields, "format", "name", "images"}:
        raise InputError("not a cell of a sweep", where=path, expected=f"one of format {FORMAT}")
    if found["name"] != path.stem:
        raise InputError("a cell that was renamed", where=path, found=found["name"], fix=_FIX)
    result = read_record(SweepResult, {**found, "right": _unpack(found, path)}, path)
    role, objective = current_name("role", result.role), _objective_of(result.objective)
    return result._replace(role=role, objective=objective)


def _objective_of(name: str) -> str:
    """Translate the former name of a loss, method or role."""
    for kind in ("losses", "method", "role"):
        name = current_name(kind, name)
    return name


def _unpack(found: Mapping[str, Any], path: Path) -> NDArray[np.bool_]:
    """Unpack correct or not, image by image, of eight in a byte."""
    packed = read_record(_Packed, found, path)
    try:
        raw = np.frombuffer(bytes.fromhex(packed.right), np.uint8)
    except ValueError as error:
        raise InputError("right cannot be read", where=path, found=error) from error
    if len(raw) != -(-packed.images // 8):
        raise InputError(
            "right does not fit the images",
            where=path,
            found=f"{packed.images} images, {len(raw)} bytes",
            expected="eight images a byte",
        )
    return np.unpackbits(raw)[: packed.images].astype(bool)


def known_results(cells: Sequence[SweepResult], objective: str, seed: int, identity: str) -> bool:
    """Return whether a run of these settings and images is among the cells."""
    wanted = (objective, seed, identity)
    return any((cell.objective, cell.seed, cell.identity) == wanted for cell in cells)
