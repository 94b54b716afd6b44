"""Crops: the two ways of resizing boxes agree to the last bit, and with a plain loop in float64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from support.examples import examples
from tutelage.data.augment.random_resized_crop import crop, gathered, one_by_one
from tutelage.data.pack.pack import Pack


def batch_images(count: int, height: int, width: int, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 3, height, width)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def random_boxes(count: int, height: int, width: int, *, seed: int = 0) -> Tensor:
    """Any box in the image, from a single pixel to the whole."""
    generator = torch.Generator().manual_seed(seed)

    def side(size: int) -> tuple[Tensor, Tensor]:
        length = torch.randint(1, size + 1, (count,), generator=generator)
        room = torch.rand(count, generator=generator)
        return (room * (size - length + 1)).long(), length

    (top, tall), (left, wide) = side(height), side(width)
    return torch.stack([top, left, tall, wide], dim=1)


def slow_resize(line: list[int], size: int) -> list[float]:
    """A line of pixels stretched by linear interpolation between pixel centres, in float64."""
    found = []
    for output in range(size):
        place = (output + 0.5) * len(line) / size - 0.5
        place = min(max(place, 0.0), len(line) - 1.0)
        low = int(place)
        high = min(low + 1, len(line) - 1)
        found.append(line[low] + (place - low) * (line[high] - line[low]))
    return found


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    seed=st.integers(0, 9999),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
)
@examples(60)
def test_both_ways_agree(height: int, width: int, seed: int, layout: torch.memory_format) -> None:
    """Noise, any box, any size: not one level of difference."""
    images = batch_images(8, height, width, seed=seed).to(memory_format=layout)
    boxes = random_boxes(8, height, width, seed=seed)
    assert torch.equal(gathered(images, boxes), one_by_one(images, boxes))


@pytest.mark.parametrize("size", [96, 160, 224, 257])
def test_both_ways_agree_at_common_sizes(size: int) -> None:
    """Also at the sizes that networks are trained on, where a box may be one pixel."""
    images = batch_images(6, size, size)
    images[::2] = (images[::2] > 127) * torch.tensor(255, dtype=torch.uint8)  # the steepest edges
    boxes = random_boxes(6, size, size)
    boxes[0, 2:], boxes[1] = 1, torch.tensor([0, 0, size, size])
    assert torch.equal(gathered(images, boxes), one_by_one(images, boxes))


def test_both_ways_agree_on_real_images(small_pack: Pack) -> None:
    """And on images of the sample."""
    images = torch.from_numpy(small_pack.images.copy()).permute(0, 3, 1, 2)
    for seed in range(3):
        boxes = random_boxes(len(images), *images.shape[2:], seed=seed)
        assert torch.equal(gathered(images, boxes), one_by_one(images, boxes))


@given(size=st.integers(1, 60), data=st.data())
@examples(60)
def test_oracle(size: int, data: st.DataObject) -> None:
    """A box is stretched by linear interpolation between pixel centres, within rounding."""
    length = data.draw(st.integers(1, size))
    start = data.draw(st.integers(0, size - length))
    values = data.draw(st.lists(st.integers(0, 255), min_size=size, max_size=size))
    line = torch.tensor(values, dtype=torch.uint8)
    images = line[None, None, None].expand(1, 3, size, size).contiguous()
    expected = slow_resize(values[start : start + length], size)
    along, down = [0, start, size, length], [start, 0, length, size]
    for way in (gathered, one_by_one):
        for found in (
            way(images, torch.tensor([along])),
            way(images.transpose(2, 3), torch.tensor([down])).transpose(2, 3),
        ):
            assert found.dtype == torch.uint8
            # Half a level by rounding, and a weight is off by at most half of 2^-14.
            assert (found - torch.tensor(expected)).abs().max() <= 0.5 + 255 * 2.0**-15


def test_whole_and_pixel() -> None:
    """The whole image is itself; one pixel fills the image."""
    images = batch_images(2, 5, 7)
    whole, pixel = torch.tensor([[0, 0, 5, 7]] * 2), torch.tensor([[3, 4, 1, 1]] * 2)
    for way in (gathered, one_by_one, crop):
        assert torch.equal(way(images, whole), images)
        assert torch.equal(way(images, pixel), images[:, :, 3:4, 4:5].expand_as(images))


def test_gathered_asks_the_device_nothing() -> None:
    """On the meta device, which has no values, it runs: nothing depends on reading one."""
    images = torch.empty(4, 3, 9, 9, dtype=torch.uint8, device="meta")
    boxes = torch.empty(4, 4, dtype=torch.int64, device="meta")
    assert crop(images, boxes).shape == images.shape


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("size", [9, 224])
def test_a_gpu_crops_alike(size: int) -> None:
    """Not one level of difference between devices, whatever its matrix products and fusions do."""
    images, boxes = batch_images(32, size, size), random_boxes(32, size, size)
    found = crop(images.cuda(), boxes.cuda())
    assert torch.equal(found.cpu(), crop(images, boxes))
