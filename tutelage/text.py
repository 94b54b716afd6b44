r"""Escape untrusted text for terminals, messages and spreadsheets.

Names of classes, files, tensors and runs come from outside. A control character can repaint a terminal, a
direction character can show `gpj.exe` as `exe.jpg`, a leading `=` is a formula. Nothing is dropped: what
could do harm is written as an escape, so that different names stay different.
"""

import re

_UNSAFE = re.compile(
    "[\0-\x1f\x7f-\x9f"  # C0 and C1: line ends, escape sequences, the one-byte CSI
    "\u2028\u2029"  # line and paragraph separators
    "\u202a-\u202e\u2066-\u2069"  # direction overrides and isolates
    "\ud800-\udfff]"  # undecodable bytes of a file name, halves of a character
)
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20\t\r\n\0")
LONGEST = 2000
"""Characters in one part of a message; the content of a file may fill megabytes."""


def escape(text: str) -> str:
    r"""Escape invisible characters for one line of a terminal, JSON or CSV.

    >>> print(escape("caf\udce9"), escape("a\x1b[31m"), escape("exe\u202egpj"))
    caf\xe9 a\x1b[31m exe\u202egpj
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(_escape, text)


def escape_lines(text: str) -> str:
    r"""Escape each line of a text.

    >>> escape_lines("a\nb\r")
    'a\nb\\x0d'
    """
    return "\n".join(map(escape, text.split("\n")))


def truncate(text: str) -> str:
    """Escape a text and cut it to the length of a message."""
    return escape(
        text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text):,} characters)"
    )


def escape_csv(text: str) -> str:
    """Escape a CSV cell so that no spreadsheet reads it as a formula; `unescape_csv` reverses it.

    >>> escape_csv("=1+1"), unescape_csv(escape_csv("=1+1")), escape_csv(" =1"), escape_csv("cat")
    ("'=1+1", '=1+1', "' =1", 'cat')
    """
    return f"'{text}" if _is_formula(text) else text


def unescape_csv(text: str) -> str:
    """Reverse `escape_csv`."""
    return text[1:] if text.startswith("'") and _is_formula(text[1:]) else text


def _is_formula(text: str) -> bool:
    return text.startswith(("'", *_FORMULA)) or text.lstrip().startswith(_FORMULA)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # Python's form of an undecodable byte
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
