"""All errors for users, as one tree.

    TutelageError
    ├── UsageError      exit 2   a flag, setting, recipe or network name
    ├── InputError      exit 3   data, weights, a run folder or another input cannot be used
    ├── DivergedError   exit 4   training stopped itself: loss, gradient or weights are not finite
    ├── MachineError    exit 5   disk, memory, permission, or the installation
    └── Interrupted     exit 130 or 143, resumable

Catch `TutelageError` for all of them. Any other exception is a bug of Tutelage (exit 1).
"""

from collections.abc import Iterable
from difflib import get_close_matches

from tutelage.text import escape_lines, truncate


class TutelageError(Exception):
    """A message for a person: what is wrong, where, found, expected, and what to do.

    Only `what` is required. `str(error)` is the whole message, one line per part, safe to print whatever
    names or file contents it includes.
    """

    exit_code: int = 1

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        found: object = None,
        expected: object = None,
        fix: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.found = found
        self.expected = expected
        self.fix = fix
        parts = {
            "where": None if where is None else truncate(str(where)),
            "found": None if found is None else truncate(str(found)),
            "expected": None if expected is None else escape_lines(str(expected)),
            "try": None if fix is None else escape_lines(fix),
        }
        lines = [f"  {name + ':':<10}{part}" for name, part in parts.items() if part is not None]
        super().__init__("\n".join([escape_lines(what), *lines]))


class UsageError(TutelageError):
    """A flag, setting, recipe or name that cannot be used as given."""

    exit_code = 2


class InputError(TutelageError):
    """Data, weights, a run folder or another input that cannot be used."""

    exit_code = 3


class DivergedError(TutelageError):
    """Training stopped itself: loss, gradient or weights are not finite."""

    exit_code = 4


class MachineError(TutelageError):
    """The machine cannot do it: disk, memory, permission, or a broken installation."""

    exit_code = 5


class Interrupted(TutelageError):  # noqa: N818 - nothing went wrong
    """A person or the system asked the run to stop; the run folder can be resumed."""

    exit_code = 130


_ALL = 100
"""Most names that a message lists; more would hide what is wrong."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Suggest the nearest known name, or list the known names if none is near: all, or a few of many.

    >>> suggest("resnt18", ["resnet18", "resnet34"])
    'did you mean resnet18?'
    >>> suggest("mine", [f"resnet{depth}" for depth in range(1000)]).partition(":")[0]
    'one of 1,000, such as'
    """
    known = sorted(known)
    if near := get_close_matches(name, known, n=1, cutoff=0.6):
        return f"did you mean {near[0]}?"
    if len(known) <= _ALL:
        return "one of " + ", ".join(known)
    some = get_close_matches(name, known, n=5, cutoff=0.0)
    return f"one of {len(known):,}, such as: {', '.join(some)}"
