"""Online ensembles (ONE, KDCL): networks trained side by side, taught by their combined output."""

from collections.abc import Mapping

from tutelage.config.methods import MethodConfig
from tutelage.methods.spec import MethodSpec, number_peers


def _peers(settings: MethodConfig, student: str) -> Mapping[str, str]:
    return number_peers(settings.methods.one.models or (student, student))


SPEC = MethodSpec(
    name="one",
    family="online",
    line="networks side by side, taught by their combined output",
    source="Lan 2018, arXiv:1806.04606; Guo 2020 (KDCL)",
    builder="online.one_kdcl:build_one_kdcl",
    peers=_peers,
    signal=lambda _options: "logits",
    signal_name="the combined output of several networks",
)
