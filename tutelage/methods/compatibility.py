"""Tabulate which terms work with which methods, and why the others do not.

Built on `incompatibility`, which is also checked before each run; imports no torch.
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
"""Ways to combine several teachers; which terms can be used depends on it."""


def terms_by_kind() -> dict[str, list[str]]:
    """Group the known terms by what they compare, in the order of the table.

    >>> list(terms_by_kind())
    ['response', 'feature', 'relation']
    """
    found: dict[str, list[str]] = {}
    for term, settings in settings_classes().items():
        found.setdefault(settings.__module__.split(".")[-1], []).append(term)
    return found


def refusal_reason(method: MethodName, term: str, combine: Combine) -> str | None:
    """Return why a term cannot be used with a method, or None if it can.

    Args:
        method: name of the method.
        term: name of the term.
        combine: how several teachers are combined, for methods that have several.
    """
    return incompatibility(
        method,
        term,
        looks_inside=term in _feature_terms(),
        settings=MethodOptions(multi_teacher=MultiTeacherConfig(combine=combine)),
    )


def caveat(method: MethodName, term: str) -> str | None:
    """Return the restriction of a term with a method, or None if it works with every setting.

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
    """Return a Markdown table of terms (rows) and methods (columns), with the reasons numbered below."""
    head, rows, reasons = ["kind", "loss", *methods], [], list[str]()
    for kind, terms in terms_by_kind().items():
        for term in terms:
            cells = [_cell(caveat(method, term), reasons) for method in methods]
            rows.append([kind, term.replace("_", "-"), *cells])
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [_line(row, widths) for row in (head, ["-" * width for width in widths], *rows)]
    notes = [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join([*lines, *([""] if notes else []), *notes])


@cache
def _feature_terms() -> frozenset[str]:
    return frozenset(
        n for n, cls in settings_classes().items() if issubclass(cls, FeatureLossConfig)
    )


def _cell(reason: str | None, reasons: list[str]) -> str:
    """Return "yes" or the number of the reason, which is added to `reasons` if new."""
    if reason is None:
        return "yes"
    if reason not in reasons:
        reasons.append(reason)
    return str(reasons.index(reason) + 1)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return f"| {' | '.join(cell.ljust(w) for cell, w in zip(cells, widths, strict=True))} |"
