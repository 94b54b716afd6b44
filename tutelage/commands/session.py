"""Set up and clean up around training commands: lock the folder, open the console, handle Ctrl-C."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.commands import job_folder as folders
from tutelage.config.job import DistillConfig, TrainConfig
from tutelage.config.schema import to_table
from tutelage.distributed import World
from tutelage.engine.context import RunContext
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.signals import StopRequest, stop_requests
from tutelage.engine.trackers.open import track_report
from tutelage.errors import Interrupted, MachineError, TutelageError
from tutelage.reports.write import write_report
from tutelage.storage.atomic import expand_user
from tutelage.storage.disk import FIXES, machine_error
from tutelage.teachers.cache.folder import NAME as CACHE


def data_name(data: str | Path) -> str:
    """Name data so that another working directory finds them."""
    path = expand_user(data)
    return str(path.resolve()) if path.exists() else str(data)


class Session(NamedTuple):
    """A job at work."""

    state: folders.State
    """Whether its folder is new, to be continued, or finished."""

    context: RunContext
    """Of the whole job; its runs have contexts of their own below it."""


def close_job(context: RunContext, settings: DistillConfig | TrainConfig, *, report: bool) -> None:
    """Write the report where one is wanted, hand it to the trackers, and mark the folder as finished.

    Raises:
        Interrupted: stopped; the report is then written when the job is continued.
    """
    if report:
        with context.stop.at_once():
            page = write_report(context.folder)
            track_report(settings, context, page)
    folders.finish_job(context.folder)


def _stopped(out: Path, stop: StopRequest) -> Interrupted:
    stopped = Interrupted("stopped; nothing is lost", where=out)
    stopped.exit_code = stop.exit_code
    return stopped


def _begun(out: Path) -> bool:
    """Return whether a run has begun in the folder, or in a run folder below it."""
    return (out / "plan.json").exists() or any(out.glob("run.json")) or any(out.glob("*/run.json"))


@contextmanager
def job_session(
    out: Path,
    name: str,
    settings: DistillConfig | TrainConfig,
    facts: Mapping[str, Any],
    world: World,
    *,
    resume: bool,
    quiet: bool,
) -> Iterator[Session]:
    """Lock and claim the job's folder, open the console and handle Ctrl-C while the block runs.

    The first process does it for all.

    Raises:
        UsageError: the folder holds something else, or another process is at work there.
        MachineError: it cannot be written.
        Interrupted: stopped, with the exit code of the signal.
    """
    job: dict[str, Any] = {"settings": to_table(settings), "facts": facts, "resume": resume}
    console = Console(quiet=quiet or not world.first)
    caches = Path(settings.cache) if settings.cache else out.absolute().parent / CACHE
    with ExitStack() as stack:
        stop = stack.enter_context(stop_requests())

        def take() -> folders.State:
            # A folder of something else is not even locked; one that is at work is known by its lock.
            state = folders.inspect_folder(out, **{**job, "resume": True})
            if state == "finished":
                return state
            folders.make_job_folder(out)
            stack.enter_context(folders.job_lock(out))
            return folders.claim_folder(out, **job)

        state = world.run_on_rank0(take)
        try:
            yield Session(state, RunContext(name, out, caches, console, stop, world=world))
        except Interrupted as error:
            error.exit_code = stop.exit_code
            raise
        except KeyboardInterrupt as error:
            raise _stopped(out, stop) from error
        except OSError as error:
            if error.errno not in FIXES:
                raise
            raise machine_error(Path(error.filename or out), error) from error
        except TutelageError as error:
            if stop and world.size > 1 and isinstance(error, MachineError):
                # The other processes were stopped as well, and were faster.
                raise _stopped(out, stop) from error
            if state == "begin" and world.first and not _begun(out):
                folders.abandon_job(out)
            raise
        finally:
            console.clear()
