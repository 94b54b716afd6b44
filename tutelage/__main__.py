"""`python -m tutelage`, and the command `tutelage`: arguments in, exit code out."""

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
    """Run the command line; every failure ends in one message and the exit code of its kind."""
    before = {number: signal.signal(number, _leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return _answer()
    except KeyboardInterrupt:  # in a library that listens for itself
        return 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _failed(error)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _frame: FrameType | None) -> None:
    """End at once after Ctrl-C or SIGTERM; verbs that train listen for themselves meanwhile.

    Nothing is raised: an exception that comes out of nowhere ends an export to ONNX in a crash.
    """
    os.write(2, b"stopped; files are whole or absent\n")
    os._exit(128 + number)


def _answer() -> int:
    try:
        from tutelage.cli import call
    except ImportError as error:  # the library works without the command line's packages
        sys.stderr.write(
            f"error: the command line needs {error.name}\n  try:      pip install {error.name}\n"
        )
        return 5
    from tutelage.distributed import world_from_environment
    from tutelage.errors import MachineError, TutelageError

    world = world_from_environment()
    for stream in (sys.stdout, sys.stderr):  # a name the terminal cannot show is shown escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not world.first:  # results are told once
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends
    try:
        call(sys.argv[1:])
    except TutelageError as error:
        # What is wrong with the command or the data, all processes find and the first one tells.
        if world.first or isinstance(error, MachineError):
            name = f"error in process {world.rank}" if world.size > 1 else "error"
            sys.stderr.write(f"{name}: {error}\n")
        return error.exit_code
    return 0


def _failed(error: Exception) -> int:
    """Tell an error that nobody foresaw: the machine's, or our own fault."""
    from tutelage.storage.disk import from_os_error
    from tutelage.text import truncate

    if isinstance(error, OSError | MemoryError):
        refused = from_os_error(error)
        sys.stderr.write(f"error: {refused}\n")
        return refused.exit_code
    sys.stderr.write(
        f"error: our own fault: {type(error).__name__}: {truncate(str(error))}\n{_kept(error)}\n"
    )
    return 1


def _kept(error: Exception) -> str:
    """Where the traceback is written: here, else among temporary files, else nowhere but the screen.

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
