"""Settings of the objective: which terms, with which weights.

    total = (1 - alpha) * label + alpha * kd,   kd = T^2 * KL(teacher || student)

`alpha` is always the weight of the *teacher's* term. It sets the weights of `label` and `kd` and
nothing else; any other term's weight is absolute.
"""

from dataclasses import dataclass, field

from tutelage.config import setting
from tutelage.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Cross-entropy with the label."""

    weight: float | None = setting(None, at_least=0)
    """Weight in the total; unset: 1 - alpha."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KD:
    """Hinton's term: T^2 * KL(teacher || student) of softened probabilities."""

    weight: float | None = setting(None, at_least=0)
    """Weight in the total; unset: alpha."""

    temperature: float = setting(4.0, above=0, at_most=1000)
    """T: divides both networks' logits before the softmax."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """One optional table for each known term."""

    label: Label | None = field(default_factory=Label)
    kd: KD | None = field(default_factory=KD)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a student minimises."""

    alpha: float | None = setting(None, at_least=0, at_most=1)
    """Weight of the teacher's term, 0 to 1; the labels get the rest. 0.7 where no weight is given at all."""

    terms: Terms = field(default_factory=Terms)


DEFAULT_ALPHA = 0.7


def weights(objective: Objective) -> dict[str, float]:
    """The weight of each term in the total, by name, in the order of the table.

    Raises:
        UsageError: alpha together with a weight of `label` or `kd`, or only one of these two weights.
    """
    terms = {"label": objective.terms.label, "kd": objective.terms.kd}
    given = {name: term.weight for name, term in terms.items() if term and term.weight is not None}
    if objective.alpha is not None and given:
        name, weight = next(iter(given.items()))
        raise UsageError(
            "alpha and a weight of label or kd say the same thing twice",
            found=f"alpha = {objective.alpha} and terms.{name}.weight = {weight}",
            fix=f"leave out --alpha or --terms.{name}.weight",
        )
    alpha = DEFAULT_ALPHA if objective.alpha is None else objective.alpha
    shares = {"label": 1 - alpha, "kd": alpha}
    present = {name: term for name, term in terms.items() if term is not None}
    if given and set(given) != set(present):
        missing = next(iter(set(present) - set(given)))
        raise UsageError(
            f"terms.{missing} has no weight",
            expected="a weight for both label and kd, or alpha alone",
            fix=f"--terms.{missing}.weight",
        )
    return {name: given.get(name, shares[name]) for name in present}
