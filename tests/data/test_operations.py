"""Operations of views are those of torchvision, and pure functions of (key, view, seed)."""

import dataclasses
import math
from collections import Counter

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as usual
import torchvision.transforms.v2.functional as ops
from torch import Tensor

from tutelage.config.augmentation import AugmentationConfig
from tutelage.data.augment import apply
from tutelage.data.augment import operations as named
from tutelage.data.augment.apply import apply_operations
from tutelage.data.augment.erase import erase, plan_erasing
from tutelage.data.augment.operations import BLENDS, COLUMNS, ONE, plan_operations, steps_of
from tutelage.data.augment.views import apply_views, plan_views, uniform

NAMES = {
    "Identity": named.IDENTITY, "ShearX": named.SHEAR_X, "ShearY": named.SHEAR_Y,
    "TranslateX": named.TRANSLATE_X, "TranslateY": named.TRANSLATE_Y, "Rotate": named.ROTATE,
    "Brightness": named.BRIGHTNESS, "Color": named.SATURATION, "Contrast": named.CONTRAST,
    "Sharpness": named.SHARPNESS, "Posterize": named.POSTERIZE, "Solarize": named.SOLARIZE,
    "AutoContrast": named.AUTOCONTRAST, "Equalize": named.EQUALIZE, "Hue": named.HUE,
}  # fmt: skip
"""torchvision's names."""
FARTHEST = {
    "ShearX": 0.99, "ShearY": 0.99, "TranslateX": 20, "TranslateY": 20, "Rotate": 180,
    "Brightness": 0.99, "Color": 0.99, "Contrast": 0.99, "Sharpness": 0.99, "Hue": 0.5,
}  # fmt: skip
SETTINGS = [
    AugmentationConfig(color_jitter=(0.4, 0.4, 0.4, 0.1)),
    AugmentationConfig(rotation=30),
    AugmentationConfig(rand_augment=(2, 9)),
    AugmentationConfig(trivial_augment=True),
    AugmentationConfig(random_erasing=0.5),
    AugmentationConfig(
        color_jitter=(0.4, 0.4, 0.4, 0.1), rotation=10, rand_augment=(1, 20), trivial_augment=True,
        random_erasing=0.3, flip=True, translate=2, crop_scale=0.4,
    ),
]  # fmt: skip
USUAL = usual.RandAugment()


def batch_of(numbers: np.random.Generator, count: int, channels: int = 3) -> Tensor:
    """Images of random size, in a random part of all levels."""
    height, width = numbers.integers(3, 40, 2)
    low, high = numbers.integers(0, 100), numbers.integers(120, 256)
    values = numbers.integers(low, high, (count, channels, height, width))
    return torch.from_numpy(values.astype(np.uint8))


def magnitude_of(name: str, numbers: np.random.Generator) -> float:
    if name in FARTHEST:
        return float(numbers.uniform(-FARTHEST[name], FARTHEST[name]))
    return {
        "Posterize": float(numbers.integers(2, 9)),
        "Solarize": (int(numbers.integers(0, 255)) + 0.5) / 255,
    }.get(name, 0.0)


def step_of(code: int, magnitude: float, size: tuple[int, int]) -> Tensor:
    """A planned step of one image."""
    codes, far = torch.tensor([code]), torch.tensor([magnitude], dtype=torch.float64)
    amount = round((1 + magnitude if code in BLENDS else magnitude) * ONE)
    return torch.cat(
        [codes[:, None], torch.tensor([[amount]]), named._matrices(codes, far, size)], 1
    )


def expected(name: str, magnitude: float, image: Tensor) -> Tensor:
    if name == "Hue":
        return ops.adjust_hue(image, magnitude)
    return USUAL._apply_image_or_video_transform(image, name, magnitude, "nearest", {Tensor: None})


@pytest.mark.parametrize("name", NAMES)
def test_each_operation_is_that_of_torchvision(name: str) -> None:
    """At 200 random magnitudes: colours to one level; places but for pixels halfway between two."""
    numbers = np.random.default_rng(len(name))
    elsewhere = []
    for _ in range(200):
        image, magnitude = batch_of(numbers, 1), magnitude_of(name, numbers)
        step = step_of(NAMES[name], magnitude, (image.shape[2], image.shape[3]))
        ours = apply_operations(image, step).int()
        theirs = expected(name, magnitude, image).int()
        elsewhere.append(((ours - theirs).abs() > 1).float().mean().item())
    assert max(elsewhere) <= (0.06 if name == "Rotate" else 0)
    assert np.mean(elsewhere) < 2e-3


@pytest.mark.parametrize(("wide", "magnitude"), [(False, 9), (False, 30), (False, 1), (True, None)])
def test_ranges_are_those_of_torchvision(wide: bool, magnitude: int | None) -> None:
    """Each operation that is drawn has a magnitude of torchvision's list, with both signs where it has."""
    theirs = usual.TrivialAugmentWide() if wide else usual.RandAugment()
    height, width = 50, 70
    settings = AugmentationConfig(
        trivial_augment=wide, rand_augment=None if magnitude is None else (1, magnitude)
    )
    keys = torch.arange(6000)

    def number(stream: int) -> Tensor:
        return uniform(keys, view=3, seed=1, stream=stream)

    steps = plan_operations(number, settings, (height, width))
    found = Counter(steps[:, 0].tolist())
    assert found.keys() == set(range(14))
    assert max(found.values()) < 1.3 * min(found.values())
    for name, (magnitudes_of, signed) in theirs._AUGMENTATION_SPACE.items():
        magnitudes = magnitudes_of(31, height, width)
        of_name = steps[steps[:, 0] == NAMES[name]]
        if magnitudes is None:
            continue
        chosen = magnitudes.double() if magnitude is None else magnitudes.double()[[magnitude]]
        amounts = (of_name[:, 1].double() / ONE) - (1 if NAMES[name] in BLENDS else 0)
        allowed = torch.cat([chosen, -chosen]) if signed else chosen
        gaps = (amounts[:, None] - allowed).abs().amin(1)
        assert gaps.max() < 1e-3, name
        if signed and chosen.max() > 0:
            assert 0.3 < (amounts < 0).double().mean() < 0.7


@pytest.mark.parametrize("settings", SETTINGS, ids=range(len(SETTINGS)))
def test_a_view_depends_on_key_view_and_seed_alone(settings: AugmentationConfig) -> None:
    """In any batch and order, alone or together: the same bytes; another view or seed: others."""
    numbers = np.random.default_rng(5)
    for trial in range(10):
        images = batch_of(numbers, 12)
        keys = torch.from_numpy(numbers.integers(-(2**63), 2**63 - 1, 12))
        whole = view_of(images, keys, trial, settings)
        order = torch.from_numpy(numbers.permutation(12))
        assert torch.equal(view_of(images[order], keys[order], trial, settings), whole[order])
        parts = [view_of(images[n : n + 5], keys[n : n + 5], trial, settings) for n in (0, 5, 10)]
        assert torch.equal(torch.cat(parts), whole)
        assert not torch.equal(view_of(images, keys, trial + 1, settings), whole)
        other = dataclasses.replace(settings, view_seed=9)
        assert not torch.equal(view_of(images, keys, trial, other), whole)
        assert whole.dtype == torch.uint8
        assert whole.shape == images.shape


def view_of(images: Tensor, keys: Tensor, view: int, settings: AugmentationConfig) -> Tensor:
    size = (images.shape[2], images.shape[3])
    return apply_views(images, plan_views(keys, view=view, settings=settings, size=size), settings)


@pytest.mark.parametrize("settings", SETTINGS, ids=range(len(SETTINGS)))
@pytest.mark.parametrize("channels", [1, 3])
def test_computing_all_images_gives_the_same(
    settings: AugmentationConfig, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a device that must not be waited for."""
    numbers = np.random.default_rng(6)
    for trial in range(8):
        images, keys = batch_of(numbers, 16, channels), torch.arange(16) * 7919
        some = view_of(images, keys, trial, settings)
        with monkeypatch.context() as patch:
            patch.setattr(apply, "_where", apply.everywhere)
            assert torch.equal(view_of(images, keys, trial, settings), some)


def test_no_change_is_exactly_none() -> None:
    """Blends of their own whole weight, hues of no turn, all eight bits."""
    numbers = np.random.default_rng(8)
    for _ in range(50):
        image = batch_of(numbers, 1)
        size = (image.shape[2], image.shape[3])
        for code in (*BLENDS, named.HUE, named.ROTATE, named.SHEAR_X, named.TRANSLATE_Y):
            assert torch.equal(apply_operations(image, step_of(code, 0.0, size)), image)
        assert torch.equal(apply_operations(image, step_of(named.POSTERIZE, 8.0, size)), image)


def test_jitter_draws_all_orders_within_its_limits() -> None:
    most = (0.4, 0.3, 0.2, 0.1)
    keys = torch.arange(5000)

    def number(stream: int) -> Tensor:
        return uniform(keys, view=0, seed=0, stream=stream)

    settings = AugmentationConfig(color_jitter=most)
    steps = plan_operations(number, settings, (8, 8)).view(len(keys), steps_of(settings), COLUMNS)
    codes = (named.BRIGHTNESS, named.CONTRAST, named.SATURATION, named.HUE)
    orders = Counter(tuple(row) for row in steps[..., 0].tolist())
    assert len(orders) == 24
    assert all(sorted(order) == sorted(codes) for order in orders)
    for code, far in zip(codes, most, strict=True):
        shift = steps[steps[..., 0] == code][:, 1] / ONE - (0 if code == named.HUE else 1)
        assert 0.95 * far < shift.abs().max() <= far + 1e-4
        assert abs(shift.mean()) < 0.05 * far


def test_erasing_is_that_of_torchvision() -> None:
    """The box becomes the mean colour; as often as asked; its area and shape within timm's limits."""
    numbers = np.random.default_rng(9)
    drawn = 0
    for trial in range(60):
        images, keys = batch_of(numbers, 20), torch.arange(20)

        def number(stream: int, keys: Tensor = keys, trial: int = trial) -> Tensor:
            return uniform(keys, view=trial, seed=0, stream=stream)

        height, width = images.shape[2:]
        boxes = plan_erasing(number, 0.4, (height, width))
        found = erase(images, boxes)
        for image, (top, left, bottom, right), erased in zip(
            images, boxes.tolist(), found, strict=True
        ):
            if bottom == 0:
                assert torch.equal(erased, image)
                continue
            drawn += 1
            tall, wide = bottom - top, right - left
            mean = image.sum((1, 2), keepdim=True) // (height * width)
            wanted = ops.erase(image, top, left, tall, wide, mean.to(torch.uint8))
            assert torch.equal(erased, wanted)
            assert 0 <= top < bottom <= height
            assert 0 <= left < right <= width
            assert tall * wide <= (height * width) / 3 + height + width
            assert tall / wide < 3.4 * (1 + 2 / min(tall, wide)) or wide == 1
            assert math.isfinite(tall / wide)
    assert 0.3 < drawn / 1200 < 0.5
