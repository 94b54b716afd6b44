"""From an image of any size to the stored size: cover it and keep the centre, pad, or squash.

The same arithmetic as the usual evaluation transforms on Pillow images, so that a pack equals them: `crop` is
`Resize` and `CenterCrop` of torchvision (BSD-3-Clause, https://github.com/pytorch/vision), `pad` and `squash`
are the crop modes `border` and `squash` of timm (Apache-2.0, https://github.com/huggingface/pytorch-image-models).
"""

from collections.abc import Mapping

from PIL import Image

from tutelage.config.data import DataConfig

FILTERS: Mapping[str, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_MOST_PIXELS = 1 << 24


def resize(image: Image.Image, settings: DataConfig) -> Image.Image:
    """Return an image of the stored size, in the mode of the one given.

    A fitted image that would take more than 16 million pixels, such as that of a long strip, is resized only
    where it is seen; its values may differ from those of the two steps by one level.

    Args:
        image: of any size.
        settings: size, `fit`, `crop_ratio`, `interpolation` and `background`.
    """
    height, width, _ = settings.shape
    wide, high = fitted_size(image.size, settings)
    across, down = min(width, wide), min(height, high)
    left, top = _middle(wide, across), _middle(high, down)
    filter = FILTERS[settings.interpolation]
    if wide * high > _MOST_PIXELS:
        x, y = image.width / wide, image.height / high
        box = (left * x, top * y, (left + across) * x, (top + down) * y)
        seen = image.resize((across, down), filter, box=box)
    else:
        seen = image if (wide, high) == image.size else image.resize((wide, high), filter)
        if (wide, high) != (across, down):
            seen = seen.crop((left, top, left + across, top + down))
    if (across, down) == (width, height):
        return seen
    padded = Image.new(image.mode, (width, height), settings.background)
    padded.paste(seen, ((width - across) // 2, (height - down) // 2))
    return padded


def fitted_size(size: tuple[int, int], settings: DataConfig) -> tuple[int, int]:
    """Return width and height of the whole image after resizing, before the centre is cut out or padded.

    Args:
        size: width and height of the image.
        settings: size, `fit` and `crop_ratio`.
    """
    (width, height), (high, wide, _) = size, settings.shape
    wide, high = int(wide / settings.crop_ratio), int(high / settings.crop_ratio)
    if settings.fit == "squash":
        return wide, high
    narrow = width * high <= height * wide
    if settings.fit == "crop":
        return (wide, int(wide * height / width)) if narrow else (int(high * width / height), high)
    shrink = max(height / high, width / wide)
    return max(1, round(width / shrink)), max(1, round(height / shrink))


def _middle(whole: int, part: int) -> int:
    """Return where a part begins that lies in the middle of a whole."""
    return int(round((whole - part) / 2.0))  # noqa: RUF046
