"""Mixing: who with whom and in which shares, the pixels, and that nothing depends on the batch."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc
from torch import Tensor

from support.examples import examples
from tutelage.config.augmentation import AugmentationConfig
from tutelage.data.augment.mixup import Mixtures, apply_mixtures, plan_mixtures, symmetric_beta
from tutelage.data.loading.loader import reading_loader, training_loader
from tutelage.data.pack.pack import Pack
from tutelage.types import Batch

CPU = torch.device("cpu")
SIZE = (12, 10)
AMONG = torch.tensor([5, 7, 11])
KINDS = {
    "mixup": AugmentationConfig(mixup=0.4),
    "cutmix": AugmentationConfig(cutmix=1.0),
    "both": AugmentationConfig(mixup=1, cutmix=0.5),
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def planned(keys: Tensor, kind: AugmentationConfig, *, view: int = 0) -> Mixtures:
    return plan_mixtures(keys, among=AMONG, view=view, settings=kind, size=SIZE)


def batch_images(count: int, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, *SIZE), generator=generator, dtype=torch.uint8)


def draws(count: int, a: float) -> np.ndarray:
    generator = torch.Generator().manual_seed(3)
    first, second = torch.rand(2, count, generator=generator, dtype=torch.float64)
    power = torch.full((count,), a, dtype=torch.float64)
    return symmetric_beta(first, second, power).numpy()


@pytest.mark.parametrize("a", [0.05, 0.2, 0.4, 0.5, 0.9, 1.0])
def test_beta(a: float) -> None:
    """The shares follow Beta(a, a): mean, variance, and the distribution at a thousand places."""
    count = 100_000
    found = draws(count, a)
    variance = 1 / (4 * (2 * a + 1))
    assert abs(found.mean() - 0.5) < 5 * (variance / count) ** 0.5
    assert abs(found.var() - variance) < 5 * (1 / 16 / count) ** 0.5  # fourth moment: at most 1/16
    places = np.concatenate([np.linspace(0.001, 0.999, 999), np.geomspace(1e-9, 1e-3, 50)])
    below = np.searchsorted(np.sort(found), places) / count
    # Kolmogorov and Smirnov: further apart than 2.2 / sqrt(n) once in 8000 tries.
    assert np.abs(below - betainc(a, a, places)).max() < 2.2 / count**0.5


def test_beta_at_the_ends() -> None:
    """The least and greatest numbers a hash gives, with a small and a large a, give finite shares."""
    ends = torch.tensor([0, 2.0**-53, 0.25, 0.5, 0.75, 1 - 2.0**-53], dtype=torch.float64)
    first, second = torch.meshgrid(ends, ends, indexing="ij")
    for a in (1e-6, 0.3, 1.0):
        found = symmetric_beta(first.flatten(), second.flatten(), torch.full((36,), a).double())
        assert bool(((found >= 0) & (found <= 1)).all())


@every_kind
@given(order=st.permutations(range(6)), split=st.integers(1, 5))
@examples(10)
def test_batches_do_not_matter(kind: AugmentationConfig, order: list[int], split: int) -> None:
    """An image's mixture is the same in any batch, order and company."""
    keys, rows = torch.arange(6) * 1_000_003, torch.tensor(order)
    expected = planned(keys, kind, view=2)
    parts = [planned(keys[part], kind, view=2) for part in (rows[:split], rows[split:])]
    for found, whole in zip(zip(*parts, strict=True), expected, strict=True):
        assert torch.equal(torch.cat(found), whole[rows])


@every_kind
def test_mixtures_differ(kind: AugmentationConfig) -> None:
    """Another view number or seed gives other mixtures; the same give the same."""
    keys = torch.arange(30)
    base = planned(keys, kind)
    assert torch.equal(planned(keys, kind).shares, base.shares)
    for other in (
        planned(keys, kind, view=1),
        planned(keys, dataclasses.replace(kind, view_seed=1)),
    ):
        assert not torch.equal(other.partners, base.partners)
        assert not torch.equal(other.shares, base.shares)


@every_kind
def test_partners(kind: AugmentationConfig) -> None:
    """Partners are drawn evenly among the given rows."""
    count = 3000
    partners = planned(torch.arange(count), kind).partners
    for row in AMONG.tolist():
        found = int((partners == row).sum())
        assert abs(found - count / 3) < 5 * (count * 2 / 9) ** 0.5
    assert set(partners.tolist()) == set(AMONG.tolist())


def test_one_of_two_ways() -> None:
    """With both, half of the views are cut; a blended one has no box."""
    count = 4000
    plan = planned(torch.arange(count), AugmentationConfig(mixup=1, cutmix=1))
    top, left, bottom, right = plan.boxes.unbind(1)
    boxed = (bottom > top) & (right > left)
    # Of those that are cut, a few have a box too small for a pixel.
    assert abs(int(boxed.sum()) / (count / 2) - 1) < 0.1
    top, left, bottom, right = planned(
        torch.arange(count), AugmentationConfig(mixup=1)
    ).boxes.unbind(1)
    assert not bool(((bottom > top) | (right > left)).any())


def test_cutmix_boxes() -> None:
    """A piece lies inside the image, has its shape, and the share is what it leaves."""
    height, width = 200, 100
    plan = plan_mixtures(
        torch.arange(3000),
        among=AMONG,
        view=0,
        settings=AugmentationConfig(cutmix=1),
        size=(height, width),
    )
    top, left, bottom, right = plan.boxes.unbind(1)
    assert bool(((top >= 0) & (top <= bottom) & (bottom <= height)).all())
    assert bool(((left >= 0) & (left <= right) & (right <= width)).all())
    area = (bottom - top) * (right - left)
    torch.testing.assert_close(plan.shares, (1 - area / (height * width)).float())
    inner = (top > 0) & (left > 0) & (bottom < height) & (right < width)
    shape = (bottom - top)[inner] / (right - left)[inner]
    assert float(shape[area[inner] > 400].median()) == pytest.approx(2, rel=0.05)
    # Uncut, the area is 1 - share, which is even for a = 1; pieces at the edge lose some.
    assert 0.5 < float(plan.shares.mean()) < 0.9
    centres = (top + bottom)[inner] / 2 / height
    assert abs(float(centres.mean()) - 0.5) < 0.03


def test_blend_oracle() -> None:
    """A blend is rounded from the exact sum, a half up, for every pair of values."""
    values = torch.arange(256, dtype=torch.uint8)
    images, others = (
        part.flatten()[None, None, None] for part in torch.meshgrid(values, values, indexing="ij")
    )
    boxes = torch.zeros(1, 4, dtype=torch.int64)
    for parts in (0, 1, 13_107, 32_768, 65_535, 65_536):
        share = torch.tensor([parts / 65_536])
        found = apply_mixtures(images, others, share, boxes, AugmentationConfig(mixup=1)).to(
            torch.int64
        )
        exact = images.long() * parts + others.long() * (65_536 - parts)
        assert torch.equal(found, (exact + 32_768) // 65_536)


def test_shares_of_blends_are_exact() -> None:
    """A blend's share is a multiple of 2^-16: labels and pixels are mixed alike."""
    shares = planned(torch.arange(500), AugmentationConfig(mixup=0.3)).shares.double() * 65_536
    assert torch.equal(shares, shares.round())


@every_kind
def test_mix_oracle(kind: AugmentationConfig) -> None:
    """Pixel by pixel: the partner's inside a box, blended where there is none."""
    count = 40
    plan, images, others = (
        planned(torch.arange(count), kind),
        batch_images(count),
        batch_images(count, seed=1),
    )
    before = images.clone()
    found = apply_mixtures(images, others, plan.shares, plan.boxes, kind)
    assert (found.dtype, found.shape) == (torch.uint8, images.shape)
    assert torch.equal(images, before)
    for row in range(count):
        top, left, bottom, right = plan.boxes[row].tolist()
        share = float(plan.shares[row])
        one, other = images[row].double(), others[row].double()
        if bottom > top and right > left:
            expected = one.clone()
            expected[:, top:bottom, left:right] = other[:, top:bottom, left:right]
        else:
            expected = (share * one + (1 - share) * other + 0.5).floor()
        assert torch.equal(found[row].double(), expected)


def by_id(batches: list[Batch]) -> dict[int, tuple[Tensor, int, float]]:
    found = {}
    for batch in batches:
        assert batch.mixed is not None
        rows = zip(batch.ids, batch.images, batch.mixed.labels, batch.mixed.share, strict=True)
        found |= {int(i): (image, int(label), float(w)) for i, image, label, w in rows}
    return found


@every_kind
def test_reading_sees_what_training_shows(small_pack: Pack, kind: AugmentationConfig) -> None:
    """Asked for a view number, reading gives the images training shows, in any batch size and part."""
    kind = dataclasses.replace(kind, flip=True, crop_scale=0.5, num_views=2, view_seed=4)
    loader = training_loader(small_pack, batch_size=33, views=kind, seed=8, device=CPU)
    rows = small_pack.rows("train")[::-3].copy()
    for epoch, view in ((0, 0), (1, 1), (3, 1)):
        shown = by_id(list(loader.epoch(epoch)))
        reading = reading_loader(small_pack, rows, batch_size=20, device=CPU, views=kind, view=view)
        read = by_id(list(reading.epoch()))
        assert list(read) == rows.tolist()
        for row, (image, label, share) in read.items():
            assert torch.equal(image, shown[row][0])
            assert (label, share) == shown[row][1:]


def test_partner_is_shown_in_its_own_view(small_pack: Pack) -> None:
    """What is put into an image is the partner's own view of that number, and the label is its own."""
    alone, kind = (
        AugmentationConfig(flip=True, translate=4, view_seed=2),
        AugmentationConfig(flip=True, translate=4, view_seed=2, cutmix=1),
    )
    rows = small_pack.rows("train")
    plain = next(
        reading_loader(small_pack, rows, batch_size=500, device=CPU, views=alone, view=6).epoch()
    )
    mixed = next(
        reading_loader(small_pack, rows, batch_size=500, device=CPU, views=kind, view=6).epoch()
    )
    view_of = dict(zip(rows.tolist(), plain.images, strict=True))
    plan = plan_mixtures(
        torch.from_numpy(small_pack.keys[rows]),
        among=torch.from_numpy(rows),
        view=6,
        settings=kind,
        size=(small_pack.image_size,) * 2,
    )
    assert plain.mixed is None
    assert mixed.mixed is not None
    assert torch.equal(mixed.mixed.share, plan.shares)
    for place, partner in enumerate(plan.partners.tolist()):
        top, left, bottom, right = plan.boxes[place].tolist()
        expected = plain.images[place].clone()
        expected[:, top:bottom, left:right] = view_of[partner][:, top:bottom, left:right]
        assert torch.equal(mixed.images[place], expected)
        assert int(mixed.mixed.labels[place]) == small_pack.labels[partner]
