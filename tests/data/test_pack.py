"""Writing a pack and opening it again."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from torchvision import transforms

from support.images.plant import Plant
from tutelage.config.data import DataConfig
from tutelage.config.schema import fingerprint
from tutelage.data.decode.decode import open_image as decoded
from tutelage.data.pack.pack import Pack
from tutelage.data.pack.write import write_pack
from tutelage.data.readers.open import open_source
from tutelage.errors import InputError, MachineError

DATA = DataConfig(image_size=16)


def pack(root: Path, to: Path, settings: DataConfig = DATA) -> Pack:
    return write_pack(open_source(root, settings), settings, to, progress=lambda *_: None)


def test_stored_images_are_what_the_usual_transform_gives(plant: Plant, tmp_path: Path) -> None:
    """Row by row: Resize and CenterCrop of the decoded file, its label and its split."""
    root = plant()
    found = pack(root, tmp_path / "pack")
    usual = transforms.Compose([transforms.Resize(16), transforms.CenterCrop(16)])
    assert len(found) == 10
    for row, name in enumerate(found.files()):
        split, label, _ = name.split("/")
        image, _ = decoded((root / name).read_bytes(), DATA)
        assert np.array_equal(found.images[row], np.asarray(usual(image)))
        assert found.classes[found.labels[row]] == label
        assert row in found.rows(split)  # type: ignore[arg-type]


def test_the_manifest_counts_and_measures_what_is_stored(plant: Plant, tmp_path: Path) -> None:
    """Counts by split; mean and deviation of the training images, recomputed from pixels."""
    root = plant("train/a/1.png", "train/b/2.png", "val/a/3.png", "test/4.png", "test/5.png")
    found = pack(root, tmp_path / "pack")
    assert found.manifest["splits"] == {"train": 2, "val": 1, "test": 2}
    assert found.manifest["labelled"] == {"train": 2, "val": 1, "test": 0}
    assert found.manifest["count"] == 5
    training = found.images[found.rows("train")].astype(np.float64) / 255
    np.testing.assert_allclose(found.mean, training.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(found.std, training.std((0, 1, 2)), rtol=1e-12)
    assert str(tmp_path) not in (tmp_path / "pack" / "manifest.json").read_text()


def test_the_same_data_gives_the_same_bytes(plant: Plant, tmp_path: Path) -> None:
    """Two packs of one source are equal file by file, however many threads decode."""
    root = plant()
    for name in ("one", "two"):
        pack(root, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_the_fingerprint_names_pixels_labels_and_splits(plant: Plant, tmp_path: Path) -> None:
    """It changes with size, background or a label, and not with where the pack lies."""
    root = plant()
    names = {
        pack(root, tmp_path / "1").fingerprint,
        pack(root, tmp_path / "2", DataConfig(image_size=17)).fingerprint,
        pack(root, tmp_path / "3", DataConfig(image_size=16, background="black")).fingerprint,
        pack(root, tmp_path / "4", DataConfig(image_size=16, splits="redraw")).fingerprint,
    }
    assert len(names) == 4
    assert pack(root, tmp_path / "5").fingerprint in names
    assert all(len(name) == len(fingerprint()) for name in names)


def test_a_finished_pack_can_be_recognised_before_decoding(plant: Plant, tmp_path: Path) -> None:
    """The source's fingerprint is in the manifest."""
    root = plant()
    found = pack(root, tmp_path / "pack")
    assert found.manifest["source_fingerprint"] == open_source(root, DATA).fingerprint(DATA)


def test_unreadable_files_are_set_aside_up_to_a_share(plant: Plant, tmp_path: Path) -> None:
    """A few bad files are listed with reasons; too many stop the job and nothing is left behind."""
    root = plant(**{"train/bag/bad.png": b"", "train/bag/page.jpg": b"<html></html>"})
    found = pack(root, tmp_path / "pack", DataConfig(image_size=16, max_unreadable=0.2))
    assert found.quarantine() == [
        ("train/bag/bad.png", "empty file"),
        ("train/bag/page.jpg", "not an image: HTML"),
    ]
    assert found.manifest["quarantined"] == 2
    assert len(found) == 10
    with pytest.raises(InputError, match="2 of 12") as error:
        pack(root, tmp_path / "other")
    assert "train/bag/bad.png (empty file)" in str(error.value)
    assert sorted(os.listdir(tmp_path)) == ["data", "pack"]  # noqa: PTH208


def test_bad_files_leave_good_ones_as_they_are(plant: Plant, tmp_path: Path) -> None:
    """The same images are stored whether or not bad files lie among them."""
    root = plant()
    clean = pack(root, tmp_path / "clean")
    (root / "train" / "bag" / "00.png").write_bytes(b"bad")
    mixed = pack(root, tmp_path / "mixed", DataConfig(image_size=16, max_unreadable=0.5))
    assert np.array_equal(clean.images, mixed.images)
    assert clean.fingerprint == mixed.fingerprint


def test_every_class_needs_an_image_that_can_be_read(plant: Plant, tmp_path: Path) -> None:
    """All training images of a class, or all validation images, unreadable: an error."""
    allowed = DataConfig(image_size=16, max_unreadable=1)
    root = plant("train/a/1.png", "train/b/1.png", "val/a/1.png", **{"train/c/1.png": b""})
    with pytest.raises(InputError, match="no training image that can be used") as error:
        pack(root, tmp_path / "pack", allowed)
    assert "found:    c" in str(error.value)
    shutil.rmtree(root / "train" / "c")
    (root / "val" / "a" / "1.png").write_bytes(b"")
    with pytest.raises(InputError, match="no validation images"):
        pack(root, tmp_path / "pack", allowed)


def test_images_in_train_and_val_are_reported(
    plant: Plant, tmp_path: Path, bags: list[bytes]
) -> None:
    """The same pixels in train and val, and under two labels, are counted and listed."""
    root = plant(**{"val/bag/leak.png": bags[0], "train/coat/bag.png": bags[0]})
    found = pack(root, tmp_path / "pack")
    assert found.manifest["leakage"] == 1
    assert found.manifest["label_conflicts"] == 3
    with (tmp_path / "pack" / "images.csv").open(newline="") as file:
        notes = {row["file"]: row["notes"] for row in csv.DictReader(file)}
    assert "pixels also in train" in notes["val/bag/leak.png"]
    assert "also under another label" in notes["train/coat/bag.png"]
    assert "same pixels as train/bag/0.png" in notes["val/bag/leak.png"]


def test_names_in_tables_are_no_formulas(plant: Plant, tmp_path: Path) -> None:
    """A class named like a formula is neutral in images.csv, and files() gives names back."""
    root = plant("=a/1.png", "=a/2.png", "b/-1.png", "b/\udcff.png")
    found = pack(root, tmp_path / "pack", DataConfig(image_size=16, split=(2, 2, 0)))
    assert found.files() == ["=a/1.png", "=a/2.png", "b/-1.png", r"b/\xff.png"]
    assert found.classes == ("=a", "b")
    for line in (tmp_path / "pack" / "images.csv").read_text().splitlines():
        assert ",=" not in line


def test_progress_is_told_up_to_the_end(plant: Plant, tmp_path: Path) -> None:
    """The callback sees every image once, in order, with the total."""
    seen: list[tuple[int, int]] = []
    write_pack(
        open_source(plant(), DATA), DATA, tmp_path / "p", progress=lambda *now: seen.append(now)
    )
    assert seen == [(done, 10) for done in range(1, 11)]


def test_nothing_is_ever_overwritten(plant: Plant, tmp_path: Path) -> None:
    """A folder with something in it is not taken for a pack; an empty one may be."""
    (tmp_path / "p").mkdir()
    pack(plant(), tmp_path / "p")
    with pytest.raises(InputError, match="folder for the pack is not empty"):
        pack(plant(), tmp_path / "p")


def test_a_full_disk_is_told_beforehand_and_in_the_middle(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too little space, or a disk that fills up, is an error of the machine that says so."""
    root = plant()
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: usage)
        with pytest.raises(MachineError, match="not enough space"):
            pack(root, tmp_path / "p")
    assert os.listdir(tmp_path) == ["data"]  # noqa: PTH208

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(MachineError, match="No space left on device"):
            pack(root, tmp_path / "p")
    assert not (tmp_path / "p").exists()
    assert len(pack(root, tmp_path / "p")) == 10
