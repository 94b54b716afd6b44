"""Verify everything that was written: read every file, and name each damaged one."""

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tutelage.config.tracking import FOLDER as TRACKERS
from tutelage.data.pack import pack as packs
from tutelage.data.pack.manifest import pixels_shape
from tutelage.engine.checkpoint import format as checkpoints
from tutelage.errors import InputError
from tutelage.models.metadata import read_metadata as read_model
from tutelage.reports.sweep.results import read_result
from tutelage.storage.checksums import Sums, find_damage, read_sealed
from tutelage.storage.json_files import read_file
from tutelage.storage.run_results import open_results, read_job_facts, read_run_facts
from tutelage.storage.sidecar import SUFFIX, require_checksum
from tutelage.teachers.cache import table as tables

_LARGEST_CELL = 1 << 20
_PRECISION = "precision.json"
_EXPORTED = (".onnx", ".pt2")


class VerifyResult(NamedTuple):
    """Files that are as they were written, and what is wrong with each of the others."""

    whole: tuple[Path, ...]
    damaged: dict[Path, str]


def verify(path: str | Path) -> VerifyResult:
    """Read a run, job, sweep, pack, cache, model folder, checkpoint, cell or ONNX file, or a folder of them.

    Reports, and files that are not ours, have no checksums and are not looked at.

    Args:
        path: what to read; of a folder, everything below it.

    Raises:
        InputError: nothing there that has checksums.
    """
    path, found = Path(path), _Findings()
    if path.is_dir():
        for folder, names in _folders(path):
            _look(folder, names, found)
    elif path.suffix in _EXPORTED:
        _exported(path, found)
    elif path.suffix == ".json":
        found.sealed(path, lambda: read_sealed(path, kind="a sealed file"))
    if not found.known:
        raise InputError(
            "nothing there that has checksums",
            where=path,
            found=None if path.exists() else "nothing",
            expected="a run, job, sweep, pack, cache, model folder, checkpoint, cell or exported file",
        )
    damaged = {file: told for file, told in sorted(found.known.items()) if told}
    return VerifyResult(tuple(file for file, told in found.known.items() if not told), damaged)


class _Findings:
    """Collect what is wrong with each file; None: it is intact."""

    def __init__(self) -> None:
        self.known: dict[Path, str] = {}

    def add(self, file: Path, told: str = "") -> None:
        self.known[file] = self.known.get(file) or told

    def sealed(self, file: Path, read: Callable[[], object]) -> bool:
        """Return whether a sealed file can be read; the fault may be in a file that it stands for."""
        try:
            read()
        except InputError as error:
            where = error.where if isinstance(error.where, Path) else file
            self.add(where if where.is_file() or not where.exists() else file, _told(error))
            return False
        self.add(file)
        return True

    def sums(self, folder: Path, sums: Sums) -> None:
        for name in sums:
            wrong = find_damage(folder, sums, name)
            self.add(folder / name, wrong[0] if wrong else "")


def _told(error: InputError) -> str:
    return f"{error.what}: {error.found}" if error.found else error.what


def _folders(path: Path) -> Iterator[tuple[Path, Collection[str]]]:
    """Every folder below a path and the names of its files, but for what others keep there: hidden folders,
    and that of a job's trackers.
    """
    for place, inner, names in os.walk(path):
        trackers = {TRACKERS} if {"job.json", "run.json"} & {*names} else set[str]()
        inner[:] = sorted(n for n in inner if not n.startswith(".") and n not in trackers)
        yield Path(place), set(names)


def _look(folder: Path, names: Collection[str], found: _Findings) -> None:
    for marks, check in _CHECKS.items():
        # A folder that has lost its sealed file is recognised by the others.
        if not {*marks}.isdisjoint(names):
            check(folder, found)
            return
    if _PRECISION in names:
        path = folder / _PRECISION
        found.sealed(path, lambda: read_sealed(path, kind="what was decided about precision"))
    for name in sorted(name for name in names if name.endswith(_EXPORTED)):
        _exported(folder / name, found)
    cells = sorted(folder / name for name in names if name.endswith(".json") and name != _PRECISION)
    if any(map(_is_cell, cells)):
        for path in cells:
            found.sealed(path, lambda path=path: read_result(path))  # type: ignore[misc]


def _is_cell(path: Path) -> bool:
    try:
        return b'"objective"' in read_file(path, largest=_LARGEST_CELL)
    except InputError:
        return False


def _exported(path: Path, found: _Findings) -> None:
    if found.sealed(path, lambda: require_checksum(path)):
        found.add(path.with_name(path.name + SUFFIX))


def _job(folder: Path, found: _Findings) -> None:
    if (folder / "job.json").exists() and found.sealed(
        folder / "job.json", lambda: read_job_facts(folder)
    ):
        found.sums(folder, read_job_facts(folder).get("files") or {})
    for name in ("plan.json", "data.json"):
        if (folder / name).exists():
            found.sealed(folder / name, lambda name=name: read_sealed(folder / name, kind="a job"))  # type: ignore[misc]
    if (folder / "run.json").exists() or (folder / "scores.json").exists():
        _run(folder, found)


def _run(folder: Path, found: _Findings) -> None:
    if not found.sealed(folder / "run.json", lambda: read_run_facts(folder)):
        return
    if read_run_facts(folder).get("finished"):
        results = open_results(folder)
        found.sums(folder, results.sums)
        found.sealed(folder / "timings.json", results.timings)


def _model(folder: Path, found: _Findings) -> None:
    if found.sealed(folder / "tutelage.json", lambda: read_model(folder)):
        found.sums(folder, read_model(folder)["files"])


def _pack(folder: Path, found: _Findings) -> None:
    path = folder / "manifest.json"
    if not found.sealed(path, lambda: read_sealed(path, kind=packs.KIND, version=packs.FORMAT)):
        return
    manifest, pixels = read_sealed(path, kind=packs.KIND), folder / "images.bin"
    found.sums(folder, manifest["files"])
    shape = pixels_shape(manifest)
    if not found.sealed(pixels, lambda: packs.map_pixels(folder, shape)):
        return
    if found.known[folder / "keys.bin"]:
        found.known[pixels] = "cannot be told, since keys.bin is damaged"
        return
    keys = np.fromfile(folder / "keys.bin", np.int64)
    if lost := packs.damaged_rows(packs.map_pixels(folder, shape), keys):
        found.add(pixels, f"{len(lost)} images, the first is image {lost[0]}")
    elif not any(found.known[folder / name] for name in packs.SMALL):
        found.sealed(path, lambda: packs.open_pack(folder))


def _cache(folder: Path, found: _Findings) -> None:
    if not found.sealed(folder / "manifest.json", lambda: tables.open_cache_table(folder)):
        return
    table = tables.open_cache_table(folder)
    for name in ("index", *table.columns):
        found.add(folder / f"{name}.bin")
    if len(lost := table.damaged()):
        told = f"{len(lost)} damaged answers, the first is {lost[0]}"
        columns = [folder / f"{name}.bin" for name in table.columns]
        found.known[columns[0]] = told if len(columns) == 1 else f"{told} (or in another column)"


def _checkpoint(folder: Path, found: _Findings) -> None:
    path = folder / checkpoints.MANIFEST
    if found.sealed(path, lambda: read_sealed(path, kind=checkpoints.KIND)):
        found.sums(folder, read_sealed(path, kind=checkpoints.KIND).get("files") or {})
        found.sealed(path, lambda: checkpoints.check_checkpoint(folder))


def _nothing(_folder: Path, _found: _Findings) -> None:
    """Skip a report, which is made again from what has checksums."""


_CHECKS: dict[tuple[str, ...], Callable[[Path, _Findings], None]] = {
    ("report.html",): _nothing,
    ("job.json", "plan.json", "run.json", "scores.json", "timings.json"): _job,
    ("tutelage.json", "model.safetensors"): _model,
    ("images.bin", "labels.bin", "keys.bin"): _pack,
    ("index.bin", "logits.bin"): _cache,
    (checkpoints.TENSORS, checkpoints.FACTS): _checkpoint,
}
"""How a folder is checked that has one of these files; the first that fits holds."""
