"""`tutelage settings`: every setting there is, explained."""

import inspect
from collections.abc import Iterable, Iterator
from typing import Annotated

from cyclopts import Parameter

from tutelage.cli.help_page import default_text, paragraph, rows
from tutelage.config.image_size import ImageSize
from tutelage.config.job import DistillConfig, TrainConfig
from tutelage.config.listing import Setting, list_settings
from tutelage.config.roles import STUDENT
from tutelage.config.schema import flag
from tutelage.errors import UsageError, suggest

ORDER = ("", "data", "teacher", "student", "methods", "losses")
"""Tables of settings, in the order in which they are listed."""

_HEAD = """Settings of `tutelage run` and `tutelage sweep`. As a flag: --student.clip-grad 1; in a recipe:
clip_grad = 1 below [student]. For `tutelage train` and `tutelage distill` those of `student` have no
prefix: --clip-grad 1. The value `none` unsets what a recipe has set."""
_FLAT = "For `tutelage train` and `tutelage distill` these have no prefix: --epochs 10."
_SINGLE = "Settings of `tutelage train` and `tutelage distill` alone"
_LEFT = 40


def settings(
    prefix: Annotated[
        str,
        Parameter(
            help="A table or a name: student, losses.kd, methods.dml, clip-grad; default: all",
            allow_leading_hyphen=True,
        ),
    ] = "",
    /,
) -> str:
    job, single = _all_settings()
    wanted = prefix.removeprefix("--").strip(".").replace("-", "_")
    found = [one for one in job if _is_below(one, wanted)]
    alone = [one for one in single if _is_below(one, wanted)]
    if not found and not alone:
        raise _no_such(prefix, [*job, *single])
    parts = [] if wanted else [paragraph(_HEAD)]
    parts += _sections(found)
    if alone:
        parts.append("\n".join([_SINGLE, *setting_rows(alone)]))
    if wanted and all(one.group == STUDENT for one in found):
        parts.append(_FLAT)
    return "\n\n".join(parts)


def setting_rows(found: Iterable[Setting], prefix: str = "") -> list[str]:
    """A line or more for each setting: its flag, what it does, its choices or range, its default."""
    return rows([(_typed(one, prefix), _explained(one)) for one in found], _LEFT)


def _all_settings() -> tuple[list[Setting], list[Setting]]:
    """Those of a job, and those that a single run has beside them."""
    job = list_settings(DistillConfig)
    single = list_settings(TrainConfig)
    alone = [one for path, one in single.items() if not {path, f"student.{path}"} & set(job)]
    return sorted(job.values(), key=lambda one: ORDER.index(one.group.partition(".")[0])), alone


def _is_below(setting: Setting, wanted: str) -> bool:
    path = setting.path
    return not wanted or wanted in (path, setting.name) or path.startswith(f"{wanted}.")


def _sections(found: Iterable[Setting]) -> Iterator[str]:
    groups: dict[str, list[Setting]] = {}
    for one in found:
        groups.setdefault(one.group, []).append(one)
    for group, members in groups.items():
        about = (inspect.getdoc(members[0].owner) or "").partition("\n\n")[0]
        name = f"{group.replace('_', '-')}: " if group else ""
        yield "\n".join([paragraph(name + about), *setting_rows(members)])


def _typed(setting: Setting, prefix: str) -> str:
    """The flag and what stands for its value."""
    if setting.name == "custom":
        return "--custom.NAME.SETTING VALUE"
    value = {int: "N", float: "NUMBER", bool: ""}.get(setting.item, "TEXT")
    value = "CHOICE" if setting.choices else value
    if setting.kind == ImageSize:
        return f"{flag(prefix + setting.path)} N [N]"
    shown = " ".join([value] * setting.size) if setting.size else f"{value} ..."
    return f"{flag(prefix + setting.path)} {shown}".strip()


def _explained(setting: Setting) -> str:
    parts = [setting.text]
    if setting.choices:
        parts.append(f"One of {', '.join(setting.choices)}.")
    if setting.bounds:
        bounds = " and ".join(f"{name} {_number(bound)}" for name, bound in setting.bounds.items())
        parts.append(f"{bounds[0].upper()}{bounds[1:]}.")
    if default := default_text(setting.default):
        parts.append(f"[{default}]")
    return " ".join(parts)


def _number(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def _no_such(prefix: str, known: Iterable[Setting]) -> UsageError:
    names = {name for one in known for name in (one.path, one.group, one.name) if name}
    names |= {name.partition(".")[0] for name in names}
    return UsageError(
        f"no such setting: {prefix}",
        expected=suggest(prefix.replace("_", "-"), [name.replace("_", "-") for name in names]),
        fix="tutelage settings",
    )
