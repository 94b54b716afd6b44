"""Class-wise self-distillation: the network's output for another image of the same class."""

from fractions import Fraction

from tutelage.methods.spec import MethodSpec

SPEC = MethodSpec(
    name="cs-kd",
    family="self",
    line="the network's output for another image of the class",
    source="Yun 2020, arXiv:2003.13964",
    builder="self.cs_kd:build_cs_kd",
    signal=lambda _options: "logits",
    signal_name="the output for another image",
    no_mixtures="a mixture has no one class of which another image could be shown",
    step_cost=lambda _options: Fraction(4, 3),
)
