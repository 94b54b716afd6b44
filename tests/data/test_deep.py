"""Images of more than 8 bits: one range for the whole set keeps their levels, and `check` offers it."""

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tutelage.commands.pack import check
from tutelage.config.data import DataConfig
from tutelage.data.decode.decode import decode
from tutelage.data.decode.deep import read_deep
from tutelage.data.decode.depth import Depth, describe_depths, measure_depth, offer_range
from tutelage.data.inspect import format_check
from tutelage.data.readers.source import Unreadable


def png16(values: NDArray[np.integer]) -> bytes:
    """A PNG of 16 bits a channel, its rows filtered in turn by nothing, the left pixel, the row above.

    Args:
        values: [H, W, C] of grey (1), grey with alpha (2), RGB (3) or RGBA (4).
    """
    height, width, channels = values.shape
    step, rows = 2 * channels, values.astype(">u2").reshape(height, -1).view(np.uint8)
    body, above = b"", np.zeros(rows.shape[1], np.uint8)
    for number, row in enumerate(rows):
        left = np.concatenate([np.zeros(step, np.uint8), row[:-step]])
        body += bytes([number % 3]) + (row - [row * 0, left, above][number % 3]).tobytes()
        above = row
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(body)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def file_of(values: NDArray[np.generic], kind: str = "PNG") -> bytes:
    """A grey file of these values."""
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_all_sixteen_bits_are_read(channels: int) -> None:
    """Of grey and colour, with and without alpha; 60 images each."""
    numbers = np.random.default_rng(channels)
    for _ in range(60):
        shape = (*numbers.integers(1, 30, 2), channels)
        values = numbers.integers(0, 1 << 16, shape)
        raw = png16(values)
        with Image.open(io.BytesIO(raw)) as image:
            deep = read_deep(image, raw)
        assert deep is not None
        wanted = values[..., :3] if channels > 2 else values[..., 0]
        assert np.array_equal(deep.values, wanted)
        if channels in (2, 4):
            assert np.array_equal(deep.alpha, values[..., -1] >> 8)


def test_a_ramp_keeps_as_many_levels_as_its_range_has() -> None:
    """A ramp from LOW to HIGH becomes 0 to 255, each level as wide as the others, in every kind of file."""
    rng = random.Random(0)
    for _ in range(200):
        low = rng.randint(0, 30000)
        high = low + rng.randint(2, 20000)
        ramp = np.arange(low, high + 1)
        kind = rng.choice(["u16", "tiff", "i32", "f32", "rgb"])
        shift = rng.randint(-40000, 0) if kind in ("i32", "f32") else 0
        if kind == "rgb":
            raw = png16(np.repeat(ramp[None, :, None], 3, axis=2))
        else:
            dtype = {"i32": np.int32, "f32": np.float32}.get(kind, np.uint16)
            values = (ramp + shift)[None].astype(dtype)
            raw = file_of(values, "PNG" if kind == "u16" else "TIFF")
        settings = DataConfig(range=(low + shift, high + shift))
        found = decode(raw, settings).pixels
        assert (found == found[..., :1]).all()
        row = found[0, :, 0].astype(int)
        assert (row[0], row[-1]) == (0, 255)
        assert (np.diff(row) >= 0).all()
        assert len(np.unique(row)) == min(256, high - low + 1)
        exact = (ramp - low) / (high - low) * 255
        assert np.abs(row - exact).max() <= 0.5 + 1e-9


def test_values_beyond_the_range_become_its_ends() -> None:
    values = np.array([[0, 99, 100, 200, 201, 65535]], np.uint16)
    found = decode(file_of(values), DataConfig(range=(100, 200))).pixels[0, :, 0]
    assert found.tolist() == [0, 0, 0, 255, 255, 255]
    odd = np.array([[np.nan, np.inf, -np.inf, 0.5]], np.float32)
    found = decode(file_of(odd, "TIFF"), DataConfig(range=(0, 1))).pixels[0, :, 0]
    assert found.tolist() == [0, 255, 0, 128]


def test_a_range_leaves_images_of_eight_bits_alone() -> None:
    numbers = np.random.default_rng(0)
    for mode, shape in (("L", (9, 7)), ("RGB", (9, 7, 3)), ("RGBA", (9, 7, 4))):
        values = numbers.integers(0, 256, shape).astype(np.uint8)
        raw = file_of(values)
        assert Image.open(io.BytesIO(raw)).mode == mode
        plain, ranged = decode(raw, DataConfig()), decode(raw, DataConfig(range=(0, 4095)))
        assert np.array_equal(plain.pixels, ranged.pixels)


@pytest.mark.parametrize("kind", ["I", "F"])
def test_values_without_a_range_of_their_own_name_the_flag(kind: str) -> None:
    values = np.full((4, 4), 7, np.int32 if kind == "I" else np.float32)
    with pytest.raises(Unreadable, match=r"--data\.range LOW HIGH"):
        decode(file_of(values, "TIFF"), DataConfig())


def test_the_offered_range_keeps_what_is_told_and_is_not_told_again() -> None:
    """For 300 sets of random values: with the offer nothing is wrong, and its levels are at least twice."""
    rng = random.Random(1)
    poor = 0
    for _ in range(300):
        low = rng.choice([0, rng.randint(0, 40000)])
        high = low + rng.randint(1, 65535 - low)
        values = np.linspace(low, high, 64 * 64).round().astype(np.uint16).reshape(64, 64)
        raw = file_of(values)
        before = report_of([raw], DataConfig())
        if not before.poor:
            continue
        poor += 1
        limits = offer_range(low, high, whole=True)
        after = report_of([raw], DataConfig(range=limits))
        assert not after.poor
        assert levels_of(after.text) >= 2 * levels_of(before.text) - 4  # the ends
        assert f"--data.range {limits[0]:g} {limits[1]:g} keeps" in before.text
    assert poor > 100


def report_of(files: list[bytes], settings: DataConfig):  # type: ignore[no-untyped-def]
    found = [measure_depth(raw, settings) for raw in files]
    report = describe_depths([one for one in found if isinstance(one, Depth)])
    assert report is not None
    return report


def levels_of(text: str) -> int:
    return int(text.split(": ")[1].split()[0])


@pytest.mark.parametrize("wrap", ["grey png", "grey tiff", "colour png", "int32", "float"])
def test_check_tells_of_twelve_bits_in_sixteen(tmp_path: Path, wrap: str) -> None:
    """Both classes fall on a few levels; the largest value is that of the set, not of an image."""
    for label in ("a", "b"):
        folder = tmp_path / "data" / label
        folder.mkdir(parents=True)
        for number in range(12):
            values = np.random.default_rng(number).integers(0, 301, (40, 40))
            if label == "b":
                values[::4] += 1200
            if wrap == "colour png":
                raw = png16(np.repeat(values[..., None], 3, axis=2))
            elif wrap in ("int32", "float"):
                raw = file_of(values.astype(np.int32 if wrap == "int32" else np.float32), "TIFF")
            else:
                raw = file_of(values.astype(np.uint16), wrap.split()[1].upper())
            suffix = ".png" if "png" in wrap else ".tif"
            (folder / f"{number}{suffix}").write_bytes(raw)
    settings = DataConfig(image_size=40, max_unreadable=1)
    found = check(tmp_path / "data", settings)
    assert not found.clean
    assert found.depth is not None
    lines = "\n".join(format_check(found))
    assert "values 0 to 1500" in lines
    limits = (0.0, 1500.0 if wrap == "float" else 2047.0)
    assert f"--data.range {limits[0]:g} {limits[1]:g}" in lines
    if wrap not in ("int32", "float"):
        assert "4 of 256" in lines
    better = DataConfig(image_size=40, range=limits)
    again = check(tmp_path / "data", better)
    assert again.clean
    assert again.depth is not None
    assert levels_of(again.depth.text) > 60


def test_sixteen_full_bits_and_eight_bits_are_not_told(tmp_path: Path) -> None:
    numbers = np.random.default_rng(3)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number in range(12):
            values = numbers.integers(0, 1 << 16, (16, 16)).astype(np.uint16)
            (tmp_path / label / f"{number}.png").write_bytes(file_of(values))
    found = check(tmp_path, DataConfig(image_size=16))
    assert found.clean
    assert describe_depths([]) is None
