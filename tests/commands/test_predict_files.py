"""Which files `predict` classifies: all images, whatever they are called; the rest is counted."""

import csv
import random
from pathlib import Path

import pytest

from support.images.layouts import png, write
from tutelage.cli import call
from tutelage.commands.inference import predict
from tutelage.errors import InputError

FILES = {
    "a/1.png": png(1),
    "a/2": png(2),
    "3.happy": png(3),
    "b/notes.txt": b"no",
    "@eaDir/4.png": png(4),
}


@pytest.mark.parametrize("container", ["folder", "zip", "tar.gz"])
def test_every_image_has_a_line_and_every_other_file_a_count(
    container: str, teacher_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a folder or an archive: without an ending, and with one that says nothing."""
    data = write(FILES, tmp_path, container, random.Random(0))
    out = tmp_path / "p.csv"
    call(["predict", str(teacher_folder), str(data), "--out", str(out)])
    with out.open(newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == ["3.happy", "a/1.png", "a/2"]
    told = capsys.readouterr().out
    assert "3 images classified, 0 unreadable" in told
    assert "passed over: .txt file (1): b/notes.txt" in told
    assert "passed over: system file (1): @eaDir" in told


def test_links_out_of_the_folder(teacher_folder: Path, tmp_path: Path) -> None:
    """Set aside, with the flag that reads them."""
    (tmp_path / "1.png").write_bytes(png(1))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "1.png").symlink_to(tmp_path / "1.png")
    out = tmp_path / "p.csv"
    with pytest.raises(InputError, match=r"--data\.links follow"):
        predict(teacher_folder, tmp_path / "data", out=out)
    assert predict(teacher_folder, tmp_path / "data", out=out, links="follow").classified == 1


def test_no_readable_image_says_what_was_passed_over(teacher_folder: Path, tmp_path: Path) -> None:
    """With counts and names."""
    data = write({"notes.txt": b"", "x.cr2": b"II*\0"}, tmp_path, "folder", random.Random(0))
    with pytest.raises(
        InputError, match=r"passed over: \.cr2 file \(1\): x\.cr2; passed over: \.txt"
    ):
        predict(teacher_folder, data, out=tmp_path / "p.csv")
