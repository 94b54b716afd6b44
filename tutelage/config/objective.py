"""Settings of the objective: which terms, with which weights.

    total = (1 - alpha) * label + alpha * kd + weight * term + ...

`alpha` is always the weight of the *teacher's* term. It sets the weights of `label` and `kd` and
nothing else; any other term's weight is absolute. A term of weight 0 is not computed.
"""

from dataclasses import dataclass, field
from typing import get_args, get_type_hints

from tutelage.config.loss_schedule import Weighted
from tutelage.config.losses import feature as feature
from tutelage.config.losses import relation as relation
from tutelage.config.losses import response as response
from tutelage.config.schema import setting


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
