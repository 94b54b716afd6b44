"""What every verb that trains does around its work: a folder, a screen, ears for Ctrl-C, a tidy end."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.commands import job_folder as folders
from tutelage.config.job import DistillConfig, TrainConfig
from tutelage.config.schema import to_table
from tutelage.data.readers.open import require_data
from tutelage.distributed import World
from tutelage.engine.run import Place
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.signals import StopRequest, stop_requests
from tutelage.errors import Interrupted, MachineError, TutelageError
from tutelage.reports.write import write_report
from tutelage.storage.atomic import expand_user
from tutelage.storage.disk import FIXES, machine_error
from tutelage.teachers.cache.folder import NAME as CACHE


def data_name(data: str | Path) -> str:
    """Data as another working directory would find them."""
    path = expand_user(data)
    return str(path.resolve()) if path.exists() else str(data)


def require_data_or_job(data: str | Path, out: Path) -> None:
    """Refuse data that are nowhere before anything takes long; a job that is finished needs them no more.

    Raises:
        InputError: they are not there, and the job has no folder yet.
    """
    if not out.exists():
        require_data(data)


class Session(NamedTuple):
    """A job at work: whether its folder is new, a screen, ears for Ctrl-C, and with whom."""

    state: folders.State
    screen: Console
    stop: StopRequest
    world: World


def run_place(settings: DistillConfig | TrainConfig, name: str, out: Path, work: Session) -> Place:
    """Where a run or a job lives, and its surroundings."""
    caches = Path(settings.cache) if settings.cache else out.absolute().parent / CACHE
    return Place(name, out, caches, work.screen, work.stop, world=work.world)


def close_job(out: Path, stop: StopRequest, *, report: bool) -> None:
    """Write the report where one is wanted, and mark the folder as finished.

    Raises:
        Interrupted: asked to stop; the report is then written when the job is continued.
    """
    if report:
        with stop.at_once():
            write_report(out)
    folders.finish_job(out)


def _stopped(out: Path, stop: StopRequest) -> Interrupted:
    stopped = Interrupted("stopped; nothing is lost", where=out)
    stopped.exit_code = stop.exit_code
    return stopped


def _begun(out: Path) -> bool:
    """Whether a run has begun in the folder, or in one of those below it that a job and a sweep make."""
    return (out / "plan.json").exists() or any(out.glob("run.json")) or any(out.glob("*/run.json"))


@contextmanager
def job_session(
    out: Path,
    settings: DistillConfig | TrainConfig,
    facts: Mapping[str, Any],
    world: World,
    *,
    resume: bool,
    quiet: bool,
) -> Iterator[Session]:
    """The folder locked and claimed, a screen, and ears for Ctrl-C; the first process does it for all.

    Raises:
        UsageError: the folder holds something else, or another process is at work there.
        MachineError: it cannot be written.
        Interrupted: asked to stop, with the exit code of the signal.
    """
    job: dict[str, Any] = {"settings": to_table(settings), "facts": facts, "resume": resume}
    screen = Console(quiet=quiet or not world.first)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_requests())

        def take() -> folders.State:
            # A folder of something else is not even locked; of one that is at work, its lock says so.
            state = folders.inspect_folder(out, **{**job, "resume": True})
            if state == "finished":
                return state
            folders.make_job_folder(out)
            stack.enter_context(folders.job_lock(out))
            return folders.claim_folder(out, **job)

        state = world.first_does(take)
        try:
            yield Session(state, screen, stop, world)
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
                # The others, asked to stop as well, were faster.
                raise _stopped(out, stop) from error
            if state == "begin" and world.first and not _begun(out):
                folders.abandon_job(out)
            raise
        finally:
            screen.clear()
