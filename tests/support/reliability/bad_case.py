"""One case of the catalogue of bad input: what is made, and what must come of it."""

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from support.reliability.bad_entries import ENTRIES, ROLES, TRAINING

Places = Mapping[str, Path | str]

KINDS = {
    "Q": "set aside: the file is left out, and named with the reason",
    "H": "handled: used as the rules say, and noted",
    "P": "passed over: none of ours, and counted",
    "S": "stops: exit code 130, and `tutelage resume` goes on there",
    "E": "refused: one message with the file and the remedy, exit code 2, 3 or 5",
}


class Seen(NamedTuple):
    """What must be told of one file: set aside (Q), kept (H) or passed over (P), with this word."""

    file: str
    kind: str
    says: str = ""


def nothing(_: Path) -> AbstractContextManager[None]:
    """No special surroundings."""
    return contextlib.nullcontext()


@dataclass(frozen=True)
class Case:
    """A row of the table.

    number: in the catalogue, with a letter where it has several forms; kind: of `KINDS`; role: what is
    spoilt, of `bad_entries.ROLES`; make: makes it in a folder (data: a copy of good data) and returns
    the places of the words; says: is in every message or answer; cells: entries with another kind, or
    why they do not apply; around: surroundings a call needs; alone: it cannot share a folder with others;
    more: words added to every command line.
    """

    number: str
    name: str
    kind: str
    role: str
    make: Callable[[Path, Places], Places]
    says: str = ""
    seen: tuple[Seen, ...] = ()
    cells: Mapping[str, "str | tuple[str, str]"] = field(default_factory=dict)
    around: Callable[[Path], AbstractContextManager[None]] = nothing
    alone: bool = False
    more: tuple[str, ...] = ()

    @property
    def at(self) -> int:
        """Its number in the catalogue."""
        return int(self.number.split()[0])

    def cell(self, entry: str) -> str:
        """The kind of an entry, or why it does not apply."""
        if entry in self.cells:
            found = self.cells[entry]
            return found if isinstance(found, str) else found[0]
        template = ROLES[self.role][entry]
        return template if isinstance(template, str) else self.kind

    def word(self, entry: str) -> str:
        """What must be in the message of an entry."""
        found = self.cells.get(entry, "")
        return self.says if isinstance(found, str) else found[1]

    def entries(self) -> list[str]:
        """The entries that are called."""
        return [entry for entry in ENTRIES if self.cell(entry) in KINDS]

    def quick(self) -> list[str]:
        """The entries that answer within a second: those that refuse, or neither train nor export."""
        slow = {*TRAINING, "export"}
        refused = {e for e in self.entries() if self.cell(e) == "E"}
        if self.role == "place":
            refused.discard("export")  # is only written where all went well
        return [e for e in self.entries() if e in refused or e not in slow]


def data_case(
    number: str,
    name: str,
    kind: str,
    plant: Callable[[Path], Path | str | None],
    *,
    says: str = "",
    seen: tuple[Seen, ...] = (),
    cells: Mapping[str, "str | tuple[str, str]"] | None = None,
    around: Callable[[Path], AbstractContextManager[None]] = nothing,
    alone: bool | None = None,
    more: tuple[str, ...] = (),
) -> Case:
    """A case of bad data: `plant` spoils a copy of the good data, and returns what to name instead."""

    def make(folder: Path, _places: Places) -> Places:
        return {"data": plant(folder) or folder}

    lonely = kind == "E" if alone is None else alone
    return Case(number, name, kind, "data", make, says, seen, cells or {}, around, lonely, more)
