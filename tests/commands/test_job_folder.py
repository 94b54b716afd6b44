"""A job's folder: begun, continued, returned as it is, refused, and held by one process alone."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tutelage.commands.job_folder import claim_folder, finish_job, job_lock, reopen_job
from tutelage.config.schema import flatten
from tutelage.errors import MachineError, UsageError
from tutelage.storage.atomic import read_json

SETTINGS: dict[str, Any] = {"alpha": 0.7, "teacher": {"epochs": 5}, "data": {"split": [0.8, 0.2]}}
FACTS = {"verb": "run", "data": "photos", "networks": []}


def take(out: Path, settings: Mapping[str, Any] = SETTINGS, *, resume: bool = False) -> str:
    return claim_folder(out, settings=settings, facts=FACTS, resume=resume)


def contents(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_begin(tmp_path: Path) -> None:
    """A new folder and an empty one are taken; settings and facts are written there."""
    for out in (tmp_path / "deep" / "new", tmp_path / "empty"):
        if out.name == "empty":
            out.mkdir()
        assert take(out) == "begin"
        assert sorted(contents(out)) == ["config.toml", "job.json"]
        assert reopen_job(out) == {"format": 2, **FACTS, "finished": False}


def test_foreign_folder(tmp_path: Path) -> None:
    """A folder with something else in it is refused and left as it is."""
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    before = contents(tmp_path)
    for resume in (False, True):
        with pytest.raises(UsageError, match="not empty"):
            take(tmp_path, resume=resume)
    assert contents(tmp_path) == before


def test_file(tmp_path: Path) -> None:
    """A file in the place of the folder is refused."""
    path = tmp_path / "out"
    path.write_bytes(b"x")
    with pytest.raises(UsageError, match="is a file"):
        take(path)
    with pytest.raises((UsageError, MachineError)):
        take(path / "below")
    assert path.read_bytes() == b"x"


def test_unfinished(tmp_path: Path) -> None:
    """An unfinished job is continued when asked to, and only then; the message says how."""
    out = tmp_path / "out"
    take(out)
    with pytest.raises(UsageError, match="--resume") as caught:
        take(out)
    assert f"tutelage resume {out}" in str(caught.value)
    assert take(out, resume=True) == "continue"


def test_finished(tmp_path: Path) -> None:
    """A finished job is returned with or without --resume."""
    out = tmp_path / "out"
    take(out)
    finish_job(out)
    assert take(out) == "finished"
    assert take(out, resume=True) == "finished"
    assert reopen_job(out)["data"] == "photos"


@pytest.mark.parametrize("finished", [False, True])
def test_other_settings(tmp_path: Path, finished: bool) -> None:
    """Other settings or data are refused by name and value, finished or not; nothing is changed."""
    out = tmp_path / "out"
    take(out)
    if finished:
        finish_job(out)
    before = contents(out)
    other = {**SETTINGS, "teacher": {"epochs": 6}}
    with pytest.raises(UsageError, match=r"teacher\.epochs: 5 there, 6 here"):
        take(out, other, resume=True)
    less = {key: value for key, value in SETTINGS.items() if key != "alpha"}
    with pytest.raises(UsageError, match=r"alpha: 0\.7 there, None here"):
        take(out, less, resume=True)
    with pytest.raises(UsageError, match="data: photos there, pictures here"):
        claim_folder(out, settings=SETTINGS, facts={**FACTS, "data": "pictures"}, resume=True)
    assert contents(out) == before


def test_reopen_nothing(tmp_path: Path) -> None:
    """There is nothing to resume in a folder without a job, or in none."""
    for out in (tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError, match="no run to resume"):
            reopen_job(out)


def test_flat() -> None:
    """Nested settings become dotted paths."""
    assert flatten({"a": {"b": {"c": 1}}, "d": 2}) == {"a.b.c": 1, "d": 2}


def test_lock(tmp_path: Path) -> None:
    """While one process holds a folder another is refused and told which; afterwards it is free."""
    program = (
        "import sys; from pathlib import Path; from tutelage.commands.job_folder import job_lock\n"
        "with job_lock(Path(sys.argv[1])):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="another process") as caught, job_lock(tmp_path):
            pass
        told = f"process {other.pid} on {socket.gethostname()}, since 20"
        assert told in str(caught.value)
        other.kill()
    with job_lock(tmp_path):  # a killed process holds nothing, whatever its file says
        assert f'"process": {os.getpid()}' in (tmp_path / ".lock").read_text()
    assert (tmp_path / ".lock").read_text() == ""
    with job_lock(tmp_path):
        pass


@pytest.mark.parametrize(
    "left", [[".lock"], [".lock", "config.toml"], [".config.toml.7-0123abcd.part"]]
)
def test_killed_while_taken(tmp_path: Path, left: list[str]) -> None:
    """A job that was killed while it took its folder is begun by the same command, with --resume or not."""
    take(tmp_path / "whole")
    for resume in (False, True):
        out = tmp_path / f"{resume}"
        out.mkdir()
        for name in left:
            (out / name).write_bytes((tmp_path / "whole" / "config.toml").read_bytes())
        assert take(out, resume=resume) == "begin"
        assert sorted({*contents(out)} - {".lock"}) == ["config.toml", "job.json"]
    out = tmp_path / "other"
    out.mkdir()
    (out / "config.toml").write_text("mine = 1\n")
    with pytest.raises(UsageError, match="not empty"):
        take(out)


def test_a_lock_is_no_content(tmp_path: Path) -> None:
    """What a job writes about itself reads back as JSON."""
    take(tmp_path / "out")
    assert read_json(tmp_path / "out" / "job.json")["verb"] == "run"
