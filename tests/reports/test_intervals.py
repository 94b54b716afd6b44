"""Intervals against tables, closed forms and slow oracles."""

import math

import numpy as np
import pytest
from scipy.stats import t as student

from tutelage.reports.statistics.intervals import bootstrap_interval, t_interval, t_quantile


@pytest.mark.parametrize(
    ("degrees", "value"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042), (120, 1.980)],
)
def test_quantiles_of_the_printed_table(degrees: int, value: float) -> None:
    """The 97.5 % quantile equals the table found in textbooks."""
    assert t_quantile(0.975, degrees) == pytest.approx(value, abs=5e-4)


def test_quantiles_equal_scipy() -> None:
    """Quantiles equal SciPy's for odd and even degrees and several levels."""
    for degrees in (1, 2, 3, 4, 5, 8, 17, 50, 101):
        for probability in (0.6, 0.9, 0.95, 0.975, 0.995):
            expected = student.ppf(probability, degrees)
            assert t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-9)


def test_closed_form_of_one_and_two_degrees() -> None:
    """One degree is the Cauchy law and two degrees have an algebraic quantile."""
    assert t_quantile(0.975, 1) == pytest.approx(math.tan(math.pi * 0.475), rel=1e-9)
    p = 0.975
    expected = (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    assert t_quantile(p, 2) == pytest.approx(expected, rel=1e-9)


def test_t_interval_by_hand() -> None:
    """Differences 1, 2, 3: mean 2, standard deviation 1, half width 4.303 / sqrt(3)."""
    low, high = t_interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-5)
    with pytest.raises(ValueError, match="two or more"):
        t_interval(np.array([1.0]))


def test_bootstrap_equals_a_slow_loop() -> None:
    """The multinomial draw has the distribution of drawing images one by one with replacement."""
    random = np.random.default_rng(3)
    values = random.choice([-1, -1 / 3, 0.0, 1 / 3, 1], p=[0.05, 0.1, 0.6, 0.15, 0.1], size=300)
    slow = np.empty(6000)
    for index in range(len(slow)):
        slow[index] = values[random.integers(0, len(values), len(values))].mean()
    expected = np.quantile(slow, (0.025, 0.975))
    assert np.allclose(bootstrap_interval(values, resamples=20_000), expected, atol=0.006)


def test_bootstrap_nears_the_normal_form() -> None:
    """For many images the interval nears mean +- 1.96 standard errors."""
    values = np.array([1.0] * 300 + [-1.0] * 200 + [0.0] * 1500)
    half = 1.959964 * values.std() / math.sqrt(len(values))
    low, high = bootstrap_interval(values)
    assert low == pytest.approx(values.mean() - half, abs=0.002)
    assert high == pytest.approx(values.mean() + half, abs=0.002)


def test_bootstrap_is_seeded_and_exact_for_a_constant() -> None:
    """The same seed gives the same interval; equal values give a width of nothing."""
    values = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], size=200)
    assert bootstrap_interval(values, seed=5) == bootstrap_interval(values, seed=5)
    assert bootstrap_interval(np.zeros(10)) == (0.0, 0.0)
