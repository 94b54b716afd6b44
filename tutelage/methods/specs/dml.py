"""Deep mutual learning: networks trained side by side, each taught by all others."""

from collections.abc import Mapping

from tutelage.config.methods import MethodConfig
from tutelage.methods.spec import MethodSpec, number_peers, refuse_teacher_weights


def _peers(settings: MethodConfig, student: str) -> Mapping[str, str]:
    return number_peers(settings.methods.dml.models or (student,))


SPEC = MethodSpec(
    name="dml",
    family="online",
    line="networks side by side, each taught by all others",
    source="Zhang 2018, arXiv:1706.00384",
    builder="online.dml:build_dml",
    peers=_peers,
    refuse=refuse_teacher_weights,
)
