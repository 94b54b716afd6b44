"""What a finished run or job left behind, and whether it is still that.

`run.json` of a finished run holds the checksum of every file that says what came of it; those of a model
folder are in its own sealed file, whose checksum is here. `timings.json` alone differs between two equal
runs, so it is sealed by itself and names the `run.json` that it belongs to. `job.json` of a finished job has
the checksums of its own files and of each `run.json`; its report can be made again and is not among them.
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
LARGEST_ANSWERS = 16 << 30
_OF_A_JOB = ("config.toml", "plan.json", "data.json", "split.csv", "run.json", "*/run.json")
_RESULTS = (
    "config.toml",
    "environment.json",
    "journal.jsonl",
    "scores.json",
    "checkpoints-kept/*/model/tutelage.json",
)
_OF_A_NETWORK = ("predictions/*", "model/tutelage.json", "model-best/tutelage.json")
_PATTERNS = (*_RESULTS, *_OF_A_NETWORK, *(f"peers/*/{name}" for name in _OF_A_NETWORK))


class Results(NamedTuple):
    """A finished run: its folder, what it is of, and the checksums of its files."""

    folder: Path
    facts: Mapping[str, Any]
    sums: Sums

    def read(self, name: str, *, largest: int = LARGEST_JSON) -> bytes:
        """A file of the run, by its name relative to the folder; InputError where it is damaged."""
        return read_checked(
            self.folder, self.sums, name, kind=KIND, largest=largest, fix=run_fix(self.folder)
        )

    def table(self, name: str) -> dict[str, Any]:
        """A JSON file of the run."""
        return parse_json(self.read(name), self.folder / name)

    def answers(self, split: str, *, beside: str = "") -> dict[str, NDArray[Any]]:
        """What the network said about a split after the last epoch: ids, labels [N], logits [N, C].

        Args:
            split: val or test.
            beside: the companion that said it, by its folder's name; the run's own network by default.

        Raises:
            InputError: none of that split, or a damaged file.
        """
        start = f"peers/{beside}/" if beside else ""
        name = f"{start}predictions/{split}.safetensors"
        raw = self.read(name, largest=LARGEST_ANSWERS)
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
        """float32 [N, C] of a split, as in `answers`."""
        return self.answers(split)["logits"].astype(np.float32, copy=False)

    def timings(self) -> dict[str, Any]:
        """How long it took, held to the run that it belongs to."""
        raw = read_file(self.folder / "run.json", largest=LARGEST_JSON)
        path = self.folder / "timings.json"
        found = read_sealed(path, kind="timings of a run", fix=run_fix(self.folder))
        if found.get("run") != hashlib.sha256(raw).hexdigest():
            raise InputError("timings of another run", where=path, fix=run_fix(self.folder))
        return found


def seal_run(folder: Path, facts: Mapping[str, Any]) -> None:
    """Mark a run as finished: nothing of what it left may change from here on.

    Args:
        folder: of the run; all its files are there.
        facts: what it is of: name, role, seed, fingerprint.
    """
    sums = _sums(folder, _PATTERNS)
    raw = seal({"format": FORMAT, **facts, "finished": True, "files": sums})
    path = folder / "timings.json"
    timings = parse_json(read_file(path, largest=LARGEST_JSON), path)
    timings.pop("seal", None)
    write_sealed(path, {**timings, "run": hashlib.sha256(raw).hexdigest()})
    write_bytes(folder / "run.json", raw)


def read_run_facts(folder: Path) -> dict[str, Any]:
    """What a run is of, finished or not: the table in its run.json."""
    path = folder / "run.json"
    return read_sealed(path, kind=KIND, version=FORMAT, fix=run_fix(folder))


def open_results(folder: Path) -> Results:
    """A finished run; each of its files is held to its checksum when it is read.

    Raises:
        InputError: no run there, one that is not finished, or run.json is damaged.
    """
    facts = read_run_facts(folder)
    if not facts.get("finished"):
        raise InputError(
            "the run is not finished",
            where=folder,
            fix=f"the command that began it, with --resume, or: tutelage resume {folder}",
        )
    sums = facts.pop("files", None)
    return Results(folder, facts, sums if isinstance(sums, dict) else {})


def require_whole(folder: Path) -> None:
    """Refuse a finished run in which a file is damaged; weights are looked at where they are loaded."""
    found = open_results(folder)
    require_checksums(folder, found.sums, kind=KIND, fix=run_fix(folder))
    found.timings()


def require_network_files(folder: Path) -> None:
    """Refuse a run folder whose model folder is not the one that the run was finished with."""
    found = open_results(folder)
    require_checksums(folder, found.sums, ["model/tutelage.json"], kind=KIND, fix=run_fix(folder))


def run_fix(folder: Path) -> str:
    """What to do about a run of which something is damaged."""
    return (
        f"remove {folder / 'run.json'}; the command that made the run, with --resume, does it again"
    )


def seal_job(folder: Path) -> None:
    """Mark a job as finished."""
    facts = read_job_facts(folder)
    whole = {**facts, "finished": True, "files": _sums(folder, _OF_A_JOB)}
    write_sealed(folder / "job.json", whole)


def read_job_facts(folder: Path) -> dict[str, Any]:
    """What a job is of, finished or not: the table in its job.json.

    Raises:
        InputError: it is damaged, or of another format.
    """
    return read_sealed(folder / "job.json", kind="a job", version=JOB_FORMAT, fix=job_fix(folder))


def require_job(folder: Path) -> None:
    """Refuse a finished job in which a file of its own, or a run.json, is not what was written.

    Raises:
        InputError: naming the file.
    """
    facts = read_job_facts(folder)
    if facts.get("finished"):
        sums = facts.get("files")
        require_checksums(
            folder, sums if isinstance(sums, dict) else {}, kind="a job", fix=job_fix(folder)
        )


def job_fix(folder: Path) -> str:
    """What to do about a job of which something is damaged."""
    return f"the command that made it, with another folder: --out {folder}-2"


def _sums(folder: Path, patterns: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Checksums of some files that are on the disk from here on, whatever becomes of the machine."""
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    for path in (*found, *{path.parent for path in found}):
        sync(path)
    return checksums_of(folder, {path.relative_to(folder).as_posix() for path in found})
