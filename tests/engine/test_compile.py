"""Compiled networks keep their names, leave odd batches alone, and can be put back."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tutelage.config.training import DeviceConfig, OptimizationConfig
from tutelage.engine.runtime.device import resolve_runtime
from tutelage.engine.train.compile import (
    compile_network,
    compile_where_it_pays,
    run_eagerly,
    uncompile,
)
from tutelage.models.build import BuiltModel


@pytest.fixture
def classifier(make_network: Callable[..., BuiltModel]) -> Any:
    torch._dynamo.reset()
    return make_network().classifier.eval()


def images(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)


def test_compiled_says_the_same(classifier: Any) -> None:
    """Names and answers stay; another size of batch is not compiled for where it runs eagerly."""
    names, expected = list(classifier.state_dict()), classifier(images(4)).logits
    graphs = 0

    def backend(graph: torch.fx.GraphModule, _inputs: object) -> Any:
        nonlocal graphs
        graphs += 1
        return graph.forward

    compile_network(classifier, backend=backend)  # type: ignore[arg-type]
    torch.testing.assert_close(classifier(images(4)).logits, expected)
    assert list(classifier.state_dict()) == names
    once = graphs
    assert once > 0
    with run_eagerly(when=True):
        torch.testing.assert_close(classifier(images(3)).logits, classifier(images(4)).logits[:3])
    assert graphs == once
    uncompile(classifier)
    classifier(images(5))
    assert graphs == once


def test_never_by_itself_on_a_processor(classifier: Any) -> None:
    """`auto` leaves networks on a processor as they are, without even timing a step."""
    said: list[str] = []
    found = compile_where_it_pays(
        classifier,
        DeviceConfig(device="cpu"),
        OptimizationConfig(epochs=10**6),
        resolve_runtime(DeviceConfig(device="cpu", precision="fp32")),
        size=32,
        images=10**6,
        say=said.append,
    )
    assert found is None
    assert said == []
