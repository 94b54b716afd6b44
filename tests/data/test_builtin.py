"""Known data sets, without a network."""

import gzip
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tutelage.config.data import DataConfig
from tutelage.data.readers import builtin as known
from tutelage.data.readers.open import open_source
from tutelage.data.split import assign_splits
from tutelage.errors import InputError


def idx(values: np.ndarray[Any, Any]) -> bytes:
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    """A folder with four small files in the official form: 100 images to train, 20 to test."""
    random = np.random.default_rng(0)
    for start, count in (("train", 100), ("t10k", 20)):
        images = random.integers(0, 256, (count, 28, 28), np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for part, values in (("images-idx3", images), ("labels-idx1", labels)):
            path = tmp_path / f"{start}-{part}-ubyte.gz"
            path.write_bytes(gzip.compress(idx(values)))
    return tmp_path


def test_fashion_mnist_is_read_from_its_four_files(fashion: Path) -> None:
    """The official files in --data.dir give the official split and class names."""
    source = open_source("fashion-mnist", DataConfig(dir=str(fashion)))
    assert len(source.items) == 120
    assert "Ankle boot" in source.classes
    assert "T-shirt/top" in source.classes
    pixels = source.items[0].read()
    assert isinstance(pixels, np.ndarray)
    assert pixels.shape == (28, 28)
    splits = [one.split for one in assign_splits(source, DataConfig())]
    assert (splits.count("train"), splits.count("val"), splits.count("test")) == (90, 10, 20)


@pytest.mark.parametrize("damage", [b"\0\0\x0d\x03", b"", idx(np.zeros((3, 2), np.uint8))[:-1]])
def test_a_damaged_idx_file_is_refused(fashion: Path, damage: bytes) -> None:
    """An IDX file of another type or cut short is an error, not a wrong array."""
    (fashion / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(damage))
    with pytest.raises(InputError, match="IDX file"):
        open_source("fashion-mnist", DataConfig(dir=str(fashion)))


def test_a_failed_download_says_which_files_to_put_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a copy and a network the message names the files and the folder."""

    def offline(*_: object, **options: object) -> None:
        raise OSError("no network") if options.get("download") else RuntimeError("not found")

    monkeypatch.setattr(known, "CACHE", tmp_path / "cache")
    monkeypatch.setattr("torchvision.datasets.CIFAR10", offline)
    with pytest.raises(InputError) as error:
        open_source("cifar10", DataConfig(dir=str(tmp_path)))
    assert "cifar-10-batches-py" in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert "no network" in str(error.value)


def test_stl10_pools_to_13000_labelled_images(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Train and test pooled anew split into 7,800, 2,600 and 2,600, as many of every class."""

    def stl10(_: str, split: str, **__: object) -> SimpleNamespace:
        count = {"train": 5000, "test": 8000}[split]
        images = np.zeros((count, 3, 1, 1), np.uint8)
        classes = ["bird", "car", "cat", "deer", "dog", "horse", "monkey", "plane", "ship", "truck"]
        return SimpleNamespace(data=images, labels=np.arange(count) % 10, classes=classes)

    monkeypatch.setattr("torchvision.datasets.STL10", stl10)
    settings = DataConfig(
        dir=str(tmp_path), splits="redraw", split=(7800, 2600, 2600), test_labels="hide"
    )
    drawn = assign_splits(open_source("stl10", settings), settings)
    splits = [one.split for one in drawn]
    assert [splits.count(split) for split in ("train", "val", "test")] == [7800, 2600, 2600]
    cats = [one.split for one in drawn if one.item.label == "cat"]
    assert [cats.count(split) for split in ("train", "val", "test")] == [780, 260, 260]
    assert {one.label for one in drawn if one.split == "test"} == {None}
    shape = drawn[0].item.read()
    assert isinstance(shape, np.ndarray)
    assert shape.shape == (1, 1, 3)
