"""Random resized crops: cut a box out of each image and resize it to the image's size.

A box is never larger than the image, so resizing never makes anything smaller: of the antialiased triangle
filter, two neighbouring pixels a side remain. The two implementations below compute the same sums in whole
numbers of 2^-14 and round at the same places (along a row, then down a column, half up).
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

ONE = 1 << 14
"""The weights of torch's own uint8 resizing are multiples of 1 / ONE."""


def crop(images: Tensor, boxes: Tensor) -> Tensor:
    """Resize the box of each image to the image's size.

    Args:
        images: uint8 [B, 3, H, W].
        boxes: int64 [B, 4], top, left, height and width, inside the image and not empty.

    Returns:
        uint8 [B, 3, H, W].
    """
    return one_by_one(images, boxes) if images.device.type == "cpu" else gathered(images, boxes)


def one_by_one(images: Tensor, boxes: Tensor) -> Tensor:
    """Crop with torch's own resizing of uint8, the fastest on a CPU; it takes one box at a time."""
    size = list(images.shape[-2:])
    views = [
        interpolate(
            image[None, :, y : y + h, x : x + w], size=size, mode="bilinear", antialias=True
        )
        for image, (y, x, h, w) in zip(images, boxes.tolist(), strict=True)
    ]
    return torch.cat(views)


def gathered(images: Tensor, boxes: Tensor) -> Tensor:
    """Crop all boxes at once, without waiting for the device: for everything but a CPU.

    Sums of two products of a pixel and a weight of 15 bits are exact in fp32, so the result depends neither
    on the order of the operations nor on the precision of a device's matrix products.
    """
    height, width = images.shape[-2:]
    top, left, tall, wide = boxes.unbind(1)
    low, high, weight = _taps(left, wide, width)
    images = _blend(images, 3, low[:, None, None], high[:, None, None], weight[:, None, None])
    low, high, weight = _taps(top, tall, height)
    return _blend(
        images, 2, low[:, None, :, None], high[:, None, :, None], weight[:, None, :, None]
    )


def _taps(start: Tensor, length: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two pixels int64 [B, size] of each of `size` outputs and the second one's weight, fp32.

    Output i is at (i + 1/2) length / size - 1/2 in the box, as a fraction of whole numbers.
    """
    outputs = 2 * torch.arange(size, device=start.device) + 1
    places = outputs * length[:, None] - size
    below = places.div(2 * size, rounding_mode="floor")
    rest = places - below * (2 * size)
    weight = (rest * ONE + size).div(2 * size, rounding_mode="floor")
    # At the box's edge both are the same pixel.
    low = below.clamp(min=0)
    high = torch.minimum(below + 1, length[:, None] - 1)
    return start[:, None] + low, start[:, None] + high, weight.to(torch.float32) / ONE


def _blend(images: Tensor, dim: int, low: Tensor, high: Tensor, weight: Tensor) -> Tensor:
    shape = images.shape
    one = images.gather(dim, low.expand(shape)) * (1 - weight)
    other = images.gather(dim, high.expand(shape)) * weight
    return one.add_(other).add_(0.5).to(torch.uint8)  # the conversion rounds down
