"""Mean teacher: a moving average of the network."""

from fractions import Fraction

from tutelage.methods.spec import MethodSpec, refuse_teacher_weights

SPEC = MethodSpec(
    name="mean-teacher",
    family="self",
    line="a moving average of the network",
    source="Tarvainen 2017, arXiv:1703.01780",
    builder="self.mean_teacher:build_mean_teacher",
    refuse=refuse_teacher_weights,
    step_cost=lambda _options: Fraction(4, 3),
)
