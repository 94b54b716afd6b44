"""From the bytes of a table to text: UTF-8, UTF-16, or Western Windows text, which is said."""

import codecs
from pathlib import Path
from typing import NamedTuple

from tutelage.errors import InputError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", ""),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)


class DecodedText(NamedTuple):
    """Text, and what is to be said about its encoding."""

    text: str
    encoding: str
    """Empty for UTF-8."""


def decode(raw: bytes, where: Path) -> DecodedText:
    """Decode the bytes of a table.

    Text that is not UTF-8 is taken for Windows-1252, the Western superset of Latin-1, and that is said: in
    such a table only letters with accents differ.

    Raises:
        InputError: it is none of them; the message names the line.
    """
    for mark, codec, name in _candidates(raw):
        try:
            text = raw.decode(codec)
        except UnicodeDecodeError as error:
            if codec == "utf-8":
                return _western(raw, error, where)
            raise _not_text(raw, error.start, where) from error
        if "\0" in text:
            raise _not_text(raw, raw.find(b"\0"), where)
        return DecodedText(text, name if mark or codec != "utf-8" else "")
    raise AssertionError("utf-8 is always a candidate")


def _candidates(raw: bytes) -> list[tuple[bytes, str, str]]:
    """Return the one encoding that the first bytes speak for: a mark, or the zeros of plain letters."""
    found = [one for one in _MARKS if raw.startswith(one[0])]
    if not found and len(raw) > 3 and raw[1:2] == raw[3:4] == b"\0" != raw[:1]:
        found = [(b"", "utf-16-le", "UTF-16 without a mark")]
    if not found and len(raw) > 3 and raw[:1] == raw[2:3] == b"\0" != raw[1:2]:
        found = [(b"", "utf-16-be", "UTF-16 without a mark")]
    return found or [(b"", "utf-8", "")]


def _western(raw: bytes, error: UnicodeDecodeError, where: Path) -> DecodedText:
    try:
        text = raw.decode("cp1252")
    except UnicodeDecodeError:
        raise _not_text(raw, error.start, where) from error
    if "\0" in text:
        raise _not_text(raw, raw.find(b"\0"), where)
    return DecodedText(text, "not UTF-8, read as Windows-1252 (Latin-1)")


def _not_text(raw: bytes, at: int, where: Path) -> InputError:
    return InputError(
        "the table is not UTF-8 text",
        where=f"{where}, line {raw.count(bytes([10]), 0, at) + 1}",
        found=f"byte {raw[at]:#04x}",
        fix="save it as UTF-8",
    )
