"""Help pages: two columns, no wider than 100, without torch; the same look for every verb."""

import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from tutelage.config.schema import without_none

if TYPE_CHECKING:
    from cyclopts import Argument

    from tutelage.cli.everyday import Flag
    from tutelage.cli.verbs import Verb

_VALUES = {int: "N", float: "NUMBER", bool: "", Path: "PATH"}
_ABOUT = "From a folder of images to a small, accurate network, with a verdict you can trust."
_BEGIN = """Begin with
  tutelage run sample --recipe demo
  tutelage run --help

Help of a command: tutelage COMMAND --help. Version: tutelage --version."""
WIDEST = 100
INDENT = 2
_LEFT = 34
"""Widest left column; a longer name has a line of its own."""


def width() -> int:
    """Columns of a page: those of the terminal, at most 100."""
    return min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)


def rows(pairs: Sequence[tuple[str, str]], left: int = 0) -> list[str]:
    r"""Names and what they are in two columns, the second one wrapped.

    >>> print("\n".join(rows([("run", "Train and compare."), ("show", "Print.")])))
      run   Train and compare.
      show  Print.
    """
    left = left or min(_LEFT, max(len(name) for name, _ in pairs) + INDENT)
    lines = []
    for name, text in pairs:
        first, *others = textwrap.wrap(
            text, max(20, width() - left - INDENT), break_on_hyphens=False
        ) or [""]
        pad = " " * (left + INDENT)
        if len(name) + INDENT > left:
            lines += [" " * INDENT + name, pad + first]
        else:
            lines.append((" " * INDENT + name.ljust(left) + first).rstrip())
        lines += [pad + line for line in others]
    return lines


def paragraph(text: str) -> str:
    """A text wrapped to the page; its own paragraphs stay apart."""
    parts = [" ".join(part.split()) for part in text.split("\n\n")]
    return "\n\n".join(textwrap.fill(part, width(), break_on_hyphens=False) for part in parts)


def top_page(verbs: Mapping[str, "Verb"]) -> str:
    """The help of the whole command: the verbs, by what they are for."""
    parts = ["Usage: tutelage COMMAND ...", paragraph(_ABOUT)]
    left = max(map(len, verbs)) + INDENT
    for group in dict.fromkeys(verb.group for verb in verbs.values()):
        pairs = [(name, verb.text) for name, verb in verbs.items() if verb.group == group]
        parts.append("\n".join([group, *rows(pairs, left)]))
    return "\n\n".join([*parts, _BEGIN])


def verb_page(verb: str, about: str) -> str:
    """The help of a verb that takes settings: its everyday flags, examples, and where the rest is."""
    from tutelage.cli.everyday import PAGES
    from tutelage.cli.flags import flags_of

    page, flags = PAGES[verb], flags_of(verb)

    def shown(line: "Flag") -> tuple[str, str]:
        setting = flags.setting(line.name)
        default = "" if setting is None else default_text(setting.default)
        value = line.value or "|".join(setting.choices if setting else ())
        return f"{line.name} {value}".strip(), f"{line.text}{default and f' [{default}]'}"

    groups = {title: [shown(line) for line in lines] for title, lines in page.groups.items()}
    left = max(len(name) for pairs in groups.values() for name, _ in pairs) + INDENT
    parts = [f"Usage: tutelage {verb} DATA [FLAGS]", paragraph(about)]
    for title, pairs in groups.items():
        parts.append("\n".join([*filter(None, [title]), *rows(pairs, left)]))
    examples = [" " * INDENT + command for command in page.examples]
    return "\n\n".join([*parts, "\n".join(["Examples", *examples]), page.rest])


def default_text(value: Any) -> str:
    """A default as it would be typed; empty where nothing is set.

    >>> default_text((0.8, 0.1, 0.1)), default_text(1e-3), default_text(None), default_text(False)
    ('0.8 0.1 0.1', '0.001', '', '')
    """
    if value is None or value is False or value in ((), {}):
        return ""
    if isinstance(value, tuple):
        return " ".join(map(default_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def argument_page(words: str, about: str, arguments: "Iterable[Argument]") -> str:
    """The help of a verb that takes no settings: its arguments and flags."""
    found = list(arguments)
    placed = [one for one in found if one.index is not None]
    flags = [one for one in found if one.index is None]
    left = max((len(_typed(one)) for one in found), default=0) + INDENT
    usage = [_typed(one) if one.required else f"[{_typed(one)}]" for one in placed]
    parts = [" ".join(["Usage: tutelage", words, *usage, *["[FLAGS]"] * bool(flags)])]
    parts.append(paragraph(about))
    for group in filter(None, (placed, flags)):
        parts.append("\n".join(rows([(_typed(one), _explained(one)) for one in group], left)))
    return "\n\n".join(parts)


def group_page(words: str, about: str, verbs: Mapping[str, str]) -> str:
    """The help of a verb that has verbs of its own."""
    usage = f"Usage: tutelage {words} COMMAND ..."
    more = f"Help of each: tutelage {words} COMMAND --help."
    return "\n\n".join([usage, paragraph(about), "\n".join(rows([*verbs.items()])), more])


def _typed(one: "Argument") -> str:
    kind = without_none(one.hint)
    several = " ..." if get_origin(kind) is tuple else ""
    if one.index is not None:
        return one.name.removeprefix("--").upper() + several
    kind = get_args(kind)[0] if several else kind
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    value = "|".join(choices) or _VALUES.get(kind, "TEXT")
    return f"{one.name} {value}{several}".strip()


def _explained(one: "Argument") -> str:
    default = one.field_info.default
    shown = "" if default is one.field_info.empty else default_text(default)
    return f"{one.parameter.help}{shown and f' [{shown}]'}"
