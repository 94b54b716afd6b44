"""The cost of a network: parameters, floating-point operations for one image, bytes on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tutelage.config.image_size import ImageSize, height_width
from tutelage.errors import InputError


class Cost(NamedTuple):
    """The size of a network."""

    parameters: int
    """Each shared one counts once."""
    flops: int
    """For one image; a multiply and an add count as two."""


def cost(model: nn.Module, input_size: ImageSize, channels: int = 3) -> Cost:
    """Count the parameters of a network and the operations of one forward pass.

    Operations are those of `torch.utils.flop_counter`: convolutions, matrix products and attention,
    a multiply and an add being two. Normalisation, activation and pooling are not counted (about
    1 % of a ResNet). One pass of a blank image runs on the model's own device, without gradients
    and in eval mode; mode, weights and buffers are as before afterwards. A model made under
    `torch.device("meta")` costs neither memory nor time.

    Args:
        model: takes float images [1, channels, H, W].
        input_size: side of a square in pixels, or height and width.
        channels: colour channels of the image.

    >>> cost(nn.Conv2d(3, 8, kernel_size=3, padding=1, bias=False), input_size=10)
    Cost(parameters=216, flops=43200)
    """
    counter = FlopCounterMode(display=False)
    image = sample_images(model, 1, input_size, channels)
    with eval_mode(model), counter:
        model(image)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Cost(parameters=parameters, flops=int(counter.get_total_flops()))


def file_size(path: Path) -> int:
    """Return the bytes of a file on disk; InputError if there is none."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError("cannot read the file", where=path, found=error.strerror) from error


def sample_images(model: nn.Module, batch: int, input_size: ImageSize, channels: int = 3) -> Tensor:
    """Return blank images [batch, channels, H, W] in the model's precision, on its device."""
    shape = (batch, channels, *height_width(input_size))
    weight = next((tensor for tensor in model.parameters() if tensor.is_floating_point()), None)
    if weight is None:
        return torch.zeros(shape)
    return torch.zeros(shape, dtype=weight.dtype, device=weight.device)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Set eval mode without gradients; afterwards every submodule is in its previous mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
