"""Whether the first line of a table is a header."""

from collections.abc import Sequence

from tutelage.data.readers.tables import words
from tutelage.data.readers.tables.delimited import looks_like_a_path
from tutelage.data.readers.tables.files import Files
from tutelage.data.readers.tables.table import Row

_KNOWN = words.PATHS | words.LABELS | words.SPLITS_STRONG | words.SPLITS_WEAK


def has_header(first: Sequence[str], rows: Sequence[Row], files: Files) -> bool:
    """Return whether a first line names columns, rather than an image.

    Args:
        first: its cells.
        rows: some of those after it.
        files: where paths lead.
    """
    if any(map(looks_like_a_path, first)):
        return False
    if any(words.squeeze(cell) in _KNOWN for cell in first):
        return True
    numbers = [cell for cell in first if cell]
    if numbers == [str(number) for number in range(len(numbers))]:  # as pandas numbers columns
        return not all(row.cells[-1:] == tuple(first[-1:]) for row in rows) and len(numbers) > 1
    if any(cell.isdecimal() for cell in first):
        return False
    return not any(files.share([cell], search=True) for cell in first)
