"""One member of a zip or tar, and the bounds of both."""

from collections.abc import Callable
from typing import NamedTuple

MOST_MEMBERS = 2_000_000
MOST_RATIO = 200
"""How many times a member may grow."""


class Member(NamedTuple):
    """A file or folder in an archive."""

    name: str
    """With `/`; that of a folder ends with it."""
    raw_name: str
    """As it stands in the archive, for messages."""
    size: int
    """In bytes, uncompressed."""
    refusal: str | None
    """Why it is not read, or None."""
    read: Callable[[], bytes]
    """Returns its bytes; raises `Unreadable`."""
    head: Callable[[], bytes]
    """Returns its first bytes, or none if it cannot be read."""
    stamp: str
    """Changes when it does."""
