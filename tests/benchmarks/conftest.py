"""The scripts of benchmarks/ as modules."""

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts of benchmarks/ can be imported."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
