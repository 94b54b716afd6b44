"""Progressive self-distillation: the network's own predictions of the epoch before."""

from tutelage.methods.spec import MethodSpec

SPEC = MethodSpec(
    name="ps-kd",
    family="self",
    line="the network's own output in the epoch before",
    source="Kim 2021, arXiv:2006.12000",
    builder="self.ps_kd:build_ps_kd",
    signal=lambda _options: "logits",
    signal_name="the output in the epoch before",
    no_mixtures="the output for one mixture says nothing of the next, of other images in other shares",
)
