"""Be your own teacher: early exits of the network, taught by the last one."""

from fractions import Fraction

from tutelage.methods.spec import MethodSpec

SPEC = MethodSpec(
    name="byot",
    family="self",
    line="exits inside the network, taught by the last one",
    source="Zhang 2019, arXiv:1905.08094",
    builder="self.byot:build_byot",
    signal=lambda _options: "logits",
    signal_name="an exit",
    step_cost=lambda _options: Fraction(11, 10),  # a few layers more: measured, not counted
)
