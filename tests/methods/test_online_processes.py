"""Two processes train networks side by side as one does."""

import pytest
import torch
from torch import Tensor

from support import two_processes
from support.methods.two_ranks_online import LEFT_OUT, SPOILT, settings, trained
from tutelage.distributed import ALONE


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    """What two processes compute of their parts of each batch, by rank and method; one start for all."""
    return two_processes.by_two("support.methods.two_ranks_online", tmp_path_factory.mktemp("two"))


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


def test_one_spoils_the_step_of_both(by_two: list[dict[str, dict[str, Tensor]]]) -> None:
    """What one process is shown masks the step of both: they hold what they would hold without it."""
    for found in by_two:
        assert any(not value.isfinite() for key, value in found[SPOILT].items() if key[:2] == "1 ")
        for key, value in found[LEFT_OUT].items():
            if key.startswith("state "):
                assert torch.equal(found[SPOILT][key], value), key
