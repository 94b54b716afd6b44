"""Settings of a network."""

from dataclasses import dataclass
from typing import Literal

from tutelage.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which network, from which weights, and how it sees an image."""

    model: str = "resnet18"
    """A timm name, with an explicit tag where pretrained weights are wanted: resnet34.tv_in1k."""

    weights: str | None = None
    """A safetensors or checkpoint file, a model folder, or `none` for random weights. Unset: the weights
    the tag in `model` names; random where it has no tag."""

    stem: Literal["standard", "small"] = "standard"
    """`small` replaces the first convolution by 3 x 3, stride 1, and drops the pooling after it:
    for images of 28 to 64 pixels."""

    input_size: int | None = setting(None, at_least=8)
    """Pixels a side the network sees; unset: as stored."""

    normalization: Literal["train", "weights", "half"] = "train"
    """Mean and standard deviation of the training split, of the pretrained weights, or 0.5."""

    zero_init_last: bool = False
    """Start the last BatchNorm of each residual block at zero (timm's habit; torchvision's is not to)."""
