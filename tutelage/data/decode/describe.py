"""How an image becomes the pixels that a network takes, in words."""

from tutelage.config.data import DataConfig
from tutelage.config.image_size import spell_size


def preparation_steps(settings: DataConfig) -> list[str]:
    """Return the steps from a decoded image to stored pixels, in order.

    >>> preparation_steps(DataConfig(image_size=32))
    ['RGB', 'shorter edge resized to 32 (bilinear, antialiased)', 'centre crop 32 x 32']
    """
    height, width, channels = settings.shape
    tall, wide = int(height / settings.crop_ratio), int(width / settings.crop_ratio)
    box, stored = spell_size((tall, wide)), spell_size((height, width))
    antialiased = "" if settings.interpolation == "nearest" else ", antialiased"
    filter = f"({settings.interpolation}{antialiased})"
    steps = ["RGB" if channels == 3 else "grey"]
    if settings.range is not None:
        low, high = settings.range
        steps.insert(0, f"values {low:g} to {high:g} of more than 8 bits become 0 to 255")
    if settings.fit == "squash":
        steps.append(f"resized to {box} {filter}")
    elif settings.fit == "pad":
        steps.append(f"resized to fit into {box} {filter}")
        steps.append(f"padded with {settings.background} to {box}")
    elif tall == wide:
        steps.append(f"shorter edge resized to {tall} {filter}")
    else:
        steps.append(f"resized to cover {box} {filter}")
    if settings.fit == "crop" or box != stored:
        steps.append(f"centre crop {stored}")
    return steps
