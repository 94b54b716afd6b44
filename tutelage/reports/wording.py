"""Format numbers and names as text: units, rounding, and what is unsafe to print."""

import math
import re
import unicodedata

from tutelage.config.roles import EQUAL_COMPUTE, PEER_CONTROL, Role
from tutelage.text import escape_csv

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_MARKDOWN = re.compile(r"([\\`*_\[\]|#~!])")
_ROLES = {EQUAL_COMPUTE: "control, equal compute", PEER_CONTROL: "peer, trained alone"}
NONE = "\u2013"


def plain(text: str) -> str:
    r"""Remove terminal escapes, control and direction characters from a name; line ends become spaces.

    >>> plain("a\nb\x1b[31mred\x1b[0m")
    'a bred'
    """
    kept = []
    for character in _ANSI.sub("", text):
        category = unicodedata.category(character)
        if character in "\n\r\t\u2028\u2029":
            kept.append(" ")
        elif category == "Cs":
            kept.append("\ufffd")
        elif (
            category != "Cc"
            and not "\u202a" <= character <= "\u202e"
            and not ("\u2066" <= character <= "\u2069")
        ):
            kept.append(character)
    return "".join(kept)


def short(text: str, length: int = 40) -> str:
    """Cut a name to a length, with an ellipsis.

    >>> short("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= length else text[: length - 1] + "…"


def role_label(role: Role) -> str:
    """Return a role as the heading of a column or row.

    >>> role_label("control-equal-compute"), role_label("student")
    ('Control, equal compute', 'Student')
    """
    return _ROLES.get(role, role).capitalize()


def markdown_cell(text: str) -> str:
    """Escape a name as literal Markdown text, safe in a table and when rendered as HTML."""
    escaped = _MARKDOWN.sub(r"\\\1", plain(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def csv_cell(text: str) -> str:
    """Escape a cell that a spreadsheet would read as a formula.

    >>> csv_cell("=1+1")
    "'=1+1"
    """
    return escape_csv(plain(text))


def percent(share: float | None, decimals: int = 1) -> str:
    """Format a share in 0..1 as per cent, without the sign.

    >>> percent(0.8954)
    '89.5'
    """
    return NONE if share is None else number(100 * share, decimals)


def points(share: float | None, decimals: int = 1) -> str:
    """Format a difference of shares in percentage points, always signed.

    >>> points(0.031)
    '+3.1'
    """
    if share is None or not math.isfinite(share):
        return NONE
    text = f"{100 * share:+.{decimals}f}"
    return text.replace("-", "+") if float(text) == 0 else text


def number(value: float | None, decimals: int) -> str:
    """Format a number with fixed decimals and thousands separators; a dash if there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:,.{decimals}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text


def spell_duration(seconds: float | None) -> str:
    """Format seconds for a person.

    >>> spell_duration(3725.0)
    '1 h 2 min'
    """
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60)} s"
    return f"{minutes // 60} h {minutes % 60} min"


def count_of(number_of: int, noun: str) -> str:
    """Format a count with its noun.

    >>> count_of(1, "seed"), count_of(2600, "image")
    ('1 seed', '2,600 images')
    """
    return f"{number_of:,} {noun}" + ("" if number_of == 1 else "s")
