"""The objective: what alpha and the terms' own weights make of the total."""

import pytest

from tutelage.config.loss_weights import loss_weights
from tutelage.config.losses.response import KDConfig, LabelConfig
from tutelage.config.objective import LossConfig, ObjectiveConfig
from tutelage.errors import UsageError
from tutelage.losses.cross_entropy import LabelTerm
from tutelage.losses.registry import build_terms
from tutelage.losses.response.kd import KDTerm
from tutelage.losses.term import BuildContext
from tutelage.types import NO_NETWORK_INFO


def objective(
    *, alpha: float | None = None, label: LabelConfig | None, kd: KDConfig | None
) -> ObjectiveConfig:
    return ObjectiveConfig(alpha=alpha, losses=LossConfig(label=label, kd=kd))


@pytest.mark.parametrize(
    ("alpha", "label", "kd"),
    [(0.7, 0.3, 0.7), (0.0, 1.0, None), (1.0, None, 1.0), (None, 0.3, 0.7)],
)
def test_alpha_is_the_teachers_weight(
    alpha: float | None, label: float | None, kd: float | None
) -> None:
    """Alpha goes to the teacher's term, the rest to the labels; 0.7 by default; 0 is not there."""
    expected = {n: w for n, w in {"label": label, "kd": kd}.items() if w is not None}
    assert loss_weights(ObjectiveConfig(alpha=alpha)) == pytest.approx(expected, abs=1e-15)


def test_own_weights() -> None:
    """Two weights of one's own are taken as they are, and need not sum to 1."""
    assert loss_weights(objective(label=LabelConfig(weight=1.0), kd=KDConfig(weight=16.0))) == {
        "label": 1.0,
        "kd": 16.0,
    }


@pytest.mark.parametrize(
    ("label", "kd"), [(None, 0.7), (0.3, None), (0.3, 0.7), (0.0, None), (None, 0.0)]
)
def test_alpha_and_a_weight(label: float | None, kd: float | None) -> None:
    """Alpha beside a weight of label or kd is refused, even where they would agree."""
    both = objective(alpha=0.7, label=LabelConfig(weight=label), kd=KDConfig(weight=kd))
    with pytest.raises(UsageError, match="cannot be combined"):
        loss_weights(both)


@pytest.mark.parametrize(("label", "kd", "missing"), [(0.3, None, "kd"), (None, 0.7, "label")])
def test_one_weight_of_two(label: float | None, kd: float | None, missing: str) -> None:
    """One weight without the other is refused, and the missing one is named."""
    with pytest.raises(UsageError, match=rf"losses\.{missing} has no weight"):
        loss_weights(objective(label=LabelConfig(weight=label), kd=KDConfig(weight=kd)))


def test_flags_in_messages_exist() -> None:
    """What a message tells to type is a flag that there is."""
    with pytest.raises(UsageError) as missing:
        loss_weights(objective(label=LabelConfig(weight=0.3), kd=KDConfig()))
    with pytest.raises(UsageError) as twice:
        loss_weights(objective(alpha=0.5, label=LabelConfig(weight=0.3), kd=KDConfig()))
    assert "--losses.kd.weight" in str(missing.value)
    assert "--losses.label.weight" in str(twice.value)


def test_a_term_left_out() -> None:
    """A term that is left out has no weight, and the other keeps its share or its own weight."""
    assert loss_weights(objective(alpha=0.7, label=None, kd=KDConfig())) == {"kd": 0.7}
    assert loss_weights(objective(label=None, kd=KDConfig(weight=2.0))) == {"kd": 2.0}


def test_make_terms() -> None:
    """The terms carry their settings, and come in the order of their weights."""
    chosen = ObjectiveConfig(losses=LossConfig(kd=KDConfig(temperature=2.5)))
    ground = BuildContext(
        NO_NETWORK_INFO, NO_NETWORK_INFO, classes=10, images=100, label_smoothing=0.1
    )
    terms = build_terms(chosen, ground)
    assert list(terms) == list(loss_weights(chosen))
    label, kd = terms["label"], terms["kd"]
    assert isinstance(label, LabelTerm)
    assert isinstance(kd, KDTerm)
    assert (label.smoothing, kd.settings.temperature) == (0.1, 2.5)
    assert list(build_terms(objective(label=None, kd=KDConfig()), ground)) == ["kd"]


@pytest.mark.parametrize(
    "nothing",
    [
        objective(label=LabelConfig(weight=0.0), kd=KDConfig(weight=0.0)),
        objective(label=None, kd=None),
        objective(alpha=0.0, label=None, kd=KDConfig()),
    ],
)
def test_nothing_to_learn(nothing: ObjectiveConfig) -> None:
    """An objective without any weight is refused, rather than trained on nothing."""
    with pytest.raises(UsageError, match="nothing would be learned"):
        loss_weights(nothing)
