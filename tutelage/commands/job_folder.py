"""The output folder: decide by its content whether to begin, continue, return or refuse."""

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

from tutelage.config.renamed import current_names
from tutelage.config.schema import flatten
from tutelage.config.toml import read_toml, to_toml
from tutelage.config.tracking import TRACKING
from tutelage.errors import UsageError
from tutelage.storage.atomic import is_private, make_folder, recover_partial_writes, write_bytes
from tutelage.storage.checksums import write_sealed
from tutelage.storage.disk import disk_errors
from tutelage.storage.lock import LockHolder, hold_lock
from tutelage.storage.run_results import JOB_FORMAT, read_job_facts, require_job, seal_job
from tutelage.storage.safe_paths import require_plain

State = Literal["begin", "continue", "finished"]
_OWN = "job.json"
_SETTINGS = "config.toml"
_LOCK = ".lock"


def inspect_folder(
    out: Path, *, settings: Mapping[str, Any], facts: Mapping[str, Any], resume: bool
) -> State:
    """Decide what a folder is to a job; nothing is written.

    Args:
        out: the folder.
        settings: the job's settings as a plain table.
        facts: what else makes it this job: verb, data.
        resume: whether an unfinished job may be continued.

    Raises:
        UsageError: the folder holds something else, or the same unfinished and `resume` is not set.
    """
    if out.exists() and not out.is_dir():
        raise UsageError("--out is a file", where=out, expected="a folder that is new or empty")
    if not out.is_dir() or _is_free(out, settings):
        return "begin"
    if not (out / _OWN).is_file():
        raise UsageError(
            "the folder is not empty and holds no run",
            where=out,
            fix=f"another folder: --out {out}-2",
        )
    return _continue(out, settings, facts, resume=resume)


def claim_folder(
    out: Path, *, settings: Mapping[str, Any], facts: Mapping[str, Any], resume: bool
) -> State:
    """Claim a folder for a job, or find that it is done already; the caller holds its lock.

    Settings are written as config.toml, facts as job.json. Arguments and errors: see `inspect_folder`.

    Raises:
        MachineError: it cannot be written.
    """
    state = inspect_folder(out, settings=settings, facts=facts, resume=resume)
    if state != "finished":
        make_job_folder(out)
        recover_partial_writes(out)
    if state == "begin":
        write_bytes(out / _SETTINGS, _text(settings))
        write_sealed(out / _OWN, {"format": JOB_FORMAT, **facts, "finished": False})
    return state


def make_job_folder(out: Path) -> None:
    """Make a job's folder, so that its lock has a place.

    Raises:
        MachineError: it cannot be made.
    """
    with disk_errors(out):
        make_folder(out)


def _is_free(out: Path, settings: Mapping[str, Any]) -> bool:
    """Return whether the folder is empty, or holds only what a job killed while claiming it left."""
    names = {path.name for path in out.iterdir() if not is_private(path)} - {_LOCK}
    if not names <= {_SETTINGS}:
        return False
    require_plain(out, written=True)
    if names:
        return (out / _SETTINGS).read_bytes() == _text(settings)
    return True


def _text(settings: Mapping[str, Any]) -> bytes:
    return to_toml(dict(settings)).encode()


def _continue(
    out: Path, settings: Mapping[str, Any], facts: Mapping[str, Any], *, resume: bool
) -> State:
    require_plain(out, written=True)
    found = read_job_facts(out)
    old = {**flatten(current_names(read_toml(out / _SETTINGS))), **{k: found.get(k) for k in facts}}
    new = {**flatten(settings), **facts}
    compared = {*old, *new} - {*TRACKING}
    changed = sorted(key for key in compared if old.get(key) != new.get(key))
    if changed:
        lines = [f"{key}: {old.get(key)} there, {new.get(key)} here" for key in changed[:5]]
        fix = f"another folder: --out {out}-2"
        if changed == ["epochs"] and found.get("finished"):
            fix += f"; to go on from its weights, with --weights {out} and the epochs to add"
        raise UsageError(
            "the folder holds a run with other settings or data",
            where=out,
            found="; ".join(lines),
            fix=fix,
        )
    if found.get("finished"):
        require_job(out)
        return "finished"
    if not resume:
        raise UsageError(
            "the folder holds this run, unfinished",
            where=out,
            fix=f"the same command with --resume, or: tutelage resume {out}",
        )
    return "continue"


def finish_job(out: Path) -> None:
    """Mark a job as complete."""
    seal_job(out)


def abandon_job(out: Path) -> None:
    """Remove a folder in which a job has only begun, so that the corrected command finds it free.

    All in it was made by this job: `claim_folder` found it empty. Where the disk is
    full it stays, to be continued.
    """
    shutil.rmtree(out, ignore_errors=True)


def reopen_job(out: Path) -> dict[str, Any]:
    """Read the facts of the job in a folder.

    Raises:
        UsageError: there is none.
        InputError: something in the folder leads out of it.
    """
    if not (out / _OWN).is_file():
        raise UsageError(
            "no run to resume there",
            where=out,
            expected="a folder that `tutelage run`, `train` or `distill` made",
        )
    require_plain(out, written=True)
    return read_job_facts(out)


def job_lock(out: Path) -> AbstractContextManager[None]:
    """Hold a folder for this process alone while the block runs.

    Raises:
        UsageError: another process holds it.
    """

    def refuse(holder: LockHolder | None) -> None:
        raise UsageError(
            "another process is at work in this folder",
            where=out,
            found=holder,
            fix="wait for it, or choose another --out",
        )

    return hold_lock(out / _LOCK, busy=refuse)
