"""Opening a pack that somebody changed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from support.images.plant import Plant
from tutelage.config.data import DataConfig
from tutelage.data.loading.pixel_source import read_mapped, read_pinned, read_resident
from tutelage.data.loading.prefetch import SentBatch
from tutelage.data.pack.pack import open_pack
from tutelage.data.pack.write import write_pack
from tutelage.data.readers.open import open_source
from tutelage.errors import InputError
from tutelage.storage.checksums import checksum_of, read_sealed, write_sealed


@pytest.fixture
def stored(plant: Plant, tmp_path: Path) -> Path:
    settings = DataConfig(image_size=16)
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


@pytest.mark.parametrize(
    "name", ["labels.bin", "keys.bin", "splits.bin", "images.csv", "quarantine.csv"]
)
def test_a_changed_byte_is_noticed_on_opening(stored: Path, name: str) -> None:
    """The small files are held to their checksums."""
    path = stored / name
    raw = bytearray(path.read_bytes())
    raw[0] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match="checksum differs") as caught:
        open_pack(stored)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["labels.bin", "keys.bin", "splits.bin"])
def test_arrays_of_another_pack_are_noticed(stored: Path, name: str) -> None:
    """Where the checksums were made anew, labels, keys and splits are held to the fingerprint."""
    path = stored / name
    raw = bytearray(path.read_bytes())
    raw[0] ^= 1
    path.write_bytes(raw)
    manifest = read_sealed(stored / "manifest.json", kind="a pack")
    files = {**manifest["files"], name: checksum_of(bytes(raw))}
    write_sealed(stored / "manifest.json", {**manifest, "files": files})
    with pytest.raises(InputError, match="of another pack"):
        open_pack(stored)


@pytest.mark.parametrize("feed", ["mapped", "resident", "pinned"])
def test_a_changed_pixel_stops_every_feed(stored: Path, feed: str) -> None:
    """An image is held to its key when it is read for the first time."""
    raw = bytearray((stored / "images.bin").read_bytes())
    raw[3 * 16 * 16 * 4 + 7] ^= 1
    (stored / "images.bin").write_bytes(raw)
    pack, cpu = open_pack(stored), torch.device("cpu")
    rows = np.arange(len(pack))
    sound = torch.from_numpy(rows[:4])

    def images(some: torch.Tensor) -> None:
        read = {"mapped": read_mapped(pack, cpu), "pinned": read_pinned(pack, HostCopier())}
        fed = read[feed] if feed in read else read_resident(pack, some.numpy(), cpu)
        list(fed(some, [2] * (len(some) // 2)))

    images(sound)
    with pytest.raises(InputError, match="image 4 is not the image that was packed") as caught:
        images(torch.from_numpy(rows[:6]))
    assert "images.bin" in str(caught.value)


@pytest.mark.parametrize("feed", ["mapped", "pinned"])
def test_a_file_that_is_cut_while_it_is_open_stops_every_feed(stored: Path, feed: str) -> None:
    """The length is looked at before each batch: beyond the end of a file, a map would end the process."""
    pack, cpu = open_pack(stored), torch.device("cpu")
    fed = read_mapped(pack, cpu) if feed == "mapped" else read_pinned(pack, HostCopier())
    (stored / "images.bin").write_bytes(b"")
    with pytest.raises(InputError, match="0 bytes"):
        list(fed(torch.arange(4), [2, 2]))


class HostCopier:
    """Leaves images where they are."""

    def buffer(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.empty(shape, dtype=torch.uint8)

    def send(self, images: torch.Tensor) -> SentBatch:
        copy = images.clone()
        return SentBatch(lambda: copy, lambda: None)

    def finish(self) -> None:
        pass


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
    write_sealed(path, {**read_sealed(path, kind="a pack"), key: value})
    with pytest.raises(InputError):
        open_pack(stored)


def test_a_folder_that_is_no_pack_is_refused(tmp_path: Path) -> None:
    """No folder, and a folder without a manifest, are told apart."""
    with pytest.raises(InputError, match=r"no manifest\.json"):
        open_pack(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        open_pack(tmp_path / "none")
