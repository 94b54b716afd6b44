"""What a payload is: files that mean harm, and the call of ours that somebody would make on them."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

Action = Callable[[], Any]
Build = Callable[[Path, Path], Action]
"""Fills a folder; the code in it, if it ever runs, makes the marker. Returns what is then done with it."""
Ends = Literal["refused", "set aside", "harmless"]
"""By a TutelageError; by a list of (file, reason) that is not empty; without a word, and without harm."""


class Payload(NamedTuple):
    """build: see `Build`; ends: how it must end."""

    build: Build
    ends: Ends


PAYLOADS: dict[str, Payload] = {}


def payload(name: str, ends: Ends = "refused") -> Callable[[Build], Build]:
    """Put a payload on the list."""

    def add(build: Build) -> Build:
        assert name not in PAYLOADS
        PAYLOADS[name] = Payload(build, ends)
        return build

    return add


def sealed(content: Any) -> bytes:
    """A table with a good seal, which a stranger can compute as well as we can; or any text, sealed."""
    text = content if isinstance(content, str) else json.dumps(content, indent=1)
    body = text.encode("utf-8", "surrogatepass").removesuffix(b"\n}")
    return body + b',\n "seal": "' + hashlib.sha256(body).hexdigest().encode() + b'"\n}\n'


class Code:
    """An object whose pickle makes the marker when it is loaded by a reader that runs code."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


class Calls:
    """An object whose pickle calls any function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call
