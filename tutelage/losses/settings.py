"""Settings of the objective: which terms, with which weights.

    total = (1 - alpha) * label + alpha * kd + weight * term + ...

`alpha` is always the weight of the *teacher's* term. It sets the weights of `label` and `kd` and
nothing else; any other term's weight is absolute. A term of weight 0 is not computed.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args, get_type_hints

from tutelage.config import setting
from tutelage.errors import UsageError
from tutelage.losses.feature import settings as feature
from tutelage.losses.own import own_settings_of
from tutelage.losses.relation import settings as relation
from tutelage.losses.response import settings as response
from tutelage.losses.weight_settings import Weighted


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """One optional table for each known term."""

    label: response.Label | None = field(default_factory=response.Label)
    kd: response.KD | None = field(default_factory=response.KD)
    dkd: response.DKD | None = None
    dist: response.DIST | None = None
    nkd: response.NKD | None = None
    wsld: response.WSLD | None = None
    mlkd: response.MLKD | None = None
    ttm: response.TTM | None = None
    logit_mse: response.LogitMSE | None = None
    hard_label: response.HardLabel | None = None
    hint: feature.Hint | None = None
    attention: feature.Attention | None = None
    nst: feature.NST | None = None
    vid: feature.VID | None = None
    ab: feature.AB | None = None
    ft: feature.FT | None = None
    ofd: feature.OFD | None = None
    review: feature.Review | None = None
    simkd: feature.SimKD | None = None
    crd: feature.CRD | None = None
    mgd: feature.MGD | None = None
    srrl: feature.SRRL | None = None
    kdpp: feature.KDPP | None = None
    fsp: relation.FSP | None = None
    rkd_distance: relation.RKDDistance | None = None
    rkd_angle: relation.RKDAngle | None = None
    similarity: relation.Similarity | None = None
    correlation: relation.Correlation | None = None
    pkt: relation.PKT | None = None
    icc: relation.ICC | None = None
    irg: relation.IRG | None = None


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a student minimises."""

    alpha: float | None = setting(None, at_least=0, at_most=1)
    """Weight of the teacher's term, 0 to 1; the labels get the rest. 0.7 where no weight is given at all."""

    terms: Terms = field(default_factory=Terms)

    # float comes first: the command line takes the first that fits, and would round 0.5 to a whole number.
    own: dict[str, dict[str, float | int | bool | str]] = field(default_factory=dict)
    """Terms of your own, by name, each with its settings: `--own.NAME.weight 2 --plugin FILE`."""


DEFAULT_ALPHA = 0.7


def settings_classes() -> dict[str, type[Weighted]]:
    """The settings class of each known term, in the order of the table.

    >>> settings_classes()["hint"]().weight
    100.0
    """
    hints = get_type_hints(Terms).items()
    return {name: next(c for c in get_args(hint) if c is not type(None)) for name, hint in hints}


def chosen(objective: Objective) -> dict[str, Weighted]:
    """The settings of every term that is there, by name, in the order of the table, the user's own last.

    Raises:
        UsageError: a term of the user's own that nobody offers, or without such a setting.
    """
    given = {f.name: getattr(objective.terms, f.name) for f in dataclasses.fields(objective.terms)}
    known = {name: settings for name, settings in given.items() if settings is not None}
    return {**known, **own_settings_of(objective.own)}


def weights(objective: Objective) -> dict[str, float]:
    """The weight of each term in the total, by name, in the order of the table; none of them is 0.

    Raises:
        UsageError: alpha together with a weight of `label` or `kd`, only one of these two weights, or no
            weight at all.
    """
    terms: Mapping[str, Any] = chosen(objective)
    pair = {name: terms[name] for name in ("label", "kd") if name in terms}
    given = {name: term.weight for name, term in pair.items() if term.weight is not None}
    if objective.alpha is not None and given:
        name, weight = next(iter(given.items()))
        raise UsageError(
            "alpha and a weight of label or kd say the same thing twice",
            found=f"alpha = {objective.alpha} and terms.{name}.weight = {weight}",
            fix=f"leave out --alpha or --terms.{name}.weight",
        )
    alpha = DEFAULT_ALPHA if objective.alpha is None else objective.alpha
    shares = {"label": 1 - alpha, "kd": alpha}
    if given and set(given) != set(pair):
        missing = next(iter(set(pair) - set(given)))
        raise UsageError(
            f"terms.{missing} has no weight",
            expected="a weight for both label and kd, or alpha alone",
            fix=f"--terms.{missing}.weight",
        )
    found = {name: given.get(name, shares.get(name, term.weight)) for name, term in terms.items()}
    counted = {name: weight for name, weight in found.items() if weight != 0}
    if not counted:
        raise UsageError("no term has a weight, so nothing would be learned", fix="--alpha 0.7")
    return counted
