"""Fold each BatchNorm into the convolution before it: the same outputs in eval mode, computed faster."""

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

from tutelage.config.image_size import ImageSize, height_width

TOLERANCE = 1e-3
"""Largest difference of the logits, relative to the largest of them."""


def fuse_batchnorm(network: nn.Module, size: ImageSize, channels: int = 3) -> nn.Module | None:
    """Return a copy of a network with its BatchNorms folded, or None where that cannot be done.

    Args:
        network: in eval mode, images -> [B, C]; it is not changed.
        size: of its input, in pixels.
        channels: of its input.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return None
    try:
        copy = fuse(network)
    except Exception:  # tracing can fail with any error
        return None
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, channels, *height_width(size), generator=generator).to(device)
    with torch.no_grad():
        before, after = network(images).float(), copy(images).float()
    # Tracing follows one path: reject a network whose path depends on the images.
    same = before.shape == after.shape and torch.allclose(
        before, after, rtol=TOLERANCE, atol=TOLERANCE * float(before.abs().max())
    )
    return copy if same else None
