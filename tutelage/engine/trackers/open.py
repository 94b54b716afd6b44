"""Which trackers follow a run, as which run of which project; the report of a job is one more run."""

import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage.config.job import DistillConfig, TrainConfig
from tutelage.config.schema import fingerprint, flatten, to_table
from tutelage.config.tracking import FOLDER, TRACKING, TrackingConfig
from tutelage.engine.context import RunContext
from tutelage.engine.trackers.registry import TRACKERS
from tutelage.engine.trackers.run_tracking import RunTracking, Timings
from tutelage.engine.trackers.tracker import TrackedRun, Tracker
from tutelage.errors import InputError, TutelageError
from tutelage.storage.atomic import expand_user, make_folder, write_bytes
from tutelage.storage.json_files import read_file

_PLACES = ("data.dir", "data.images", "teacher", "cache", *TRACKING)
"""Settings that name places on this machine, or only concern trackers: no tracker is given them."""


def track_run(
    settings: TrainConfig, context: RunContext, *, identity: str, timings: Timings
) -> RunTracking | None:
    """Open the trackers of a run; nothing is started before its journal is rewound.

    Args:
        settings: of the run.
        context: of the run.
        identity: its fingerprint.
        timings: of its epochs so far.
    """
    return _open(settings, context, kind=settings.role, identity=identity, timings=timings)


def track_report(settings: DistillConfig | TrainConfig, context: RunContext, report: Path) -> None:
    """Hand the report of a finished job to its trackers, as a run of its own called `report`.

    Args:
        settings: of the job.
        context: of the job.
        report: path of report.html; report.md lies beside it.
    """
    own = context._replace(name="report")
    tracking = _open(settings, own, kind="report", identity="", timings=list)
    if tracking is None:
        return
    tracking.rewound([])
    tracking.finish_with([report, report.with_suffix(".md")])


def _open(
    settings: TrackingConfig, context: RunContext, *, kind: str, identity: str, timings: Timings
) -> RunTracking | None:
    if not settings.track or not context.world.first:
        return None
    job = context.job or context.folder
    group = job.resolve().name or "job"
    folder = expand_user(settings.track_dir) if settings.track_dir else job / FOLDER
    try:
        job_id = _job_id(job)
    except TutelageError as error:
        context.line(f"not tracked, the run goes on: {error.what}")
        return None
    run = TrackedRun(
        id=fingerprint(job_id, context.name, identity),
        name=context.name,
        group=group,
        project=settings.track_project or group,
        kind=kind,
        config=_config(settings),
        folder=folder,
    )
    trackers: dict[str, Tracker] = {name: TRACKERS[name].factory() for name in settings.track}
    return RunTracking(run, trackers, folder=context.folder, timings=timings, line=context.line)


def _job_id(job: Path) -> str:
    """What tells this job from an equal one in another folder: 16 hexadecimal digits, kept in a file."""
    path = job / FOLDER / "id"
    if not path.is_file():
        make_folder(path.parent)
        write_bytes(path, secrets.token_hex(8).encode())
    found = read_file(path, largest=100).decode("ascii", "replace").strip()
    if not re.fullmatch("[0-9a-f]{16}", found):
        raise InputError("no id of a tracked job", where=path, found=found, fix="remove the file")
    return found


def _config(settings: TrackingConfig) -> Mapping[str, Any]:
    table = flatten(to_table(settings))
    return {name: _nameless(value) for name, value in table.items() if name not in _PLACES}


def _nameless(value: Any) -> Any:
    """Weights may be a file: its name says enough."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
