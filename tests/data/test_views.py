"""Views are pure functions of (pixels, key, view, seed): against oracles, and as a whole."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from support.examples import examples
from tutelage.config.augmentation import AugmentationConfig
from tutelage.data.augment.views import apply_views, plan_views, uniform, view_version

ALL = AugmentationConfig(flip=True, translate=2, crop_scale=0.3)
KEYS = st.integers(-(2**63), 2**63 - 1)
KINDS = [
    AugmentationConfig(flip=True),
    AugmentationConfig(translate=3),
    AugmentationConfig(crop_scale=0.25),
    ALL,
]
LOW = 2**64 - 1


def draw(
    images: Tensor, keys: Tensor, *, view: int, seed: int, settings: AugmentationConfig
) -> Tensor:
    settings = dataclasses.replace(settings, view_seed=seed)
    size = (images.shape[2], images.shape[3])
    return apply_views(images, plan_views(keys, view=view, settings=settings, size=size), settings)


def batch_images(count: int, *, height: int = 12, width: int = 10, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 3, height, width)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def slow_mix(value: int) -> int:
    """The finaliser of SplitMix64 as published, on whole numbers without a sign."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & LOW
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & LOW
    return value ^ (value >> 31)


def slow_uniform(key: int, *, view: int, seed: int, stream: int) -> float:
    mixed = key & LOW
    for part in (seed, view, stream):
        mixed = slow_mix((mixed + (part + 1) * 0x9E3779B97F4A7C15) & LOW)
    return (mixed >> 11) / 2**53


def test_published_numbers() -> None:
    """The oracle itself is SplitMix64: its first outputs from seed 0 are the published ones."""
    gamma = 0x9E3779B97F4A7C15
    assert [slow_mix(n * gamma & LOW) for n in (1, 2, 3)] == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
        0x06C45D188009454F,
    ]


@given(
    keys=st.lists(KEYS, min_size=1, max_size=5),
    view=st.integers(0, 10_000),
    seed=st.integers(0, 2**31),
    stream=st.integers(0, 6),
)
@examples(80)
def test_uniform_oracle(keys: list[int], view: int, seed: int, stream: int) -> None:
    """Each number is what whole-number arithmetic gives, to the last bit, in [0, 1)."""
    found = uniform(torch.tensor(keys), view=view, seed=seed, stream=stream)
    assert found.dtype == torch.float64
    assert found.tolist() == [slow_uniform(k, view=view, seed=seed, stream=stream) for k in keys]
    assert bool(((found >= 0) & (found < 1)).all())


def test_uniform_statistics() -> None:
    """Numbers are spread evenly and are unrelated between neighbouring keys, views, seeds, streams."""
    count = 50_000
    keys = torch.arange(count)
    base = uniform(keys, view=3, seed=5, stream=1)
    assert abs(float(base.mean()) - 0.5) < 5 * (1 / 12 / count) ** 0.5  # 5 standard errors
    assert abs(float(base.var()) - 1 / 12) < 5 * (1 / 180 / count) ** 0.5
    counts = torch.histc(base.float(), 64, 0, 1)
    chi = float(((counts - count / 64) ** 2 / (count / 64)).sum())
    assert chi < 63 + 6 * (2 * 63) ** 0.5  # mean 63, variance 126
    others = [
        uniform(keys, view=4, seed=5, stream=1),
        uniform(keys, view=3, seed=6, stream=1),
        uniform(keys, view=3, seed=5, stream=2),
        uniform(keys, view=5, seed=3, stream=1),
        base.roll(1),
    ]
    for other in others:
        correlation = float(np.corrcoef(base.numpy(), other.numpy())[0, 1])
        assert abs(correlation) < 5 / count**0.5


@pytest.mark.parametrize("kind", KINDS, ids=["flip", "shift", "crop", "all"])
@given(order=st.permutations(range(6)), split=st.integers(1, 5))
@examples(10)
def test_batches_do_not_matter(kind: AugmentationConfig, order: list[int], split: int) -> None:
    """An image's view is the same in any batch, order and company."""
    images, keys = batch_images(6), torch.arange(6) * 1_000_003
    expected = draw(images, keys, view=2, seed=9, settings=kind)
    rows = torch.tensor(order)
    parts = [
        draw(images[part], keys[part], view=2, seed=9, settings=kind)
        for part in (rows[:split], rows[split:])
    ]
    assert torch.equal(torch.cat(parts), expected[rows])
    alone = draw(images[3:4], keys[3:4], view=2, seed=9, settings=kind)
    assert torch.equal(alone[0], expected[3])


@pytest.mark.parametrize("kind", KINDS, ids=["flip", "shift", "crop", "all"])
def test_layout_does_not_matter(kind: AugmentationConfig) -> None:
    """Images stored rows-first or channels-first in memory get the same view."""
    images, keys = batch_images(8), torch.arange(8)
    permuted = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    expected = draw(images, keys, view=1, seed=1, settings=kind)
    assert torch.equal(draw(permuted, keys, view=1, seed=1, settings=kind), expected)


@pytest.mark.parametrize("kind", KINDS, ids=["flip", "shift", "crop", "all"])
def test_views_differ(kind: AugmentationConfig) -> None:
    """Another view number, seed or key gives another view of some image; the same give the same."""
    images, keys = batch_images(16), torch.arange(16)
    base = draw(images, keys, view=0, seed=0, settings=kind)
    assert torch.equal(draw(images, keys, view=0, seed=0, settings=kind), base)
    assert not torch.equal(draw(images, keys, view=1, seed=0, settings=kind), base)
    assert not torch.equal(draw(images, keys, view=0, seed=1, settings=kind), base)
    assert not torch.equal(draw(images, keys + 16, view=0, seed=0, settings=kind), base)


@pytest.mark.parametrize("kind", KINDS, ids=["flip", "shift", "crop", "all"])
def test_images_are_not_written_to(kind: AugmentationConfig) -> None:
    """A view is a new tensor of the same type and shape; the image stays as it was."""
    images = batch_images(4)
    before = images.clone()
    found = draw(images, torch.arange(4), view=0, seed=0, settings=kind)
    assert (found.dtype, found.shape) == (torch.uint8, images.shape)
    found.zero_()
    assert torch.equal(images, before)


def test_fixed() -> None:
    """Fixed views are the images themselves."""
    images = batch_images(4)
    assert AugmentationConfig().fixed
    assert not any(kind.fixed for kind in KINDS)
    assert draw(images, torch.arange(4), view=5, seed=5, settings=AugmentationConfig()) is images


def test_numbers_of_views() -> None:
    """Epochs take the distinct views in turn; without a number each has its own; fixed views are one."""
    free, three, fixed = (
        AugmentationConfig(flip=True),
        AugmentationConfig(flip=True, num_views=3),
        AugmentationConfig(num_views=3),
    )
    assert [free.number(epoch) for epoch in range(4)] == [0, 1, 2, 3]
    assert [three.number(epoch) for epoch in range(5)] == [0, 1, 2, 0, 1]
    assert [fixed.number(epoch) for epoch in range(3)] == [0, 0, 0]
    assert [kind.count(5) for kind in (free, three, fixed)] == [5, 3, 1]
    assert [kind.count(2) for kind in (free, three, fixed)] == [2, 2, 1]


@given(epochs=st.integers(1, 40), distinct=st.none() | st.integers(1, 50))
@examples(60)
def test_count_is_of_the_numbers(epochs: int, distinct: int | None) -> None:
    """`count` says how many numbers `number` gives, and they are those from 0 on."""
    for kind in (
        AugmentationConfig(translate=1, num_views=distinct),
        AugmentationConfig(num_views=distinct),
        AugmentationConfig(cutmix=1.0),
    ):
        numbers = {kind.number(epoch) for epoch in range(epochs)}
        assert numbers == set(range(kind.count(epochs)))


def test_what_is_fixed_and_mixed() -> None:
    """Mixing is a change, too, and no change is one."""
    assert not any(
        kind.fixed for kind in (AugmentationConfig(mixup=0.2), AugmentationConfig(cutmix=1.0))
    )
    assert AugmentationConfig(mixup=0.2).mixing
    assert AugmentationConfig(cutmix=0.2).mixing
    assert not ALL.mixing


def test_identity() -> None:
    """A cache can tell which implementation made its views."""
    names = {view_version(torch.device(name)) for name in ("cpu", "cuda", "cuda:1", "mps")}
    assert view_version(torch.device("cpu")) == "views-2"
    assert len(names) == 2


def test_flip() -> None:
    """About half of the views are the mirror image, and the others the image."""
    count = 2000
    images = batch_images(count, height=2, width=3)
    found = draw(
        images, torch.arange(count), view=1, seed=0, settings=AugmentationConfig(flip=True)
    )
    mirrored = (found == images.flip(-1)).flatten(1).all(1)
    kept = (found == images).flatten(1).all(1)
    assert bool((mirrored | kept).all())
    both = int((mirrored & kept).sum())  # an image may be its own mirror image
    assert abs(int(mirrored.sum()) - both - count / 2) < 5 * (count / 4) ** 0.5


def test_shift_oracle() -> None:
    """A shift moves the image by whole pixels, up to the most each way, and repeats its edge."""
    most, keys, images = 3, torch.arange(200), batch_images(200, height=7, width=5)
    found = draw(images, keys, view=4, seed=2, settings=AugmentationConfig(translate=most)).numpy()
    offsets = set()
    for row, key in enumerate(keys.tolist()):
        y = int(slow_uniform(key, view=4, seed=2, stream=4) * (2 * most + 1)) - most
        x = int(slow_uniform(key, view=4, seed=2, stream=5) * (2 * most + 1)) - most
        padded = np.pad(images[row].numpy(), ((0, 0), (most, most), (most, most)), mode="edge")
        expected = padded[:, most + y : most + y + 7, most + x : most + x + 5]
        assert (found[row] == expected).all()
        offsets.add((y, x))
    assert {y for y, _ in offsets} == {x for _, x in offsets} == set(range(-most, most + 1))


def test_shift_larger_than_the_image() -> None:
    """A shift by more than the image leaves its edge."""
    images = batch_images(50, height=3, width=3)
    found = draw(
        images, torch.arange(50), view=0, seed=0, settings=AugmentationConfig(translate=100)
    )
    assert found.shape == images.shape


def slow_box(key: int, *, smallest: float, size: int) -> tuple[int, int, int, int]:
    """Top, left, height and width of a crop, as torchvision's RandomResizedCrop draws them."""
    area, shape, top, left = (slow_uniform(key, view=0, seed=0, stream=n) for n in range(4))
    share = smallest + (1 - smallest) * area
    ratio = math.exp(math.log(3 / 4) + (math.log(4 / 3) - math.log(3 / 4)) * shape)
    height = min(size, round(size * math.sqrt(share / ratio)))
    width = min(size, round(size * math.sqrt(share * ratio)))
    return int(top * (size - height + 1)), int(left * (size - width + 1)), height, width


def test_crop_oracle() -> None:
    """A crop is a rectangle of the allowed area and shape, inside the image, resized to its size."""
    size, smallest, count = 40, 0.25, 300
    ramp = torch.arange(size, dtype=torch.uint8)
    rows, columns = ramp[:, None].expand(size, size), ramp[None].expand(size, size)
    images = torch.stack([rows, columns, torch.zeros_like(rows)]).expand(count, -1, -1, -1)
    found = draw(
        images,
        torch.arange(count),
        view=0,
        seed=0,
        settings=AugmentationConfig(crop_scale=smallest),
    )
    assert (found.dtype, found.shape) == (torch.uint8, images.shape)
    # On a ramp the first and last values of a crop tell where it was cut.
    values = found.to(torch.int64)
    tops, lefts = values[:, 0, 0, 0], values[:, 1, 0, 0]
    heights, widths = values[:, 0, -1, 0] - tops + 1, values[:, 1, 0, -1] - lefts + 1
    boxes = torch.stack([tops, lefts, heights, widths], dim=1).tolist()
    assert boxes == [list(slow_box(key, smallest=smallest, size=size)) for key in range(count)]
    assert bool((tops + heights <= size).all())
    assert bool((lefts + widths <= size).all())
    assert int(values[:, 2].abs().max()) == 0
    shares, ratios = heights * widths / size**2, widths / heights
    slack = 0.05  # a side is rounded by up to half a pixel of 20
    assert float(shares.min()) == pytest.approx(smallest, abs=slack)
    assert float(shares.max()) == pytest.approx(1, abs=slack)
    assert float(ratios.min()) == pytest.approx(3 / 4, abs=slack)
    assert float(ratios.max()) == pytest.approx(4 / 3, abs=slack)


def test_crop_of_one_colour() -> None:
    """A crop invents no value: an image of one colour stays that colour."""
    images = torch.full((20, 3, 9, 9), 251, dtype=torch.uint8)
    found = draw(
        images, torch.arange(20), view=0, seed=0, settings=AugmentationConfig(crop_scale=0.01)
    )
    assert torch.equal(found, images)
