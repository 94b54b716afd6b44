"""A step that every process of a world takes: it succeeds in all of them or fails in all."""

from collections.abc import Callable

from tutelage import errors
from tutelage.distributed import World
from tutelage.errors import MachineError, TutelageError

_Failure = tuple[str, str, int]


def on_all_ranks(world: World, step: Callable[[], None]) -> None:
    """Take a step in every process, and go on when all have taken theirs.

    Without this, the others would wait for ever for a process that stopped with an error.

    Raises:
        TutelageError: this process's own error, or else that of the first process which has one.
    """
    own: Exception | None = None
    try:
        step()
    except Exception as error:
        own = error
    told: list[_Failure | None] = world.everyone(None if own is None else _told(own))
    if own is not None:
        raise own
    for failure in told:
        if failure is not None:
            raise _again(*failure)


def _told(error: Exception) -> _Failure:
    if isinstance(error, TutelageError):
        return type(error).__name__, str(error), error.exit_code
    message = f"another process failed\n  found:    {type(error).__name__}: {error}"
    return "MachineError", message, MachineError.exit_code


def _again(name: str, message: str, exit_code: int) -> TutelageError:
    error: TutelageError = getattr(errors, name, TutelageError)(message)
    error.exit_code = exit_code
    return error
