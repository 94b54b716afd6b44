"""Decoding one file, and the steps around it."""

import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

from support.examples import examples
from tutelage.config.data import DataConfig
from tutelage.data.decode.decode import decided_warnings, decode
from tutelage.data.decode.prepare import prepare_all, prepare_item
from tutelage.data.decode.resize import resize
from tutelage.data.readers.folder import read_image_file
from tutelage.data.readers.names import class_name
from tutelage.data.readers.source import Item, Unreadable
from tutelage.text import escape, escape_csv, unescape_csv

DATA = DataConfig(image_size=16)


def test_pixels_are_rgb_upright_and_noted(image: Callable[..., bytes]) -> None:
    """A grey PNG becomes three equal channels, and the note says so."""
    decoded = decode(image("PNG", "L", 77), DATA)
    assert decoded.pixels.shape == (8, 8, 3)
    assert decoded.pixels.dtype == np.uint8
    assert (decoded.pixels == 77).all()
    assert decoded.notes == ("grey",)


@pytest.mark.parametrize(("background", "shade"), [("white", 255), ("black", 0)])
def test_what_is_transparent_shows_the_background(
    image: Callable[..., bytes], background: str, shade: int
) -> None:
    """Hidden colours under full transparency never appear."""
    raw = image("PNG", "RGBA", (10, 200, 30, 0))
    kept = decode(raw, DataConfig(background=background)).pixels  # type: ignore[arg-type]
    assert (kept == shade).all()


def test_the_pixel_limit_is_the_setting(image: Callable[..., bytes]) -> None:
    """An image above max_pixels is refused from its header, one at the limit is kept."""
    raw = image(size=8)
    assert decode(raw, DataConfig(max_pixels=64)).pixels.shape == (8, 8, 3)
    with pytest.raises(Unreadable, match="larger than"):
        decode(raw, DataConfig(max_pixels=63))


def test_postscript_starts_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PostScript file named .jpg is refused before any decoder sees it."""
    monkeypatch.setattr("subprocess.Popen", None)
    monkeypatch.setattr("os.system", None)
    with pytest.raises(Unreadable, match="PostScript"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", DATA)


@examples(200)
@given(place=st.floats(0, 0.999), bits=st.integers(1, 255), cut=st.floats(0.01, 1))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_a_damaged_file_is_decoded_or_refused_never_anything_else(
    image: Callable[..., bytes], kind: str, place: float, bits: int, cut: float
) -> None:
    """Any flipped byte and any cut gives pixels or a reason, without a warning."""
    raw = bytearray(image(kind, "RGB", (1, 2, 3)))
    raw[int(place * len(raw))] ^= bits
    try:
        pixels = decode(bytes(raw[: max(int(cut * len(raw)), 1)]), DATA).pixels
    except Unreadable as refused:
        outcome = len(refused.reason) in range(1, 80)
    else:
        outcome = pixels.ndim == 3
    assert outcome


def test_filters_of_warnings_are_given_back() -> None:
    """However many threads decode, Python's warning filters are the same afterwards."""
    before = list(warnings.filters)
    inside, go = threading.Barrier(3), threading.Event()

    def use() -> None:
        with decided_warnings():
            inside.wait()
            go.wait()

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    inside.wait()
    assert warnings.filters != before
    go.set()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


SHAPES = [(300, 500), (500, 300), (28, 28), (1, 1), (1, 5000), (5000, 1), (17, 16), (16, 17)]
SHAPES += [(31, 97), (224, 225), (225, 227), (3, 2), (640, 427), (101, 100)]


@pytest.mark.parametrize("side", [8, 15, 16, 32, 33, 100])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_square_is_that_of_torchvision(shape: tuple[int, int], side: int) -> None:
    """Resize and centre crop equal torchvision's on Pillow images, to the last bit."""
    height, width = shape
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    image = Image.fromarray(pixels)
    usual = transforms.Compose([transforms.Resize(side), transforms.CenterCrop(side)])
    assert np.array_equal(
        np.asarray(resize(image, DataConfig(image_size=side))), np.asarray(usual(image))
    )


def test_the_square_at_224_is_that_of_torchvision(bags: list[bytes]) -> None:
    """At the usual size of a network as well, for a real image and an odd shape."""
    pixels = decode(bags[0], DATA).pixels
    usual = transforms.Compose([transforms.Resize(224), transforms.CenterCrop(224)])
    for image in (Image.fromarray(pixels), Image.fromarray(pixels[:, :19])):
        assert np.array_equal(np.asarray(resize(image, DataConfig())), np.asarray(usual(image)))


def test_a_strip_of_any_length_stays_small() -> None:
    """A 1 x 60,000 strip, whose resized whole would take 2 GB, is right to one level."""
    column = np.random.default_rng(0).integers(0, 256, (60_000, 1, 3), np.uint8)
    found = np.asarray(resize(Image.fromarray(column), DataConfig())).astype(int)
    near = np.asarray(resize(Image.fromarray(column[29_990:30_010]), DataConfig())).astype(int)
    assert np.abs(found - near).max() <= 1


def test_a_file_that_goes_away_or_changes_is_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file gone since the scan, or never twice the same while it is read, is set aside."""
    with pytest.raises(Unreadable, match="gone since the scan"):
        read_image_file(str(tmp_path / "1.png"))
    path = tmp_path / "2.png"
    path.write_bytes(b"1")
    with pytest.raises(Unreadable, match="is a directory"):
        read_image_file(str(tmp_path))
    monkeypatch.setattr("tutelage.data.readers.folder.LARGEST_FILE", 0)
    with pytest.raises(Unreadable, match="larger than"):
        read_image_file(str(path))


def test_a_file_that_grows_while_it_is_read_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Length and time before and after reading must agree; a second try is made first."""
    path, real = tmp_path / "1.png", __import__("os").fstat
    path.write_bytes(b"1")
    calls: list[int] = []

    def growing(handle: int) -> object:
        calls.append(handle)
        path.write_bytes(b"1" * len(calls))
        return real(handle)

    monkeypatch.setattr("os.fstat", growing)
    with pytest.raises(Unreadable, match="changes while it is read"):
        read_image_file(str(path))
    assert len(calls) == 4


def test_images_are_prepared_in_order_whatever_the_cores(
    bags: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results come in the order of the items, reasons in their place, for 1 and 5 threads."""
    items = [Item(str(n), None, None, lambda n=n: bags[n % 30]) for n in range(300)]  # type: ignore[misc]
    items[7] = items[7]._replace(read=lambda: b"")
    expected = [
        prepare_item(one, DATA).key if n != 7 else "only 0" for n, one in enumerate(items) if n != 7
    ]
    for cores in (1, 5):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        results = list(prepare_all(items, DATA))
        assert results[7] == "empty file"
        assert [one.key for one in results if not isinstance(one, str)] == expected


def test_names_from_outside_are_made_harmless() -> None:
    """Bytes that are no text, control characters and formulas are neutral in every list."""
    assert escape("a\udcff\x1b[31m\n") == r"a\xff\x1b[31m\x0a"
    assert class_name("cafe\u0301") == "caf\u00e9"
    for text in ("=1", "+1", "-1", "@a", "\ta", "'a", "a", "", "'=1"):
        assert unescape_csv(escape_csv(text)) == text
        assert not escape_csv(text).startswith(("=", "+", "-", "@", "\t"))
