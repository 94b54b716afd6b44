"""Processes of one machine talk over its loopback; what a person has set is left alone."""

import os

import pytest

from tutelage.distributed import World
from tutelage.engine.runtime.process_group import _stay_on_this_machine

SETTINGS = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


@pytest.mark.parametrize(
    ("local", "given", "expected"), [("2", None, "lo"), ("1", None, None), ("2", "eth7", "eth7")]
)
def test_only_processes_of_one_machine_stay_on_it(
    monkeypatch: pytest.MonkeyPatch, local: str, given: str | None, expected: str | None
) -> None:
    """Two processes with as many on this machine; one of two here; a network card that was chosen."""
    monkeypatch.setenv("LOCAL_WORLD_SIZE", local)
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
        if given:
            monkeypatch.setenv(name, given)
    _stay_on_this_machine(World(0, 2, 0))
    assert [os.environ.get(name) for name in SETTINGS] == [expected] * 2
