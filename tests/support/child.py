"""The environment of a child process: one thread, and `support` on its path."""

import os
from pathlib import Path

TESTS = Path(__file__).parents[1]


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment with what a child needs, and more."""
    places = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(places),
        **more,
    }
