"""Settings of a network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tutelage.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network, its initial weights, and its input."""

    model: str = "resnet18"
    """Name of a timm network, with a tag for pretrained weights: resnet34.tv_in1k (`tutelage models`)."""

    weights: str | None = None
    """A safetensors or checkpoint file, a run or model folder, or `none` for random weights. Unset: those
    that the tag in `model` names; without a tag, random."""

    stem: Literal["standard", "small"] = "standard"
    """`small` replaces the first convolution by one of 3 x 3 and stride 1 without pooling after it, for
    images of 28 to 64 pixels."""

    input_size: int | tuple[int, int] | None = setting(None, at_least=8)
    """Side of the network's input in pixels, or height and width; unset: that of the stored images."""

    normalization: Literal["train", "weights", "half"] | None = None
    """Mean and standard deviation of the training split, of the weights, or 0.5. Unset: `weights` where
    `weights` names a file or folder, else `train`."""

    mean: tuple[float, float, float] | None = setting(None, at_least=0, at_most=1)
    """Mean of each channel, of pixels from 0 to 1, by which the input is standardized; with `std`."""

    std: tuple[float, float, float] | None = setting(None, above=0, at_most=1)
    """Standard deviation of each channel, of pixels from 0 to 1; with `mean`."""

    zero_init_last: bool = False
    """Initialise the last BatchNorm of each residual block to zero, as timm does and torchvision does not."""

    def when_unset(self) -> Mapping[str, Any]:
        """Return what settings mean that are unset, where folders and fingerprints hold the meaning."""
        own = self.weights not in (None, "none")
        return {"normalization": "weights" if own else "train"}
