"""The folder of a job or run: what is in it decides whether to begin, continue, return or refuse."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from tutelage.errors import MachineError, UsageError
from tutelage.files import write_bytes
from tutelage.inside import require_plain
from tutelage.results import JOB_FORMAT, read_job_facts, require_job, seal_job
from tutelage.sealed import write_sealed
from tutelage.toml import read_toml, to_toml

_OWN = "job.json"


def claim(
    out: Path, *, settings: Mapping[str, Any], facts: Mapping[str, Any], resume: bool
) -> Literal["begin", "continue", "finished"]:
    """Take a folder for a job, or find that it is done already.

    Args:
        out: the folder.
        settings: the job's settings as a plain table; written as config.toml.
        facts: what else makes it this job: verb, data; written to job.json.
        resume: whether an unfinished job may be continued.

    Raises:
        UsageError: the folder holds something else, or the same unfinished and `resume` is not set.
        MachineError: it cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise UsageError("--out is a file", where=out, expected="a folder that is new or empty")
    if out.is_dir() and any(out.iterdir()):
        if not (out / _OWN).is_file():
            raise UsageError(
                "the folder is not empty and holds no run",
                where=out,
                fix=f"another folder: --out {out}-2",
            )
        return _continue(out, settings, facts, resume=resume)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError("cannot make the folder", where=out, found=error.strerror) from error
    write_bytes(out / "config.toml", to_toml(dict(settings)).encode())
    write_sealed(out / _OWN, {"format": JOB_FORMAT, **facts, "finished": False})
    return "begin"


def _continue(
    out: Path, settings: Mapping[str, Any], facts: Mapping[str, Any], *, resume: bool
) -> Literal["continue", "finished"]:
    require_plain(out, written=True)
    found = read_job_facts(out)
    old = {**flat(read_toml(out / "config.toml")), **{k: found.get(k) for k in facts}}
    new = {**flat(settings), **facts}
    changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    if changed:
        lines = [f"{key}: {old.get(key)} there, {new.get(key)} here" for key in changed[:5]]
        raise UsageError(
            "the folder holds a run with other settings or data",
            where=out,
            found="; ".join(lines),
            fix=f"another folder: --out {out}-2",
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


def finish(out: Path) -> None:
    """Mark a job as complete."""
    seal_job(out)


def abandon(out: Path) -> None:
    """Give up a folder in which a job has only begun, so that the corrected command finds it free.

    All in it was made by this job: `claim` found it empty.
    """
    shutil.rmtree(out)


def reopen(out: Path) -> dict[str, Any]:
    """The facts of the job in a folder.

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


def flat(settings: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested settings by dotted path.

    >>> flat({"teacher": {"epochs": 5}})
    {'teacher.epochs': 5}
    """
    result: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{path}{key}.")
        else:
            result[path + key] = value
    return result


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold a folder for this process alone while the block runs.

    Raises:
        UsageError: another process holds it.
    """
    import fcntl
    import os

    with (out / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise UsageError(
                "another process is at work in this folder",
                where=out,
                found=file.read().strip() or None,
                fix="wait for it, or choose another --out",
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        yield
