"""Take a step in every process of a run: it succeeds in all of them or fails in all."""

from collections.abc import Callable

from tutelage import errors
from tutelage.distributed import World
from tutelage.errors import MachineError, TutelageError

_Failure = tuple[str, str, int]


def on_all_ranks(world: World, step: Callable[[], None]) -> None:
    """Run a step in every process, and continue when all have finished it.

    Without this, the other processes would wait forever for one that stopped with an error.

    Raises:
        TutelageError: this process's own error, or else that of the first process that has one.
    """
    failed: Exception | None = None
    try:
        step()
    except Exception as error:
        failed = error
    failures: list[_Failure | None] = world.all_gather(
        None if failed is None else _describe(failed)
    )
    if failed is not None:
        raise failed
    for failure in failures:
        if failure is not None:
            raise _rebuild(*failure)


def _describe(error: Exception) -> _Failure:
    if isinstance(error, TutelageError):
        return type(error).__name__, str(error), error.exit_code
    message = f"another process failed\n  found:    {type(error).__name__}: {error}"
    return "MachineError", message, MachineError.exit_code


def _rebuild(name: str, message: str, exit_code: int) -> TutelageError:
    error: TutelageError = getattr(errors, name, TutelageError)(message)
    error.exit_code = exit_code
    return error
