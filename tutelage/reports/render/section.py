"""A section that is one table of text: the page and the Markdown show it alike."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Section(NamedTuple):
    """A titled table with a note below it."""

    id: str
    """Anchor on the page; the page also marks each row with `data-ID`, holding the row's key."""
    title: str
    head: Sequence[str]
    align: str
    """One letter for each column: `l` for text, `r` for numbers."""
    rows: Mapping[str, Sequence[str]]
    """Key -> cells. A cell may have several lines."""
    note: str
