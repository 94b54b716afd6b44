"""Settings of the objective: which losses, with which weights.

    total = (1 - alpha) * label + alpha * kd + weight * term + ...

`alpha` is always the weight of `kd`, and 1 - alpha that of `label`. The weight of any other loss is
absolute. A loss of weight 0 is not computed.
"""

from dataclasses import dataclass, field
from typing import get_args, get_type_hints

from tutelage.config.loss_schedule import WeightedLossConfig
from tutelage.config.losses import feature as feature
from tutelage.config.losses import relation as relation
from tutelage.config.losses import response as response
from tutelage.config.schema import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """One optional table for each loss."""

    label: response.LabelConfig | None = field(default_factory=response.LabelConfig)
    kd: response.KDConfig | None = field(default_factory=response.KDConfig)
    dkd: response.DKDConfig | None = None
    dist: response.DISTConfig | None = None
    nkd: response.NKDConfig | None = None
    wsld: response.WSLDConfig | None = None
    mlkd: response.MLKDConfig | None = None
    ttm: response.TTMConfig | None = None
    logit_mse: response.LogitMSEConfig | None = None
    hard_label: response.HardLabelConfig | None = None
    hint: feature.HintConfig | None = None
    at: feature.ATConfig | None = None
    nst: feature.NSTConfig | None = None
    vid: feature.VIDConfig | None = None
    ab: feature.ABConfig | None = None
    ft: feature.FTConfig | None = None
    ofd: feature.OFDConfig | None = None
    review: feature.ReviewConfig | None = None
    simkd: feature.SimKDConfig | None = None
    crd: feature.CRDConfig | None = None
    mgd: feature.MGDConfig | None = None
    srrl: feature.SRRLConfig | None = None
    kdpp: feature.KDPPConfig | None = None
    fsp: relation.FSPConfig | None = None
    rkd_distance: relation.RKDDistanceConfig | None = None
    rkd_angle: relation.RKDAngleConfig | None = None
    sp: relation.SPConfig | None = None
    cc: relation.CCConfig | None = None
    pkt: relation.PKTConfig | None = None
    icc: relation.ICCConfig | None = None
    irg: relation.IRGConfig | None = None


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What a student minimises."""

    alpha: float | None = setting(None, at_least=0, at_most=1)
    """Weight of kd; the loss of the label has 1 - alpha. 0.7 if neither it nor their weights are given."""

    losses: LossConfig = field(default_factory=LossConfig)

    # float comes first: the command line takes the first type that fits, and would round 0.5.
    custom: dict[str, dict[str, float | int | bool | str]] = field(default_factory=dict)
    """Settings of your own losses, by name: `--custom.NAME.weight 2 --plugin FILE`."""


DEFAULT_ALPHA = 0.7


def settings_classes() -> dict[str, type[WeightedLossConfig]]:
    """Return the settings class of each loss, in the order of `LossConfig`.

    >>> settings_classes()["hint"]().weight
    100.0
    """
    hints = get_type_hints(LossConfig).items()
    return {name: next(c for c in get_args(hint) if c is not type(None)) for name, hint in hints}
