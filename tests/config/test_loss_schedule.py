"""How a term's weight changes: constant, warm-up, fade, from, until, their combinations, its bounds."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from support.examples import examples
from tutelage.config.loss_schedule import WeightedLossConfig, weight_at
from tutelage.config.losses.feature import HintConfig
from tutelage.config.losses.response import DKDConfig, KDConfig

EPOCHS = 20.0

SPANS = st.one_of(st.integers(0, 40).map(lambda n: n / 2), st.floats(0, 40))
UNTIL = st.one_of(st.none(), st.integers(1, 80).map(lambda n: n / 2), st.floats(1e-3, 40))
SCHEDULES = st.builds(
    WeightedLossConfig, from_epoch=SPANS, warmup_epochs=SPANS, until_epoch=UNTIL, fade=st.booleans()
)
WEIGHTS = st.one_of(st.just(1.0), st.floats(0, 1e6))


def course(settings: WeightedLossConfig, *epochs: float, weight: float = 8.0) -> list[float]:
    """The weight after each of some epochs."""
    return [weight_at(settings, weight, epoch=epoch, epochs=EPOCHS) for epoch in epochs]


def test_constant() -> None:
    """Without a schedule the weight is the same from the first step to the last, for every kind of term."""
    for settings in (WeightedLossConfig(), KDConfig(), DKDConfig(), HintConfig()):
        assert course(settings, 0, 0.01, 10, 19.99, 20) == [8.0] * 5


def test_the_weight_is_the_one_given() -> None:
    """The settings' own weight may be unset (alpha decides), and is not read."""
    for own in (None, 0.0, 3.0):
        assert course(WeightedLossConfig(weight=own, warmup_epochs=4), 1, 4) == [2.0, 8.0]


def test_from() -> None:
    """0 before, everything from that moment on."""
    assert course(WeightedLossConfig(from_epoch=5), 0, 4.99, 5, 20) == [0.0, 0.0, 8.0, 8.0]


def test_until() -> None:
    """Everything before, 0 from that moment on; unset or past the end, it lasts."""
    assert course(WeightedLossConfig(until_epoch=5), 0, 4.99, 5, 20) == [8.0, 8.0, 0.0, 0.0]
    assert course(WeightedLossConfig(until_epoch=50), 20) == [8.0]


def test_warmup() -> None:
    """A straight line from 0 at the first step; fractions of an epoch count."""
    settings = WeightedLossConfig(warmup_epochs=4)
    assert course(settings, 0, 0.5, 1, 3, 4, 20) == [0.0, 1.0, 2.0, 6.0, 8.0, 8.0]
    assert course(WeightedLossConfig(warmup_epochs=0.5), 0, 0.25, 0.5) == [0.0, 4.0, 8.0]


def test_warmup_after_from() -> None:
    """The line begins where the term begins."""
    settings = WeightedLossConfig(from_epoch=6, warmup_epochs=4)
    assert course(settings, 5.9, 6, 7, 10, 20) == [0.0, 0.0, 2.0, 8.0, 8.0]


def test_warmup_longer_than_training() -> None:
    """It is cut off by the end of training, not squeezed into it."""
    assert course(WeightedLossConfig(warmup_epochs=40), 10, 20) == [2.0, 4.0]


def test_fade() -> None:
    """A straight line down to 0 at the end of training, or at `until_epoch`."""
    assert course(WeightedLossConfig(fade=True), 0, 5, 10, 20, 21) == [8.0, 6.0, 4.0, 0.0, 0.0]
    settings = WeightedLossConfig(fade=True, until_epoch=8)
    assert course(settings, 0, 2, 6, 7.5, 8, 20) == [8.0, 6.0, 2.0, 0.5, 0.0, 0.0]


def test_fade_after_from_and_warmup() -> None:
    """Down from where the warm-up ended."""
    settings = WeightedLossConfig(from_epoch=2, warmup_epochs=2, until_epoch=12, fade=True)
    expected = [0.0, 0.0, 4.0, 8.0, 7.0, 4.0, 1.0, 0.0, 0.0]
    assert course(settings, 1, 2, 3, 4, 5, 8, 11, 12, 20) == expected


def test_fade_past_the_end() -> None:
    """The end of training cuts a longer fade off."""
    assert course(WeightedLossConfig(until_epoch=40, fade=True), 0, 10, 20) == [8.0, 6.0, 4.0]


def test_end_within_the_warmup() -> None:
    """There is no room to fade in: the line rises, and ends."""
    for fade in (False, True):
        settings = WeightedLossConfig(warmup_epochs=8, until_epoch=4, fade=fade)
        assert course(settings, 0, 2, 3, 4, 20) == [0.0, 2.0, 3.0, 0.0, 0.0]


def test_end_before_the_beginning() -> None:
    """A term that would end before it begins never counts."""
    for fade in (False, True):
        settings = WeightedLossConfig(from_epoch=6, until_epoch=4, warmup_epochs=1, fade=fade)
        assert course(settings, 0, 3, 4, 5, 6, 7, 20) == [0.0] * 7


@given(schedule=SCHEDULES, weight=WEIGHTS, epoch=st.floats(0, 60), epochs=st.floats(0, 50))
@example(  # 29.2 * (5.8 - 1.4) / 4.4 is 29.200000000000003
    schedule=WeightedLossConfig(from_epoch=1.4, warmup_epochs=4.4),
    weight=29.2,
    epoch=5.8,
    epochs=20.0,
)
@examples(300)
def test_bounds(schedule: WeightedLossConfig, weight: float, epoch: float, epochs: float) -> None:
    """Never negative, never above the weight, always finite: to the last digit."""
    found = weight_at(schedule, weight, epoch=epoch, epochs=epochs)
    assert 0 <= found <= weight


@given(
    schedule=SCHEDULES, epoch=st.floats(0, 60), step=st.floats(1e-6, 0.1), epochs=st.floats(1, 50)
)
@examples(300)
def test_continuous(schedule: WeightedLossConfig, epoch: float, step: float, epochs: float) -> None:
    """Within the term's time the weight changes no faster than its steeper line: it never jumps."""
    begin = schedule.from_epoch
    end = epochs if schedule.until_epoch is None else schedule.until_epoch
    top = begin + schedule.warmup_epochs
    assume(begin <= epoch)
    # Outside of its time the weight is 0 at once, unless it faded: that is what from and until mean.
    assume(schedule.until_epoch is None or epoch + step < end)
    slopes = [1 / length for length in (schedule.warmup_epochs, end - top) if length > 0]
    one, other = (weight_at(schedule, 1.0, epoch=e, epochs=epochs) for e in (epoch, epoch + step))
    assert abs(other - one) <= max(slopes, default=0.0) * step * (1 + 1e-6) + 1e-9


@given(schedule=SCHEDULES, step=st.floats(1e-6, 1.0), epoch=st.floats(0, 60))
@examples(300)
def test_direction(schedule: WeightedLossConfig, step: float, epoch: float) -> None:
    """During the warm-up the weight never falls (before `until_epoch`); after it, it never rises."""
    top = schedule.from_epoch + schedule.warmup_epochs
    now, later = (weight_at(schedule, 1.0, epoch=e, epochs=EPOCHS) for e in (epoch, epoch + step))
    if epoch >= top:
        assert later <= now
    elif epoch + step <= top and (
        schedule.until_epoch is None or epoch + step < schedule.until_epoch
    ):
        assert later >= now


@given(schedule=SCHEDULES, weight=WEIGHTS, epoch=st.floats(0, 60))
@examples(100)
def test_proportional(schedule: WeightedLossConfig, weight: float, epoch: float) -> None:
    """The schedule is a share of the weight, the same for every weight."""
    part = weight_at(schedule, 1.0, epoch=epoch, epochs=EPOCHS)
    found = weight_at(schedule, weight, epoch=epoch, epochs=EPOCHS)
    assert found == pytest.approx(weight * part, rel=1e-12)
