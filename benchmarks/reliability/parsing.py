"""What a parser is to the fuzzing: good files, a way to damage them, and what reads them.

A seal and the checksums in a table are made again after most changes: a stranger can do that too, and what
is behind a checksum would otherwise never be reached.
"""

import hashlib
import io
import json
import random
from collections.abc import Callable
from typing import NamedTuple

from mutate import mutated, reshaped
from PIL import Image

from tutelage.errors import TutelageError

WORDS = [
    b'"',
    b"'",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"NaN",
    b"\\u0000",
    b"\\ud800",
    b"../",
    b"/",
    b"\0",
    b"\xff",
    b"\n",
    b'"format"',
    b'"files"',
    b'"folder"',
    b'"shapes"',
    b"\xef\xbb\xbf",
]

Parse = Callable[[bytes], object]


class Parser(NamedTuple):
    """name; corpus: good inputs; change: one of them, damaged; parse: what reads it."""

    name: str
    corpus: list[bytes]
    change: Callable[[bytes, random.Random], bytes]
    parse: Parse


def refuses(parse: Parse, raw: bytes) -> bool:
    """Whether an input is refused with a message of ours; any other error comes through."""
    try:
        parse(raw)
    except TutelageError:
        return True
    return False


def plainly(corpus: list[bytes], words: list[bytes]) -> Callable[[bytes, random.Random], bytes]:
    """Changes of bytes alone."""
    return lambda good, dice: mutated(good, corpus, words, dice)


def tabled(corpus: list[bytes]) -> Callable[[bytes, random.Random], bytes]:
    """Changes of values in JSON, and of bytes; the seal of most is made again."""

    def change(good: bytes, dice: random.Random) -> bytes:
        if dice.random() < 0.5:
            content = reshaped(json.loads(good), dice)
            text = json.dumps(content, indent=1).encode("utf-8", "surrogatepass")
            return resealed(text) if isinstance(content, dict) and content else text
        raw = mutated(good, corpus, WORDS, dice)
        return resealed(raw) if dice.random() < 0.8 else raw

    return change


def resealed(text: bytes) -> bytes:
    """Bytes with the seal that fits them, whatever they are."""
    body = text.partition(b',\n "seal"')[0].removesuffix(b"}").removesuffix(b"\n")
    return body + b',\n "seal": "' + hashlib.sha256(body).hexdigest().encode() + b'"\n}\n'


def image(shade: int) -> bytes:
    """A small PNG of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9), (shade, 0, 99)).save(buffer, "PNG")
    return buffer.getvalue()
