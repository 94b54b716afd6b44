"""The report of `tutelage check`."""

from collections.abc import Callable
from pathlib import Path

from support.images.plant import Plant
from tutelage.config.data import DataConfig
from tutelage.data.inspect import ValueRange, check_source, format_check
from tutelage.data.readers.open import open_source

DATA = DataConfig(image_size=16)


def test_a_check_finds_what_is_wrong(
    plant: Plant, image: Callable[..., bytes], bags: list[bytes]
) -> None:
    """Unreadable files, duplicates, leaks, two labels, few and constant images are found."""
    root = plant(
        **{
            "train/bag/bad.jpg": b"<html></html>",
            "train/bag/flat.png": image("PNG", "RGB", (1, 2, 3), 40),
            "val/bag/leak.png": bags[0],
            "train/coat/bag.png": bags[1],
        }
    )
    report = check_source(open_source(root, DATA), DATA)
    assert report.images == 13
    assert report.counts["train"] == {"bag": 4, "coat": 4}
    assert report.widths == ValueRange(28, 28, 40)
    assert report.unreadable == [("train/bag/bad.jpg", "not an image: HTML")]
    assert report.duplicates == [
        ["train/bag/0.png", "val/bag/leak.png"],
        ["train/bag/1.png", "train/coat/bag.png"],
    ]
    assert report.across_splits == ["val/bag/leak.png"]
    assert report.two_labels == ["train/bag/1.png", "train/coat/bag.png"]
    assert report.constant == ["train/bag/flat.png"]
    assert report.tiny_classes == {"bag": 4, "coat": 4}
    assert not report.clean
    text = "\n".join(format_check(report))
    assert "cannot be used: 1" in text
    assert "train/bag/bad.jpg: not an image: HTML" in text
    assert "train/bag/0.png = val/bag/leak.png" in text


def test_a_check_of_clean_data_says_so(plant: Plant) -> None:
    """With nothing to report the last line says that nothing is wrong."""
    root = plant(*(f"{name}/{n}.png" for name in ("bag", "coat") for n in range(15)))
    report = check_source(open_source(root, DATA), DATA)
    assert report.clean
    assert format_check(report)[-1] == "nothing is wrong"


def test_a_check_writes_nothing(plant: Plant, tmp_path: Path) -> None:
    """The folder of the data and the folder beside it stay as they are."""
    root = plant()
    before = sorted(tmp_path.rglob("*"))
    check_source(open_source(root, DATA), DATA)
    assert sorted(tmp_path.rglob("*")) == before


def test_long_lists_are_cut(plant: Plant) -> None:
    """More than ten findings of a kind are summed up; files that cannot be used are all named."""
    root = plant(**{f"train/bag/{n:02d}.jpg": b"" for n in range(15)})
    for number in range(12):
        (root / "train" / "bag" / f"again-{number:02d}.png").write_bytes(
            (root / "train" / "bag" / "0.png").read_bytes()
        )
        (root / "val" / "coat" / f"{number}.png").write_bytes(
            (root / "train" / "coat" / f"{number % 3}.png").read_bytes()
        )
    lines = format_check(check_source(open_source(root, DATA), DATA))
    assert "cannot be used: 15" in lines
    assert all(f"  train/bag/{n:02d}.jpg: empty file" in lines for n in range(15))
    assert "in val or test, and in train too: 12" in lines
    assert "  and 2 more" in lines
