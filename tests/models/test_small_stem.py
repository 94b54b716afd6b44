"""The small stem keeps small images at their size."""

import pytest
import timm
import torch
from torch import nn

from tutelage.errors import UsageError
from tutelage.models.small_stem import use_small_stem


def test_nothing_is_thrown_away() -> None:
    """After the small stem 32 pixels are still 32, where the standard one leaves 8."""
    images, sizes = torch.zeros(1, 3, 32, 32), []
    for small in (False, True):
        network = timm.create_model("resnet18", num_classes=10)
        if small:
            use_small_stem(network, "resnet18")
        network.layer1.register_forward_pre_hook(lambda _m, args: sizes.append(args[0].shape))
        assert network.eval()(images).shape == (1, 10)
    assert sizes == [(1, 64, 8, 8), (1, 64, 32, 32)]


def test_convolution() -> None:
    """The new convolution is 3 x 3 without bias, and starts with He's spread for its fan-out."""
    network = timm.create_model("resnet18", num_classes=10)
    use_small_stem(network, "resnet18")
    weight = network.conv1.weight
    assert weight.shape == (64, 3, 3, 3)
    assert network.conv1.bias is None
    expected = (2 / (64 * 9)) ** 0.5
    assert float(weight.detach().std()) == pytest.approx(expected, rel=0.1)  # 1728 numbers


@pytest.mark.parametrize("model", ["test_vit", "test_convnext", "resnet10t"])
def test_networks_without_such_a_stem(model: str) -> None:
    """A network whose first layer is no single convolution is refused by name."""
    with pytest.raises(UsageError, match=f"{model} has no stem"):
        use_small_stem(timm.create_model(model), model)


def test_own_module() -> None:
    """A module without these parts is refused too."""
    with pytest.raises(UsageError, match="mine"):
        use_small_stem(nn.Linear(3, 3), "mine")
