"""Images are fitted to the stored size as by torchvision and timm; pad and squash lose nothing."""

import random
from typing import Any

import numpy as np
import pytest
import torchvision.transforms as usual
from PIL import Image
from timm.data.transforms import CenterCropOrPad, ResizeKeepRatio

from tutelage.config.data import DataConfig
from tutelage.data.decode.loss import crop_warning, share_cut
from tutelage.data.decode.resize import FILTERS, resize

MODES = {name: usual.InterpolationMode(name) for name in FILTERS}


def picture(rng: random.Random, least: int = 1) -> Image.Image:
    """An image of random size, aspect ratio and content."""
    width, height = rng.randint(least, 90), rng.randint(least, 90)
    values = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, (height, width, 3))
    return Image.fromarray(values.astype(np.uint8))


def settings_of(rng: random.Random, **fixed: Any) -> DataConfig:
    """Random geometry."""
    size = rng.choice([rng.randint(8, 48), (rng.randint(8, 48), rng.randint(8, 48))])
    drawn = {
        "image_size": size,
        "fit": rng.choice(["crop", "pad", "squash"]),
        "crop_ratio": rng.choice([1.0, 0.875, 0.95, rng.uniform(0.3, 1)]),
        "interpolation": rng.choice(list(FILTERS)),
        "background": rng.choice(["white", "black"]),
    }
    return DataConfig(**drawn | fixed)  # type: ignore[arg-type]


def expected(image: Image.Image, settings: DataConfig) -> Image.Image:
    """What torchvision's and timm's transforms make of it."""
    height, width, _ = settings.shape
    scaled = (int(height / settings.crop_ratio), int(width / settings.crop_ratio))
    mode = MODES[settings.interpolation]
    fill = (255,) * 3 if settings.background == "white" else (0,) * 3
    steps: list[Any] = {
        "crop": [usual.Resize(scaled[0], mode), usual.CenterCrop((height, width))],
        "squash": [usual.Resize(scaled, mode), usual.CenterCrop((height, width))],
        "pad": [
            ResizeKeepRatio(scaled, longest=1.0, interpolation=settings.interpolation),
            CenterCropOrPad((height, width), fill=fill),
        ],
    }[settings.fit]
    return usual.Compose(steps)(image)  # type: ignore[no-any-return]


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_equal_to_the_usual_transforms(fit: str) -> None:
    """Byte for byte, for 300 images, sizes, ratios and filters; `crop` is torchvision's for squares."""
    rng = random.Random(fit)
    for _ in range(300):
        image = picture(rng, least=12 if fit == "pad" else 1)  # timm makes strips of no pixels
        fixed = {"fit": fit} | ({"image_size": rng.randint(8, 48)} if fit == "crop" else {})
        settings = settings_of(rng, **fixed)
        found, wanted = resize(image, settings), expected(image, settings)
        assert np.array_equal(np.asarray(found), np.asarray(wanted)), (image.size, settings)


def test_every_choice_gives_the_stored_size() -> None:
    """Of strips, too, and in grey."""
    rng = random.Random(0)
    for _ in range(300):
        settings = settings_of(rng)
        width, height = rng.choice([(1, rng.randint(1, 4000)), (rng.randint(1, 4000), 2), (7, 9)])
        for mode in ("RGB", "L"):
            found = resize(Image.new(mode, (width, height), "gray"), settings)
            assert (found.height, found.width) == settings.shape[:2]
            assert found.mode == mode


def test_marks_at_the_ends_survive_pad_and_squash_alone() -> None:
    """A mark at the left or right end of a strip can be told after `pad` and `squash`, not after `crop`."""
    rng = random.Random(1)
    for _ in range(200):
        side, times = rng.randint(16, 64), rng.uniform(3, 6)
        strip = np.zeros((side, int(side * times), 3), np.uint8)
        mark = max(8, side // 2)
        left, right = strip.copy(), strip.copy()
        left[:, :mark], right[:, -mark:] = 255, 255
        if rng.random() < 0.5:
            left, right = left.swapaxes(0, 1), right.swapaxes(0, 1)
        size = rng.choice([32, (rng.randint(24, 48), rng.randint(24, 48))])
        for fit in ("pad", "squash", "crop"):
            settings = settings_of(
                rng, fit=fit, crop_ratio=1.0, image_size=size, background="black",
                interpolation="bilinear",
            )  # fmt: skip
            one, two = (
                np.asarray(resize(Image.fromarray(image), settings)) for image in (left, right)
            )
            if fit != "crop":
                assert min(int(one.max()), int(two.max())) > 100
                assert (one != two).any()
            elif size == 32:
                assert not one.any()
                assert not two.any()


def test_share_that_is_cut_is_the_share_that_is_seen() -> None:
    """Of an image whose pixels are numbered, about that share never reaches the stored pixels."""
    rng = random.Random(2)
    for _ in range(200):
        width, height = rng.randint(40, 400), rng.randint(40, 400)
        settings = settings_of(rng, fit="crop", interpolation="nearest", image_size=48)
        place = np.stack(np.mgrid[0:height, 0:width], axis=-1)
        planes = [Image.fromarray(place[..., axis].astype(np.int32), "I") for axis in (0, 1)]
        rows, columns = (np.asarray(resize(plane, settings)) for plane in planes)
        seen = (np.ptp(rows) + 1) * (np.ptp(columns) + 1) / (width * height)
        assert abs(1 - seen - share_cut((width, height), settings)) < 0.1


def test_warning_is_given_for_more_than_a_quarter_and_its_remedy_works() -> None:
    """Of the middle image; with the remedy there is no warning."""
    rng = random.Random(3)
    for _ in range(200):
        settings = settings_of(rng)
        sizes = [(rng.randint(10, 900), rng.randint(10, 900)) for _ in range(rng.randint(1, 9))]
        cuts = sorted(share_cut(size, settings) for size in sizes)
        told = crop_warning(sizes, settings)
        assert (told is not None) == (cuts[len(cuts) // 2] > 0.25)
        if told is None:
            continue
        for fit in ("pad", "squash") if "--data.fit pad" in told else (settings.fit,):
            ratio = 1.0 if "--data.crop-ratio 1" in told else settings.crop_ratio
            better = DataConfig(image_size=settings.image_size, fit=fit, crop_ratio=ratio)  # type: ignore[arg-type]
            assert crop_warning(sizes, better) is None


def test_no_images_no_warning() -> None:
    assert crop_warning([], DataConfig()) is None
