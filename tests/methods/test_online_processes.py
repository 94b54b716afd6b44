"""Two processes train networks side by side as one does."""

from pathlib import Path

import in_two
import pytest
import torch
from online_processes import settings, trained
from torch import Tensor

from tutelage.world import ALONE


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    """What two processes compute of their parts of each batch, by rank and method; one start for all."""
    script = Path(__file__).with_name("online_processes.py")
    return in_two.by_two(str(script), tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize("name", settings())
def test_two_processes(by_two: list[dict[str, dict[str, Tensor]]], name: str) -> None:
    """Terms of every step, weights, norms and counters of all networks are those of one process."""
    expected = trained(name, ALONE)
    for found in (by_two[0][name], by_two[1][name]):
        assert list(found) == list(expected)
        for key, tensor in expected.items():
            torch.testing.assert_close(found[key], tensor, rtol=1e-7, atol=1e-9, msg=key)
    assert by_two[0][name].keys() == by_two[1][name].keys()
    assert all(torch.equal(by_two[0][name][key], by_two[1][name][key]) for key in expected)
