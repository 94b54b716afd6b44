"""Every term under every method, as a table: which pairs can be used, and why the others cannot.

It is made of `incompatibility`, which refuses before a run begins; no torch is imported from here either.
"""

from collections.abc import Sequence
from functools import cache
from typing import Literal, get_args, get_type_hints

from tutelage.config.loss_schedule import FeatureLossConfig
from tutelage.config.methods import MethodName, MethodOptions, MultiTeacherConfig
from tutelage.config.objective import settings_classes
from tutelage.methods.registry import METHODS, incompatibility

Combine = Literal["probabilities", "logits", "divergences"]

WAYS: tuple[Combine, ...] = get_args(get_type_hints(MultiTeacherConfig)["combine"])
"""How several teachers are made one word: the setting on which what a method hears depends."""


def terms_by_kind() -> dict[str, list[str]]:
    """The known terms, by what they look at, in the order of the table.

    >>> list(terms_by_kind())
    ['response', 'feature', 'relation']
    """
    found: dict[str, list[str]] = {}
    for term, settings in settings_classes().items():
        found.setdefault(settings.__module__.split(".")[-1], []).append(term)
    return found


def refusal_reason(method: MethodName, term: str, combine: Combine) -> str | None:
    """Why a term cannot be used under a method; None where it can.

    Args:
        method: who teaches.
        term: by name.
        combine: how several teachers are made one word, where the method has several.
    """
    return incompatibility(
        method,
        term,
        looks_inside=term in _looking_inside(),
        settings=MethodOptions(multi_teacher=MultiTeacherConfig(combine=combine)),
    )


def caveat(method: MethodName, term: str) -> str | None:
    """What a table says against a term under a method; None where it can be used whatever the settings.

    >>> caveat("offline", "hint")
    >>> caveat("multi-teacher", "hint")
    'only with methods.multi_teacher.combine = "divergences"'
    """
    found = {way: refusal_reason(method, term, way) for way in WAYS}
    fits = [f'"{way}"' for way, reason in found.items() if reason is None]
    if fits and len(fits) < len(WAYS):
        return f"only with methods.multi_teacher.combine = {' or '.join(fits)}"
    return found[WAYS[0]]


def compatibility_table(methods: Sequence[MethodName] = tuple(METHODS)) -> str:
    """Markdown: a row for each term, a column for each method, and below them the reasons, each once."""
    head, rows, reasons = ["kind", "term", *methods], [], list[str]()
    for kind, terms in terms_by_kind().items():
        for term in terms:
            cells = [_cell(caveat(method, term), reasons) for method in methods]
            rows.append([kind, term.replace("_", "-"), *cells])
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [_line(row, widths) for row in (head, ["-" * width for width in widths], *rows)]
    notes = [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join([*lines, *([""] if notes else []), *notes])


@cache
def _looking_inside() -> frozenset[str]:
    return frozenset(
        n for n, cls in settings_classes().items() if issubclass(cls, FeatureLossConfig)
    )


def _cell(reason: str | None, reasons: list[str]) -> str:
    """Its number among the reasons so far, to which a new one is added."""
    if reason is None:
        return "yes"
    if reason not in reasons:
        reasons.append(reason)
    return str(reasons.index(reason) + 1)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return f"| {' | '.join(cell.ljust(w) for cell, w in zip(cells, widths, strict=True))} |"
