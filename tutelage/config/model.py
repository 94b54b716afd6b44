"""Settings of a network."""

from dataclasses import dataclass
from typing import Literal

from tutelage.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network, its initial weights, and its input."""

    model: str = "resnet18"
    """Name of a timm network, with a tag for pretrained weights: resnet34.tv_in1k (`tutelage models`)."""

    weights: str | None = None
    """A safetensors or checkpoint file, a model folder, or `none` for random weights. Unset: the weights that
    the tag in `model` names; without a tag, random."""

    stem: Literal["standard", "small"] = "standard"
    """`small` replaces the first convolution by one of 3 x 3 and stride 1 without pooling after it, for
    images of 28 to 64 pixels."""

    input_size: int | tuple[int, int] | None = setting(None, at_least=8)
    """Side of the network's input in pixels, or height and width; unset: that of the stored images."""

    normalization: Literal["train", "weights", "half"] = "train"
    """Mean and standard deviation of the training split, of the pretrained weights, or 0.5."""

    zero_init_last: bool = False
    """Initialise the last BatchNorm of each residual block to zero, as timm does and torchvision does not."""
