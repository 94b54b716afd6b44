"""Leaving out weights that only meet padding changes nothing that is computed."""

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from support.examples import examples
from tutelage.models.trim_padding import TrimmedConv2d, trim_padding


@examples(100)
@given(
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    padding=st.integers(0, 4),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
    bias=st.booleans(),
)
def test_same_as_the_whole_kernel(
    height: int,
    width: int,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    groups: int,
    bias: bool,
) -> None:
    """Output and all gradients, for any geometry that torch accepts."""
    if min(height, width) + 2 * padding < dilation * (kernel - 1) + 1:
        return
    torch.manual_seed(0)
    options = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": bias,
    }
    plain = nn.Conv2d(4, 6, kernel, dtype=torch.float64, **options)  # type: ignore[arg-type]
    ours = TrimmedConv2d(4, 6, kernel, dtype=torch.float64, **options)  # type: ignore[arg-type]
    ours.load_state_dict(plain.state_dict())
    images = torch.randn(2, 4, height, width, dtype=torch.float64, requires_grad=True)
    expected, found = plain(images), ours(images)
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(expected)
    for parameter in [images, *plain.parameters()]:
        parameter.grad = None
    (expected * direction).sum().backward()
    wanted = [images.grad, *(p.grad for p in plain.parameters())]
    images.grad = None
    (found * direction).sum().backward()
    got = [images.grad, *(p.grad for p in ours.parameters())]
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("size", [32, 64])
def test_a_whole_network(size: int) -> None:
    """ResNet-18 says the same with and without, names stay, and it can be put back."""
    network = timm.create_model("resnet18", num_classes=10).eval()
    images = torch.randn(3, 3, size, size)
    names = list(network.state_dict())
    with torch.no_grad():
        expected = network(images)
        trim_padding(network)
        torch.testing.assert_close(network(images), expected)
    assert list(network.state_dict()) == names
    assert any(type(module) is TrimmedConv2d for module in network.modules())
    trim_padding(network, on=False)
    assert not any(type(module) is TrimmedConv2d for module in network.modules())


def test_other_paddings_are_left_alone() -> None:
    """Padding by name or by reflection keeps its meaning."""
    for options in ({"padding": "same"}, {"padding": 1, "padding_mode": "reflect"}):
        torch.manual_seed(0)
        plain = nn.Conv2d(2, 2, 3, **options)  # type: ignore[arg-type]
        ours = TrimmedConv2d(2, 2, 3, **options)  # type: ignore[arg-type]
        ours.load_state_dict(plain.state_dict())
        images = torch.randn(1, 2, 2, 2)
        torch.testing.assert_close(ours(images), plain(images))
