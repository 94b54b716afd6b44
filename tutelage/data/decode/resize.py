"""From an image of any size to the stored square: shorter edge to the side, then the centre.

The same arithmetic as `torchvision.transforms.Resize(side)` and `CenterCrop(side)` on Pillow images
(BSD-3-Clause, https://github.com/pytorch/vision), so that a pack equals the usual evaluation transform.
"""

from PIL import Image

_MOST_PIXELS = 1 << 24


def square(image: Image.Image, side: int) -> Image.Image:
    """Resize the shorter edge of an image to `side` and return its centre square [side, side].

    Bilinear, antialiased, aspect ratio kept, the longer edge rounded down. A strip so long that the whole of
    it would take more than 16 million pixels is resized only where the square is; its values may differ from
    the two steps by one level.
    """
    width, height = image.size
    if width <= height:
        wide, high = side, int(side * height / width)
    else:
        wide, high = int(side * width / height), side
    left, top = int(round((wide - side) / 2.0)), int(round((high - side) / 2.0))  # noqa: RUF046
    if wide * high > _MOST_PIXELS:
        across, down = width / wide, height / high
        box = (left * across, top * down, (left + side) * across, (top + side) * down)
        return image.resize((side, side), Image.Resampling.BILINEAR, box=box)
    if (wide, high) != (width, height):
        image = image.resize((wide, high), Image.Resampling.BILINEAR)
    if (wide, high) == (side, side):
        return image
    return image.crop((left, top, left + side, top + side))
