"""Opening a pack that somebody changed."""

import json
from pathlib import Path

import pytest
from planting import Plant

from tutelage.data.pack import open_pack
from tutelage.data.packing.writing import write_pack
from tutelage.data.settings import Data
from tutelage.data.sources import open_source
from tutelage.errors import InputError


@pytest.fixture
def stored(plant: Plant, tmp_path: Path) -> Path:
    settings = Data(image_size=16)
    source = open_source(plant(), settings)
    write_pack(source, settings, tmp_path / "pack", progress=lambda *_: None)
    return tmp_path / "pack"


@pytest.mark.parametrize("name", ["images.bin", "labels.bin", "keys.bin", "splits.bin"])
@pytest.mark.parametrize("change", [-1, 1, None])
def test_a_file_of_another_length_is_named(stored: Path, name: str, change: int | None) -> None:
    """A short, long or missing file is refused before it is mapped."""
    path = stored / name
    raw = path.read_bytes()
    path.unlink()
    if change:
        path.write_bytes(raw[:change] if change < 0 else raw + b"\0")
    with pytest.raises(InputError, match="damaged") as error:
        open_pack(stored)
    assert name in str(error.value)


@pytest.mark.parametrize("name", ["labels.bin", "keys.bin", "splits.bin"])
def test_a_changed_byte_is_noticed_on_opening(stored: Path, name: str) -> None:
    """Labels, keys and splits are held to the fingerprint."""
    path = stored / name
    raw = bytearray(path.read_bytes())
    raw[0] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match="were changed"):
        open_pack(stored)


def test_a_changed_pixel_is_found_by_its_key(stored: Path) -> None:
    """`damaged` names the images whose pixels no longer have their key."""
    assert open_pack(stored).damaged() == []
    raw = bytearray((stored / "images.bin").read_bytes())
    raw[3 * 16 * 16 * 4] ^= 1
    (stored / "images.bin").write_bytes(raw)
    assert open_pack(stored).damaged() == [4]


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b"\xff",
        b"null",
        b'{"format": 2}',
        b'{"format": 1}',
        b'{"format": 1, "count": "x", "image_size": 1}',
    ],
)
def test_a_bad_manifest_is_refused(stored: Path, manifest: bytes) -> None:
    """Anything but a manifest of this format is an error that names the file or folder."""
    (stored / "manifest.json").write_bytes(manifest)
    with pytest.raises(InputError, match="pack"):
        open_pack(stored)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("count", 10**12),
        ("count", -1),
        ("image_size", 10**9),
        ("mean", [0, 1]),
        ("std", [None] * 3),
        ("classes", None),
        ("settings", {}),
        ("fingerprint", "0"),
    ],
)
def test_a_wrong_field_of_the_manifest_is_refused(stored: Path, key: str, value: object) -> None:
    """A manifest whose fields do not fit the files never gets as far as a map of them."""
    path = stored / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(InputError):
        open_pack(stored)


def test_a_folder_that_is_no_pack_is_refused(tmp_path: Path) -> None:
    """No folder, and a folder without a manifest, are told apart."""
    with pytest.raises(InputError, match=r"no manifest\.json"):
        open_pack(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        open_pack(tmp_path / "none")
