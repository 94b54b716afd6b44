"""`python -m tutelage`, and the command `tutelage`: arguments in, exit code out."""

import os
import sys
import traceback
from pathlib import Path


def main() -> int:
    """Run the command line; every failure ends in one message and the exit code of its kind."""
    try:
        from tutelage.cli import call
    except ImportError as error:  # the library works without the command line's packages
        sys.stderr.write(
            f"error: the command line needs {error.name}\n  try:      pip install {error.name}\n"
        )
        return 5
    from tutelage.errors import MachineError, TutelageError
    from tutelage.world import from_environment

    world = from_environment()
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
    except KeyboardInterrupt:
        sys.stderr.write("stopped at once\n")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        log = Path("tutelage-error.txt").absolute()
        log.write_text(traceback.format_exc())
        sys.stderr.write(
            f"error: our own fault: {type(error).__name__}: {error}\n  the traceback is in {log}\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
