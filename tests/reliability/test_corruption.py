"""Artefacts of every type with a file damaged at random: all of it is found, and nothing else is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import corruption

BENCHMARKS = Path(__file__).parents[2] / "benchmarks" / "reliability"
ROUNDS = {
    "run": 60,
    "pack": 100,
    "model": 40,
    "cache": 100,
    "cells": 100,
    "checkpoint": 100,
    "deployed": 100,
}
"""A run and a model take some milliseconds to open; the long count is that of the script."""


@pytest.fixture(scope="module")
def artefacts(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, corruption.Artefact]]:
    """One of every type but a job, which takes longest to make."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        patch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])
        import corruption

        yield corruption.make_all(tmp_path_factory.mktemp("corruption"), jobs=False)
        del sys.modules["corruption"]


@pytest.mark.parametrize("kind", ROUNDS)
def test_all_damage_is_found(artefacts: dict[str, corruption.Artefact], kind: str) -> None:
    """Opening it or verifying it finds every damaged file, and takes no whole one for damaged."""
    import corruption

    told = corruption.corrupt(artefacts[kind], ROUNDS[kind], seed=1)
    assert (told.missed, told.false_alarms) == ([], [])
    assert told.found == told.rounds == sum(told.by_way.values())
    assert set(told.by_way) >= set(corruption.WAYS)


def test_every_type_was_damaged(artefacts: dict[str, corruption.Artefact]) -> None:
    """The list above is whole."""
    assert set(artefacts) == set(ROUNDS)
