"""Every known term by name, and how to make it from its settings. Adding one is a line here."""

from collections.abc import Callable, Mapping
from typing import Any

from tutelage.losses.label import LabelTerm
from tutelage.losses.response.kd import KDTerm
from tutelage.losses.settings import Objective
from tutelage.losses.term import Term

TERMS: Mapping[str, Callable[[Any, float], Term]] = {
    "label": lambda _settings, smoothing: LabelTerm(smoothing=smoothing),
    "kd": lambda settings, _smoothing: KDTerm(temperature=settings.temperature),
}


def make_terms(objective: Objective, *, label_smoothing: float) -> dict[str, Term]:
    """The terms an objective names, in the order of the table."""
    chosen = {name: getattr(objective.terms, name) for name in TERMS}
    return {
        name: TERMS[name](settings, label_smoothing)
        for name, settings in chosen.items()
        if settings is not None
    }
