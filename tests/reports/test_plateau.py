"""Where a curve levels off."""

import numpy as np

from tutelage.reports.statistics.plateau import find_plateau, smooth


def test_a_step_levels_off_where_it_steps() -> None:
    """A curve that jumps to its level at epoch 11 levels off there, give or take the smoothing."""
    curve = np.array([0.5] * 10 + [0.8] * 30)
    found = find_plateau(curve, 1000)
    assert found is not None
    assert found.level == 0.8
    assert found.noise == 1 / 1000
    assert found.epoch == 12


def test_a_straight_rise_has_not_levelled_off() -> None:
    """A curve that rises to the end has no such epoch."""
    found = find_plateau(np.linspace(0.1, 0.9, 40), 1000)
    assert found is not None
    assert found.epoch is None


def test_exponential_approach() -> None:
    """A noiseless approach levels off when it comes within the noise of the last quarter."""
    epochs = np.arange(1, 61)
    curve = 0.9 - 0.5 * np.exp(-epochs / 6)
    found = find_plateau(curve, 400)
    assert found is not None
    first = 1 + int(np.argmax(smooth(curve) >= curve[-15:].mean() - 1 / 400))
    assert found.epoch == first
    assert 25 <= first <= 40


def test_too_few_epochs_or_lost_numbers() -> None:
    """Seven epochs, or a curve with a number that is not finite, say nothing."""
    assert find_plateau(np.ones(7), 10) is None
    assert find_plateau(np.array([0.1] * 9 + [np.nan]), 10) is None


def test_smoothing_is_symmetric_and_keeps_lines() -> None:
    """A straight line is its own moving mean, also at its ends."""
    line = np.linspace(0, 1, 50)
    assert np.allclose(smooth(line), line)
