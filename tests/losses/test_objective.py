"""The objective: what alpha and the terms' own weights make of the total."""

import pytest

from tutelage.config.loss_weights import weights
from tutelage.config.losses.response import KD, Label
from tutelage.config.objective import Objective, Terms
from tutelage.errors import UsageError
from tutelage.losses.cross_entropy import LabelTerm
from tutelage.losses.registry import make_terms
from tutelage.losses.response.kd import KDTerm
from tutelage.losses.term import Ground
from tutelage.types import UNSTUDIED


def objective(*, alpha: float | None = None, label: Label | None, kd: KD | None) -> Objective:
    return Objective(alpha=alpha, terms=Terms(label=label, kd=kd))


@pytest.mark.parametrize(
    ("alpha", "label", "kd"),
    [(0.7, 0.3, 0.7), (0.0, 1.0, None), (1.0, None, 1.0), (None, 0.3, 0.7)],
)
def test_alpha_is_the_teachers_weight(
    alpha: float | None, label: float | None, kd: float | None
) -> None:
    """Alpha goes to the teacher's term, the rest to the labels; 0.7 by default; 0 is not there."""
    expected = {n: w for n, w in {"label": label, "kd": kd}.items() if w is not None}
    assert weights(Objective(alpha=alpha)) == pytest.approx(expected, abs=1e-15)


def test_own_weights() -> None:
    """Two weights of one's own are taken as they are, and need not sum to 1."""
    assert weights(objective(label=Label(weight=1.0), kd=KD(weight=16.0))) == {
        "label": 1.0,
        "kd": 16.0,
    }


@pytest.mark.parametrize(
    ("label", "kd"), [(None, 0.7), (0.3, None), (0.3, 0.7), (0.0, None), (None, 0.0)]
)
def test_alpha_and_a_weight(label: float | None, kd: float | None) -> None:
    """Alpha beside a weight of label or kd is refused, even where they would agree."""
    both = objective(alpha=0.7, label=Label(weight=label), kd=KD(weight=kd))
    with pytest.raises(UsageError, match="same thing twice"):
        weights(both)


@pytest.mark.parametrize(("label", "kd", "missing"), [(0.3, None, "kd"), (None, 0.7, "label")])
def test_one_weight_of_two(label: float | None, kd: float | None, missing: str) -> None:
    """One weight without the other is refused, and the missing one is named."""
    with pytest.raises(UsageError, match=rf"terms\.{missing} has no weight"):
        weights(objective(label=Label(weight=label), kd=KD(weight=kd)))


def test_flags_in_messages_exist() -> None:
    """What a message tells to type is a flag that there is."""
    with pytest.raises(UsageError) as missing:
        weights(objective(label=Label(weight=0.3), kd=KD()))
    with pytest.raises(UsageError) as twice:
        weights(objective(alpha=0.5, label=Label(weight=0.3), kd=KD()))
    assert "--terms.kd.weight" in str(missing.value)
    assert "--terms.label.weight" in str(twice.value)


def test_a_term_left_out() -> None:
    """A term that is left out has no weight, and the other keeps its share or its own weight."""
    assert weights(objective(alpha=0.7, label=None, kd=KD())) == {"kd": 0.7}
    assert weights(objective(label=None, kd=KD(weight=2.0))) == {"kd": 2.0}


def test_make_terms() -> None:
    """The terms carry their settings, and come in the order of their weights."""
    chosen = Objective(terms=Terms(kd=KD(temperature=2.5)))
    ground = Ground(UNSTUDIED, UNSTUDIED, classes=10, images=100, label_smoothing=0.1)
    terms = make_terms(chosen, ground)
    assert list(terms) == list(weights(chosen))
    label, kd = terms["label"], terms["kd"]
    assert isinstance(label, LabelTerm)
    assert isinstance(kd, KDTerm)
    assert (label.smoothing, kd.temperature) == (0.1, 2.5)
    assert list(make_terms(objective(label=None, kd=KD()), ground)) == ["kd"]


@pytest.mark.parametrize(
    "nothing",
    [
        objective(label=Label(weight=0.0), kd=KD(weight=0.0)),
        objective(label=None, kd=None),
        objective(alpha=0.0, label=None, kd=KD()),
    ],
)
def test_nothing_to_learn(nothing: Objective) -> None:
    """An objective without any weight is refused, rather than trained on nothing."""
    with pytest.raises(UsageError, match="nothing would be learned"):
        weights(nothing)
