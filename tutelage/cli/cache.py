"""`tutelage cache`: teacher outputs that are kept for later students."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from tutelage.errors import InputError, UsageError

Folder = Annotated[
    Path, Parameter(help="Folder of the caches: `teacher-cache` beside the run folders")
]
CACHES = Path("runs", "teacher-cache")

app = App(name="cache", default_parameter=Parameter(negative=""))


@app.command(name="list")
def list_caches(*, folder: Folder = CACHES) -> str:
    """List the caches: name, teacher, images and views, outputs, size, precision."""
    from tutelage.teachers.cache.folder import cache_names, cache_size

    found = cache_names(folder)
    whole = sum(cache_size(folder / name) for name in found)
    lines = [_line(folder / name) for name in found]
    return "\n".join([*lines, f"{_caches(len(found))}, {_size(whole)}: {folder}"])


@app.command
def verify(*, folder: Folder = CACHES) -> str:
    """Read every output of every cache and name the damaged caches; exit code 3 if there is any."""
    from tutelage.teachers.cache.folder import cache_entry
    from tutelage.teachers.cache.folder import verify_cache as read_all

    found = read_all(folder)
    if bad := {name: wrong for name, wrong in found.items() if wrong}:
        raise InputError(
            "teachers' caches are damaged",
            where=folder,
            found="; ".join(f"{name}: {wrong}" for name, wrong in bad.items()),
            fix=f"tutelage cache remove {' '.join(bad)} --folder {folder}; they are made again",
        )
    return "\n".join(
        f"{name}: {cache_entry(folder / name).answers} outputs are whole" for name in found
    )


@app.command
def remove(
    *wanted: Annotated[str, Parameter(help="Names of caches, as `list` prints them")],
    all: Annotated[bool, Parameter(help="Remove every cache of the folder")] = False,
    folder: Folder = CACHES,
) -> str:
    """Delete caches by name, or all of them; they are computed again when a student needs them."""
    from tutelage.teachers.cache.folder import cache_names
    from tutelage.teachers.cache.folder import remove_cache as take_away

    if bool(wanted) == all:
        raise UsageError(
            "which caches?" if not all else "names and --all say different things",
            expected="names, or --all",
            fix=f"tutelage cache list --folder {folder}",
        )
    chosen = cache_names(folder) if all else list(dict.fromkeys(wanted))
    freed = take_away(folder, chosen)
    return f"{_caches(len(chosen))} removed, {_size(freed)} freed"


def _line(folder: Path) -> str:
    from tutelage.teachers.cache.folder import cache_entry

    try:
        found = cache_entry(folder)
    except InputError as error:
        return f"{folder.name}  {error.what}"
    facts = found.manifest
    return (
        f"{found.name}  {facts['model']}, {len(facts['classes'])} classes: {found.images} images "
        f"x {found.views} {'view' if found.views == 1 else 'views'}, {found.answers} outputs, "
        f"{_size(found.bytes)}, {_precision(facts['precision'])}"
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
    for unit, one in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= one:
            return f"{count / one:.1f} {unit}"
    return f"{count} B"
