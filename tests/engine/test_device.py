"""`auto` settled: device, number format, memory format."""

import pytest
import torch
from torch import nn

from tutelage.config.training import DeviceConfig
from tutelage.engine.runtime import device as precision
from tutelage.engine.runtime.device import Runtime, resolve_runtime
from tutelage.errors import MachineError, UsageError
from tutelage.models.preprocess import Classifier, Preprocess


@pytest.mark.parametrize("flags", ["fpu avx2", "fpu avx512_bf16", "fpu amx_bf16"])
def test_auto(monkeypatch: pytest.MonkeyPatch, flags: str) -> None:
    """`auto` is bf16, channels last, where the processor has bf16, and plain fp32 elsewhere."""
    monkeypatch.setattr(precision, "_processor_flags", lambda: flags)
    half = "bf16" in flags
    runtime = resolve_runtime(DeviceConfig(device="cpu"))
    assert runtime == Runtime(torch.device("cpu"), torch.bfloat16 if half else None, half)
    assert resolve_runtime(DeviceConfig(device="cpu", precision="fp32")).autocast is None
    assert resolve_runtime(DeviceConfig(device="cpu", precision="bf16")).autocast == torch.bfloat16


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "", "meta", "cpu0"])
def test_unknown_device(device: str) -> None:
    """A device that does not exist, or that cannot be trained on, is refused by name."""
    with pytest.raises(UsageError, match="no such device"):
        resolve_runtime(DeviceConfig(device=device))


def test_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU asked for where there is none is the machine's error; `auto` takes the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MachineError, match="--device cpu"):
        resolve_runtime(DeviceConfig(device="cuda"))
    assert resolve_runtime(DeviceConfig()).device == torch.device("cpu")


def test_cast() -> None:
    """Within the cast a layer computes in bf16, or in fp32 where there is none; weights stay fp32."""
    layer, numbers = nn.Linear(4, 4), torch.ones(2, 4)
    for autocast, expected in ((torch.bfloat16, torch.bfloat16), (None, torch.float32)):
        runtime = Runtime(torch.device("cpu"), autocast, channels_last=False)
        with runtime.cast():
            assert layer(numbers).dtype == expected
    assert layer.weight.dtype == torch.float32


def test_place() -> None:
    """Weights and images are laid out channels last, or not; the weights keep their numbers."""
    network = nn.Conv2d(3, 4, 3)
    preprocess = Preprocess(size=8, mean=(0.0,) * 3, std=(1.0,) * 3)
    classifier = Classifier(network, preprocess)
    images = torch.zeros(2, 8, 8, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
    before = network.weight.detach().clone()
    for channels_last in (True, False):
        Runtime(torch.device("cpu"), None, channels_last).place(classifier)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        assert network.weight.is_contiguous(memory_format=layout)
        assert torch.equal(network.weight, before)
        assert classifier.preprocess(images).is_contiguous(memory_format=layout)


def test_in_words() -> None:
    """One line says where and how it computes."""
    assert "bfloat16, channels last" in str(Runtime(torch.device("cpu"), torch.bfloat16, True))
    assert str(Runtime(torch.device("cpu"), None, False)).endswith(", fp32")
