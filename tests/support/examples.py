"""How many examples a Hypothesis test runs: as many as it says, or few in the fast profile."""

from typing import Any

from hypothesis import settings

FAST, FULL = "fast", "full"
FEW = 10


def register_profiles() -> None:
    """Make `--hypothesis-profile=fast` and `=full` known; both keep what CI sets."""
    for name in (FAST, FULL):
        settings.register_profile(name, settings.default, deadline=None)


def examples(count: int, **options: Any) -> settings:
    """Run a test on this many examples; on at most `FEW` in the fast profile."""
    fast = settings.get_current_profile_name() == FAST
    return settings(max_examples=min(count, FEW) if fast else count, deadline=None, **options)
