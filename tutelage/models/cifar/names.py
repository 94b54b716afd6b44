"""The networks of the CIFAR-100 distillation tables; importing this module registers them with timm.

`timm.create_model("cifar_resnet20", num_classes=100)` then works as for any other name. There are no
pretrained weights. The tables are those of Tian et al. 2020 (arXiv:1910.10699) and later papers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from tutelage.models.cifar.mobilenet import MobileNetV2
from tutelage.models.cifar.network import CifarNetwork
from tutelage.models.cifar.resnet import ResNet
from tutelage.models.cifar.shufflenetv1 import ShuffleNetV1
from tutelage.models.cifar.shufflenetv2 import ShuffleNetV2
from tutelage.models.cifar.vgg import VGG
from tutelage.models.cifar.wideresnet import WideResNet

_X4 = (32, 64, 128, 256)


class CifarEntry(NamedTuple):
    """How one of the networks is made."""

    network: Callable[..., CifarNetwork]
    """Its class."""
    options: dict[str, Any]
    """Arguments of the class."""
    first_conv: str = "conv1"
    """Name of its first convolution, for timm."""


NETWORKS = {
    **{f"cifar_resnet{d}": CifarEntry(ResNet, {"depth": d}) for d in (8, 14, 20, 32, 44, 56, 110)},
    **{f"cifar_resnet{d}x4": CifarEntry(ResNet, {"depth": d, "widths": _X4}) for d in (8, 32)},
    **{
        f"cifar_wrn_{d}_{k}": CifarEntry(WideResNet, {"depth": d, "widen": k})
        for d in (16, 40)
        for k in (1, 2)
    },
    "cifar_vgg8": CifarEntry(VGG, {"convolutions": (1, 1, 1, 1, 1)}, "layer1.0"),
    "cifar_vgg13": CifarEntry(VGG, {"convolutions": (2, 2, 2, 2, 2)}, "layer1.0"),
    "cifar_mobilenetv2_half": CifarEntry(MobileNetV2, {"width": 0.5}),
    "cifar_shufflenetv1": CifarEntry(ShuffleNetV1, {}),
    "cifar_shufflenetv2": CifarEntry(ShuffleNetV2, {}),
}

# timm looks for this name in the module that registers a network.
default_cfgs = generate_default_cfgs(
    {
        name: {
            "input_size": (3, 32, 32),
            "num_classes": 100,
            "mean": (0.5071, 0.4865, 0.4409),  # of CIFAR-100's training images
            "std": (0.2673, 0.2564, 0.2762),
            "crop_pct": 1.0,
            "interpolation": "bilinear",
            "first_conv": entry.first_conv,
            "classifier": "fc",
        }
        for name, entry in NETWORKS.items()
    }
)


def _maker(name: str, entry: CifarEntry) -> Callable[..., nn.Module]:
    def make(pretrained: bool = False, **options: Any) -> nn.Module:
        network: nn.Module = build_model_with_cfg(
            entry.network, name, pretrained, **entry.options, **options
        )
        return network

    make.__name__ = make.__qualname__ = name
    return make


for _name, _entry in NETWORKS.items():
    register_model(_maker(_name, _entry))
