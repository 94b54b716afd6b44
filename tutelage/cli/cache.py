"""`tutelage cache`: teachers' answers that are kept for later students."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from tutelage.errors import InputError, UsageError
from tutelage.teachers.shelf import NAME, Entry, entries
from tutelage.teachers.shelf import remove as take_away
from tutelage.teachers.shelf import verify as read_all

Folder = Annotated[
    Path, Parameter(help="Where answers are kept: `teacher-cache` beside the runs' folders.")
]
SHELF = Path("runs", NAME)

app = App(name="cache", help_format="markdown")


@app.command(name="list")
def tell(*, folder: Folder = SHELF) -> str:
    """One line for each cache: name, teacher, pictures and views, answers, size, precision."""
    found = entries(folder)
    lines = [_line(entry) for entry in found]
    whole = sum(entry.bytes for entry in found)
    return "\n".join([*lines, f"{_caches(len(found))}, {_size(whole)}: {folder}"])


@app.command
def verify(*, folder: Folder = SHELF) -> str:
    """Read every answer of every cache; exit code 3 where one is no longer as it was written."""
    damaged = {name: count for name, count in read_all(folder).items() if count}
    if damaged:
        raise InputError(
            "teachers' caches are damaged",
            where=folder,
            found=", ".join(f"{count} answers of {name}" for name, count in damaged.items()),
            fix=f"tutelage cache remove {' '.join(damaged)} --folder {folder}; they are made again",
        )
    return "\n".join(
        f"{entry.name}: {entry.answers} answers are whole" for entry in entries(folder)
    )


@app.command
def remove(
    *names: str,
    all: Annotated[bool, Parameter(help="Remove every cache of the folder.")] = False,
    folder: Folder = SHELF,
) -> str:
    """Delete caches by name, or all of them. Later students ask their teacher again."""
    if bool(names) == all:
        raise UsageError(
            "which caches?" if not all else "names and --all say different things",
            expected="names, or --all",
            fix=f"tutelage cache list --folder {folder}",
        )
    # Not by `entries`, which opens every cache: one that is damaged must go, too.
    kept = sorted(path.parent.name for path in folder.glob("*/manifest.json"))
    chosen = kept if all else list(dict.fromkeys(names))
    freed = take_away(folder, chosen)
    return f"{_caches(len(chosen))} removed, {_size(freed)} freed"


def _line(entry: Entry) -> str:
    facts = entry.manifest
    return (
        f"{entry.name}  {facts['model']}, {len(facts['classes'])} classes: "
        f"{entry.pictures} pictures x {entry.views} views, {entry.answers} answers, "
        f"{_size(entry.bytes)}, {_precision(facts['precision'])}"
    )


def _caches(count: int) -> str:
    return "1 cache" if count == 1 else f"{count} caches"


def _precision(found: Any) -> str:
    name = str(found).removeprefix("torch.")
    return "float32" if name == "None" else name


def _size(count: int) -> str:
    """Bytes for a person.

    >>> _size(950), _size(1_500_000), _size(3_000_000_000)
    ('950 B', '1.5 MB', '3.0 GB')
    """
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
