"""Teacher-free distillation: a virtual teacher, which is no network."""

from tutelage.methods.spec import MethodSpec


def _refuse(term: str) -> str | None:
    if term == "hard_label":
        return "a virtual teacher names the label itself, and the first class where there is none"
    return None


SPEC = MethodSpec(
    name="tf-kd",
    family="self",
    line="a teacher that is no network",
    source="Yuan 2020, arXiv:1909.11723",
    builder="self.tf_kd:build_tf_kd",
    signal=lambda _options: "logits",
    signal_name="a virtual teacher",
    refuse=_refuse,
)
