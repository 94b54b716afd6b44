"""The command `tutelage`, also `python -m tutelage`: arguments in, exit code out."""

import contextlib
import io
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from types import FrameType


def main() -> int:
    """Run the command line; every error becomes one message and the exit code of its kind."""
    before = {number: signal.signal(number, _exit) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return _run()
    except KeyboardInterrupt:  # from a library with a handler of its own
        return 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _report_unexpected(error)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, _frame: FrameType | None) -> None:
    """Exit at once on Ctrl-C or SIGTERM; commands that train install handlers of their own.

    Nothing is raised, because an exception in the middle of an ONNX export crashes it.
    """
    os.write(2, b"stopped; files are complete or absent\n")
    os._exit(128 + number)


def _run() -> int:
    from tutelage.cli import call
    from tutelage.distributed import world_from_environment
    from tutelage.errors import MachineError, TutelageError

    world = world_from_environment()
    for stream in (sys.stdout, sys.stderr):  # names the terminal cannot show are escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not world.first:  # results are printed once
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends
    try:
        call(sys.argv[1:])
    except TutelageError as error:
        # All processes find an error in the command or the data; the first one prints it.
        if world.first or isinstance(error, MachineError):
            name = f"error in process {world.rank}" if world.size > 1 else "error"
            sys.stderr.write(f"{name}: {error}\n")
        return error.exit_code
    return 0


def _report_unexpected(error: Exception) -> int:
    """Print an unexpected error: of the machine, or a bug of ours with the place of its traceback."""
    from tutelage.storage.disk import from_os_error
    from tutelage.text import truncate

    if isinstance(error, OSError | MemoryError):
        refused = from_os_error(error)
        sys.stderr.write(f"error: {refused}\n")
        return refused.exit_code
    sys.stderr.write(
        f"internal error (please report): {type(error).__name__}: {truncate(str(error))}\n"
        f"{_save_traceback(error)}\n"
    )
    return 1


def _save_traceback(error: Exception) -> str:
    """Write the traceback here, or else to the temporary folder; return its place, or else its text.

    Always a new file: a link that somebody put in its place beforehand is not followed.
    """
    text = "".join(traceback.format_exception(error))
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            handle, name = tempfile.mkstemp(prefix=".tutelage-", dir=folder)
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            Path(name).replace(folder / "tutelage-error.txt")
            return f"  the traceback is in {folder / 'tutelage-error.txt'}"
    return text


if __name__ == "__main__":
    sys.exit(main())
