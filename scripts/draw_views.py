"""Draw docs/views.png: some views of one image under each setting of the augmentation.

python scripts/draw_views.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image, ImageDraw

from tutelage.config.augmentation import AugmentationConfig
from tutelage.data.augment.views import apply_views, plan_views

SIZE, VIEWS = 112, 7
ROWS = {
    "--student.flip": AugmentationConfig(flip=True),
    "--student.translate 12": AugmentationConfig(translate=12),
    "--student.crop-scale 0.3": AugmentationConfig(crop_scale=0.3),
    "--student.rotation 30": AugmentationConfig(rotation=30.0),
    "--student.color-jitter 0.4 0.4 0.4 0.1": AugmentationConfig(color_jitter=(0.4, 0.4, 0.4, 0.1)),
    "--student.rand-augment 2 9": AugmentationConfig(rand_augment=(2, 9)),
    "--student.trivial-augment": AugmentationConfig(trivial_augment=True),
    "--student.random-erasing 1": AugmentationConfig(random_erasing=1.0),
}


def scene(scale: int = 4) -> Image.Image:
    """Draw a house, a tree and a hill under the sun."""
    side = SIZE * scale
    sky = np.linspace([90, 150, 230], [215, 232, 245], side)[:, None].repeat(side, 1)
    image = Image.fromarray(sky.astype(np.uint8))
    draw = ImageDraw.Draw(image)

    def points(*corners: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x * side, y * side) for x, y in corners]

    draw.ellipse(points((0.70, 0.08), (0.90, 0.28)), fill=(255, 214, 64))
    draw.ellipse(points((-0.5, 0.60), (1.1, 1.7)), fill=(104, 168, 82))
    draw.ellipse(points((0.3, 0.68), (1.6, 1.8)), fill=(74, 140, 74))
    draw.rectangle(points((0.18, 0.46), (0.52, 0.80)), fill=(232, 205, 170))
    draw.polygon(points((0.13, 0.47), (0.35, 0.24), (0.57, 0.47)), fill=(184, 62, 52))
    draw.rectangle(points((0.30, 0.60), (0.41, 0.80)), fill=(104, 66, 42))
    draw.rectangle(points((0.21, 0.53), (0.28, 0.62)), fill=(120, 180, 225))
    draw.rectangle(points((0.74, 0.60), (0.79, 0.88)), fill=(110, 76, 48))
    draw.ellipse(points((0.62, 0.34), (0.91, 0.66)), fill=(44, 116, 60))
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def main() -> None:
    """Draw a row of views for each setting, the image itself first."""
    image = torch.from_numpy(np.asarray(scene()).copy()).permute(2, 0, 1)[None]
    figure, axes = plt.subplots(len(ROWS), VIEWS + 1, figsize=(10.2, 1.46 * len(ROWS)), dpi=80)
    for line, (title, settings) in zip(axes, ROWS.items(), strict=True):
        for number, axis in enumerate(line):
            shown = image
            if number:
                plan = plan_views(
                    torch.tensor([7]), view=number - 1, settings=settings, size=(SIZE, SIZE)
                )
                shown = apply_views(image, plan, settings)
            axis.imshow(shown[0].permute(1, 2, 0).numpy())
            axis.set_axis_off()
        line[0].set_title(title, loc="left", fontsize=9, family="monospace", pad=3)
    figure.subplots_adjust(
        left=0.005, right=0.995, top=0.975, bottom=0.005, wspace=0.04, hspace=0.22
    )
    figure.canvas.draw()
    drawn = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])  # type: ignore[attr-defined]
    out = Path(__file__).parents[1] / "docs" / "views.png"
    drawn.quantize(256).save(out, optimize=True)


if __name__ == "__main__":
    main()
