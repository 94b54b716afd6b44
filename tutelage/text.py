r"""Text from strangers where people read it: a terminal, a message, a spreadsheet.

Names of classes, files, tensors and runs come from outside. A control character in one can repaint a
terminal, a direction character can show `gpj.exe` as `exe.jpg`, a leading `=` is a formula. Nothing is
dropped: what could do harm is written as an escape, so that two names never become one.
"""

import re

_UNSEEN = re.compile(
    "[\0-\x1f\x7f-\x9f"  # C0 and C1: line ends, escape sequences, the one-byte CSI
    "\u2028\u2029"  # line and paragraph separators
    "\u202a-\u202e\u2066-\u2069"  # direction overrides and isolates
    "\ud800-\udfff]"  # bytes of a file name that are no text, halves of a character
)
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20\t\r\n\0")
LONGEST = 2000
"""Characters of one part of a message; what a file says may fill megabytes."""


def escape(text: str) -> str:
    r"""Text on one line of a terminal, in JSON or CSV, with what cannot be seen as an escape.

    >>> print(escape("caf\udce9"), escape("a\x1b[31m"), escape("exe\u202egpj"))
    caf\xe9 a\x1b[31m exe\u202egpj
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSEEN.sub(_escape, text)


def escape_lines(text: str) -> str:
    r"""Text of several lines, each of them as `escape`.

    >>> escape_lines("a\nb\r")
    'a\nb\\x0d'
    """
    return "\n".join(map(escape, text.split("\n")))


def truncate(text: str) -> str:
    """As `escape`, cut where it is longer than a message can bear."""
    return escape(
        text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text):,} characters)"
    )


def escape_csv(text: str) -> str:
    """Text for a CSV cell that no spreadsheet takes for a formula; `unescape_csv` is its inverse.

    >>> escape_csv("=1+1"), unescape_csv(escape_csv("=1+1")), escape_csv(" =1"), escape_csv("cat")
    ("'=1+1", '=1+1', "' =1", 'cat')
    """
    return f"'{text}" if _is_formula(text) else text


def unescape_csv(text: str) -> str:
    """The text that `escape_csv` was given."""
    return text[1:] if text.startswith("'") and _is_formula(text[1:]) else text


def _is_formula(text: str) -> bool:
    return text.startswith(("'", *_FORMULA)) or text.lstrip().startswith(_FORMULA)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is no text
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
