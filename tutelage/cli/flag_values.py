"""The words after a flag as the value of its setting."""

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, get_args, get_origin

from tutelage.config.image_size import ImageSize, image_size
from tutelage.config.listing import Setting
from tutelage.config.schema import check_range, convert
from tutelage.errors import UsageError

_SWITCH = {"true": True, "false": False}


def read_setting(setting: Setting, name: str, texts: Sequence[str]) -> Any:
    """A flag's value, of the type and in the range of its setting; None: `none`, to unset it.

    Args:
        setting: what the flag sets.
        name: the flag as it was typed, for the error.
        texts: the words after it.

    Raises:
        UsageError: too few words, or a value that the setting cannot have.
    """
    if setting.kind is bool and not texts:
        return True
    if setting.kind == ImageSize:
        return _read_size(setting, name, texts)
    if not texts or setting.size not in (None, len(texts)):
        wanted = "a value" if setting.size in (1, None) else f"{setting.size} values"
        raise _misfit(f"{name} needs {wanted}", " ".join(texts), setting)
    if setting.optional and setting.kind is not str and texts[0].lower() == "none":
        return None
    values = [_read(setting, name, text) for text in texts]
    if setting.item in (int, float):
        for value in values:
            check_range(name.removeprefix("--"), value, setting.bounds)
    return convert(setting.kind, values[0] if setting.item is setting.kind else values, None, name)


def _read_size(setting: Setting, name: str, texts: Sequence[str]) -> Any:
    """One number, or two: `64 128` or `64x128`."""
    sides = [side for text in texts for side in text.lower().split("x")]
    if setting.optional and sides == ["none"]:
        return None
    if len(sides) not in (1, 2):
        raise _misfit(f"{name} needs a number, or height and width", " ".join(texts), setting)
    values = [_read(setting, name, side) for side in sides]
    for value in values:
        check_range(name.removeprefix("--"), value, setting.bounds)
    return image_size(values)


def read_one(name: str, texts: Sequence[str]) -> str:
    """The one word after a flag."""
    if len(texts) != 1:
        found = " ".join(texts) or "nothing"
        raise UsageError(f"{name} needs a value", found=found, fix=f"{name} VALUE")
    return texts[0]


def read_custom(name: str, texts: Sequence[str]) -> tuple[str, Any]:
    """The path and the value of `--custom.NAME.SETTING VALUE`: a number, true, false or text."""
    path = name.removeprefix("--").replace("-", "_")
    if path.count(".") != 2 or "" in path.split("."):
        raise UsageError(f"no such flag: {name}", expected="--custom.NAME.SETTING VALUE")
    text = read_one(name, texts)
    with suppress(ValueError):
        return path, float(text)
    return path, _SWITCH.get(text, text)


def _read(setting: Setting, name: str, text: str) -> Any:
    kind = setting.item
    if kind is int:
        if not re.fullmatch(r"[+-]?[0-9]{1,400}", text):
            raise _misfit(f"{name} needs a whole number", text, setting)
        return int(text)
    if kind is float:
        try:
            return float(text)
        except ValueError:
            raise _misfit(f"{name} needs a number", text, setting) from None
    if kind is bool:
        if text not in _SWITCH:
            raise UsageError(f"{name} is a switch", found=text, expected="true or false")
        return _SWITCH[text]
    if get_origin(kind) is Literal:  # of numbers, too
        return next((choice for choice in get_args(kind) if str(choice) == text), text)
    return text


def _misfit(what: str, found: str, setting: Setting) -> UsageError:
    fix = f"tutelage settings {setting.path.replace('_', '-')}"
    return UsageError(what, found=found or "nothing", fix=fix)
