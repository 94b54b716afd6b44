"""Seeded damage: bytes of a good file changed in the ways that have broken parsers."""

import copy
import json
import random
import re
from collections.abc import Sequence
from typing import Any

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_ODD = [
    0,
    1,
    -1,
    7,
    255,
    256,
    2**15,
    2**31 - 1,
    2**31,
    2**32,
    2**53,
    2**63,
    -(2**63),
    10**20,
    10**31,
]
_ODD_VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**20,
    1.5,
    -0.0,
    1e308,
    "",
    "x",
    "../x",
    "/etc/passwd",
    "a\0b",
    "\x1b[2J",
    "\u202e",
    "\ud83d",
    "-1",
    "nan",
    [],
    {},
    [[]],
    [None],
    {"": {}},
    "0" * 300,
    [0] * 300,
    "é",
    "=1+1",
]


def mutated(
    good: bytes, others: Sequence[bytes], tokens: Sequence[bytes], dice: random.Random
) -> bytes:
    """One to four changes of a file: bits, bytes, ranges, numbers, words of its language, parts of others."""
    raw = bytearray(good)
    for _ in range(1 << dice.randrange(3)):
        at = dice.randrange(len(raw) + 1)
        length = 1 << dice.randrange(8)
        match dice.randrange(10):
            case 0 | 1 if raw:
                raw[at % len(raw)] ^= 1 << dice.randrange(8)
            case 2 if raw:
                raw[at % len(raw)] = dice.choice(b"\0\x01\x7f\x80\xff\n \"'{}[],:.=-/\\")
            case 3:
                del raw[at : at + length]
            case 4:
                raw[at:at] = raw[at : at + length] * dice.choice((1, 1, 2, 50))
            case 5 | 6:
                raw[at:at] = dice.choice(tokens)
            case 7:
                found = list(_NUMBER.finditer(raw, max(0, at - 200), at + 200))
                if found:
                    number = dice.choice(found)
                    raw[number.start() : number.end()] = str(dice.choice(_ODD)).encode()
            case 8:
                other = dice.choice(others)
                start = dice.randrange(len(other) + 1)
                raw[at : at + length] = other[start : start + length]
            case _ if dice.random() < 0.2:
                del raw[at:]
            case _:
                width = dice.choice((1, 2, 4, 8))
                number = dice.choice(_ODD) % (1 << (8 * width))
                raw[at : at + width] = number.to_bytes(width, dice.choice(("little", "big")))
    return bytes(raw)


def reshaped(good: Any, dice: random.Random) -> Any:
    """A table of JSON values in which one to four of them, wherever they stand, are another."""
    table = json.loads(json.dumps(good))
    for _ in range(1 << dice.randrange(3)):
        place = table
        while True:
            keys = list(place) if isinstance(place, dict) else range(len(place))
            if not keys:
                break
            key = dice.choice(keys)
            inner = place[key]
            if isinstance(inner, dict | list) and inner and dice.random() < 0.7:
                place = inner
                continue
            match dice.randrange(5):
                case 0:
                    del place[key]
                case 1 if isinstance(place, dict):
                    place[str(dice.choice(_ODD_VALUES))] = place.pop(key)
                case 1 | 2:
                    place[key] = [inner, inner]
                case _:
                    place[key] = copy.deepcopy(dice.choice(_ODD_VALUES))
            break
    return table
