"""Cost of known networks, and that counting leaves no trace."""

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from tutelage.errors import InputError
from tutelage.evaluation.cost import Cost, cost, file_size


@pytest.mark.parametrize(
    ("name", "parameters", "gigaflops"),
    [("resnet18", 11_689_512, 3.628), ("resnet34", 21_797_672, 7.328)],
)
def test_known_networks(name: str, parameters: int, gigaflops: float) -> None:
    """ResNets with 1000 classes at 224 x 224 have the published parameters and operations."""
    with torch.device("meta"):
        model = timm.create_model(name)
    found = cost(model, input_size=224)
    assert found.parameters == parameters
    assert found.flops / 1e9 == pytest.approx(gigaflops, abs=5e-4)


def test_attention_is_counted() -> None:
    """A vision transformer's operations include its attention: 4 N^2 D a block on 197 tokens."""
    with torch.device("meta"):
        model = timm.create_model("vit_tiny_patch16_224")
    width, tokens = 192, 197
    linear = 2 * tokens * width * width * (3 + 1 + 4 + 4)
    attention = 4 * tokens * tokens * width
    ends = 2 * 196 * (16 * 16 * 3) * width + 2 * width * 1000
    assert cost(model, input_size=224).flops == 12 * (linear + attention) + ends


def test_meta_and_real_agree() -> None:
    """Where the weights are does not change the count."""
    real = timm.create_model("resnet18", num_classes=10)
    with torch.device("meta"):
        meta = timm.create_model("resnet18", num_classes=10)
    assert cost(real, input_size=64) == cost(meta, input_size=64)


def test_closed_forms() -> None:
    """A linear layer is 2 n m, a convolution 2 k^2 c_in c_out h w; shared weights count once."""
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 7))
    assert cost(linear, input_size=4) == Cost(parameters=48 * 7 + 7, flops=2 * 48 * 7)
    convolution = nn.Conv2d(1, 5, kernel_size=3, stride=2, padding=1, bias=False)
    found = cost(convolution, input_size=8, channels=1)
    assert found == Cost(parameters=45, flops=2 * 9 * 5 * 16)
    shared = nn.Conv2d(3, 3, kernel_size=1, bias=False)
    assert cost(nn.Sequential(shared, shared), input_size=2) == Cost(parameters=9, flops=144)
    assert cost(nn.ReLU(), input_size=2) == Cost(parameters=0, flops=0)


@pytest.mark.parametrize("precision", [torch.float32, torch.float64, torch.bfloat16])
def test_leaves_no_trace(precision: torch.dtype) -> None:
    """Mode of every submodule, weights, buffers, hooks and the random state are as before."""
    norm, dropout = nn.BatchNorm2d(4), nn.Dropout(0.5)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), norm, dropout, nn.Flatten(), nn.Linear(4 * 36, 2))
    model.to(precision).train()
    norm.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    random = torch.get_rng_state()
    cost(model, input_size=8)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(not module._forward_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), random)


def test_mode_is_restored_after_an_error() -> None:
    """A network that refuses the size is still in training mode afterwards."""
    model = nn.Conv2d(4, 4, kernel_size=1).train()
    with pytest.raises(RuntimeError, match="channels"):
        cost(model, input_size=4)
    assert model.training


def test_file_size(tmp_path: Path) -> None:
    """The size is the number of bytes, and a missing file is refused by name."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(1234))
    assert file_size(path) == 1234
    with pytest.raises(InputError, match="gone"):
        file_size(tmp_path / "gone")
