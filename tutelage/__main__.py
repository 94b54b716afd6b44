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
    from tutelage.errors import TutelageError

    try:
        call(sys.argv[1:])
    except TutelageError as error:
        sys.stderr.write(f"error: {error}\n")
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
