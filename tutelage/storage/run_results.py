"""The results of finished runs and jobs, verified by checksum when they are read.

`run.json` of a finished run holds the checksum of every file of its results; those of a model folder are in
the folder's own sealed file, whose checksum is here. `timings.json` alone differs between two equal runs, so
it is sealed separately and names the `run.json` it belongs to. `job.json` of a finished job has the checksums
of its own files and of each `run.json`; its report can be written again and is not among them.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from tutelage.errors import InputError
from tutelage.storage.atomic import sync, write_bytes
from tutelage.storage.checksums import (
    Sums,
    checksums_of,
    read_checked,
    read_sealed,
    require_checksums,
    seal,
    write_sealed,
)
from tutelage.storage.json_files import LARGEST_JSON, parse_json, read_file

FORMAT = 4
JOB_FORMAT = 2
KIND = "a run"
LARGEST_PREDICTIONS = 16 << 30
_JOB_FILES = ("config.toml", "plan.json", "data.json", "split.csv", "run.json", "*/run.json")
_RESULTS = (
    "config.toml",
    "environment.json",
    "journal.jsonl",
    "scores.json",
    "checkpoints-kept/*/model/tutelage.json",
)
_NETWORK_FILES = ("predictions/*", "model/tutelage.json", "model-best/tutelage.json")
_PATTERNS = (*_RESULTS, *_NETWORK_FILES, *(f"peers/*/{name}" for name in _NETWORK_FILES))


class Results(NamedTuple):
    """A finished run."""

    folder: Path
    facts: Mapping[str, Any]
    """The table in run.json: name, role, seed, fingerprint, ..."""
    sums: Sums
    """Checksums of its files."""

    def read(self, name: str, *, largest: int = LARGEST_JSON) -> bytes:
        """Read a file by its name relative to the folder; InputError if it is damaged."""
        return read_checked(
            self.folder, self.sums, name, kind=KIND, largest=largest, fix=run_fix(self.folder)
        )

    def table(self, name: str) -> dict[str, Any]:
        """Read a JSON file; InputError if it is damaged."""
        return parse_json(self.read(name), self.folder / name)

    def predictions(self, split: str, *, peer: str = "") -> dict[str, NDArray[Any]]:
        """Read the predictions after the last epoch: ids [N], labels [N] and logits [N, C].

        Args:
            split: val or test.
            peer: the folder name of a peer; the run's own network by default.

        Raises:
            InputError: there are none for that split, or the file is damaged.
        """
        start = f"peers/{peer}/" if peer else ""
        name = f"{start}predictions/{split}.safetensors"
        raw = self.read(name, largest=LARGEST_PREDICTIONS)
        try:
            arrays = load(raw)
            ids, labels, logits = (arrays[key] for key in ("ids", "labels", "logits"))
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            where = self.folder / name
            raise InputError("predictions cannot be read", where=where, found=error) from error
        if ids.ndim != 1 or labels.shape != ids.shape or logits.shape[:-1] != ids.shape:
            raise InputError(
                "predictions do not fit each other",
                where=self.folder / name,
                found=f"ids {ids.shape}, labels {labels.shape}, logits {logits.shape}",
            )
        return arrays

    def logits(self, split: str) -> NDArray[np.float32]:
        """Read the logits of a split, float32 [N, C]; see `predictions`."""
        return self.predictions(split)["logits"].astype(np.float32, copy=False)

    def timings(self) -> dict[str, Any]:
        """Read timings.json; InputError if it is damaged or belongs to another run."""
        raw = read_file(self.folder / "run.json", largest=LARGEST_JSON)
        path = self.folder / "timings.json"
        found = read_sealed(path, kind="timings of a run", fix=run_fix(self.folder))
        if found.get("run") != hashlib.sha256(raw).hexdigest():
            raise InputError("timings of another run", where=path, fix=run_fix(self.folder))
        return found


def seal_run(folder: Path, facts: Mapping[str, Any]) -> None:
    """Mark a run as finished: from now on, a change of its results counts as damage.

    Args:
        folder: the run folder with all its files.
        facts: name, role, seed, fingerprint, ...
    """
    sums = _sums(folder, _PATTERNS)
    raw = seal({"format": FORMAT, **facts, "finished": True, "files": sums})
    path = folder / "timings.json"
    timings = parse_json(read_file(path, largest=LARGEST_JSON), path)
    timings.pop("seal", None)
    write_sealed(path, {**timings, "run": hashlib.sha256(raw).hexdigest()})
    write_bytes(folder / "run.json", raw)


def read_run_facts(folder: Path) -> dict[str, Any]:
    """Read run.json of a run, finished or not."""
    path = folder / "run.json"
    return read_sealed(path, kind=KIND, version=FORMAT, fix=run_fix(folder))


def open_results(folder: Path) -> Results:
    """Open a finished run; its files are verified when they are read.

    Raises:
        InputError: there is no run, it is not finished, or run.json is damaged.
    """
    facts = read_run_facts(folder)
    if not facts.get("finished"):
        raise InputError(
            "the run is not finished",
            where=folder,
            fix=f"the command that started it, with --resume, or: tutelage resume {folder}",
        )
    sums = facts.pop("files", None)
    return Results(folder, facts, sums if isinstance(sums, dict) else {})


def require_whole(folder: Path) -> None:
    """Raise InputError if a file of a finished run is damaged; weights are verified when loaded."""
    found = open_results(folder)
    require_checksums(folder, found.sums, kind=KIND, fix=run_fix(folder))
    found.timings()


def require_network_files(folder: Path) -> None:
    """Raise InputError if the model folder of a run is not that of the finished run."""
    found = open_results(folder)
    require_checksums(folder, found.sums, ["model/tutelage.json"], kind=KIND, fix=run_fix(folder))


def run_fix(folder: Path) -> str:
    """Suggest what to do about a damaged run."""
    return f"remove {folder / 'run.json'}; the command that made the run, with --resume, repeats it"


def seal_job(folder: Path) -> None:
    """Mark a job as finished."""
    facts = read_job_facts(folder)
    whole = {**facts, "finished": True, "files": _sums(folder, _JOB_FILES)}
    write_sealed(folder / "job.json", whole)


def read_job_facts(folder: Path) -> dict[str, Any]:
    """Read job.json of a job, finished or not.

    Raises:
        InputError: the file is damaged or of another format.
    """
    return read_sealed(folder / "job.json", kind="a job", version=JOB_FORMAT, fix=job_fix(folder))


def require_job(folder: Path) -> None:
    """Require that the files of a finished job, and each run.json, are as they were written.

    Raises:
        InputError: with the name of the damaged file.
    """
    facts = read_job_facts(folder)
    if facts.get("finished"):
        sums = facts.get("files")
        require_checksums(
            folder, sums if isinstance(sums, dict) else {}, kind="a job", fix=job_fix(folder)
        )


def job_fix(folder: Path) -> str:
    """Suggest what to do about a damaged job."""
    return f"the command that made it, with another folder: --out {folder}-2"


def _sums(folder: Path, patterns: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Flush the matching files to disk, so that they survive a power failure, and return their checksums."""
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    for path in (*found, *{path.parent for path in found}):
        sync(path)
    return checksums_of(folder, {path.relative_to(folder).as_posix() for path in found})
