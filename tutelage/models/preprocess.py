"""What a network does to a stored image before its first layer: resize, scale, normalise."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from tutelage.config.image_size import ImageSize, height_width
from tutelage.types import ModelOutput


class Preprocess(nn.Module):
    """uint8 [B, C, H, W] -> float32 of the network's size, (x / 255 - mean) / std by channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, *, size: ImageSize, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.size = size
        self.layout = torch.contiguous_format
        # Not part of the saved weights: the model folder stores them separately.
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return self.mean.shape[1]

    def forward(self, images: Tensor) -> Tensor:
        """Return the input of the first layer; linear in the pixels but for the resizing."""
        # A pack's images are channels-last. Convolutions follow their input's format, so it is set here.
        pixels = images.to(torch.float32, memory_format=self.layout) / 255
        size = height_width(self.size)
        if images.shape[-2:] != size:
            pixels = interpolate(pixels, size=size, mode="bilinear", antialias=True)
        return (pixels - self.mean) / self.std


class Classifier(nn.Module):
    """A network with its own preprocessing: stored images in, logits out."""

    def __init__(self, network: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        self.network = network
        self.preprocess = preprocess

    def lay_out(self, layout: torch.memory_format) -> None:
        """Keep weights and images in this memory format from now on."""
        self.to(memory_format=layout)
        self.preprocess.layout = layout

    def blank(self, size: ImageSize) -> Tensor:
        """Return a black image uint8 [1, C, H, W] on the network's device."""
        shape = (1, self.preprocess.channels, *height_width(size))
        return torch.zeros(shape, dtype=torch.uint8, device=self.preprocess.mean.device)

    def forward(self, images: Tensor) -> ModelOutput:
        """Compute logits: uint8 [B, C, H, W] -> ModelOutput(logits [B, C])."""
        return ModelOutput(logits=self.network(self.preprocess(images)), features={})
