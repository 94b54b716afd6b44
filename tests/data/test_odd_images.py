"""300 odd files through the packer: kept with the right pixels, refused, or passed over."""

import json
from pathlib import Path

import numpy as np
import PIL
import pytest

from support.images import odd_images as odd
from tutelage.config.data import DataConfig
from tutelage.data.pack.pack import Pack
from tutelage.data.pack.write import write_pack
from tutelage.data.readers.open import open_source
from tutelage.data.readers.source import Source

RECORD = json.loads(odd.RECORD.read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[odd.Odd], Source, Pack]:
    folder = tmp_path_factory.mktemp("odd")
    files = odd.make_folder(folder / "data")
    before = {path: path.lstat().st_mtime_ns for path in (folder / "data").rglob("*")}
    settings = DataConfig(image_size=odd.SIDE, max_unreadable=1.0)
    source = open_source(folder / "data", settings)
    pack = write_pack(source, settings, folder / "pack", progress=lambda *_: None)
    assert before == {path: path.lstat().st_mtime_ns for path in (folder / "data").rglob("*")}
    return files, source, pack


def test_every_odd_file_has_its_recorded_outcome(
    made: tuple[list[odd.Odd], Source, Pack],
) -> None:
    """Kept files have the recorded pixels, refused ones the recorded reason; no file is lost."""
    files, source, pack = made
    found = {
        name: {"pixels": odd.pixel_name(pack.images[row])} for row, name in enumerate(pack.files())
    }
    found |= {name: {"reason": reason} for name, reason in pack.quarantine()}
    expected = RECORD["files"] | {n: {"reason": why} for n, why in RECORD["special"].items()}
    if PIL.__version__ != RECORD["pillow"]:  # decoders of lossy formats may round otherwise
        inexact = {odd.name_of(one) for one in files if one.error}
        found = {name: value for name, value in found.items() if name not in inexact}
        expected = {name: value for name, value in expected.items() if name not in inexact}
    assert found == expected
    assert source.ignored == RECORD["ignored"]
    assert pack.manifest["notes"] == RECORD["notes"]
    assert len(files) + len(odd.SPECIAL) > 300


def test_kept_pixels_are_those_the_file_was_made_of(
    made: tuple[list[odd.Odd], Source, Pack],
) -> None:
    """Against the array: exactly where a format is lossless, else within its stated error."""
    files, _, pack = made
    rows = {name: row for row, name in enumerate(pack.files())}
    wrong = {}
    for one in files:
        row = rows.get(odd.name_of(one))
        if row is None:
            if one.pixels is not None and not one.cut:
                wrong[one.name] = "refused"
        elif one.pixels is None:
            wrong[one.name] = "kept"
        else:
            distance = np.abs(pack.images[row].astype(int) - one.pixels)
            if distance.mean() > one.error or (one.error == 0 and distance.any()):
                wrong[one.name] = f"{distance.mean():.2f} from its pixels"
    assert wrong == {}


def test_the_odd_files_are_the_same_every_time(tmp_path: Path) -> None:
    """The generator gives the same files every time, so that the record stands for them."""
    one = {file.name: file.raw for file in odd.make_folder(tmp_path / "1")}
    two = {file.name: file.raw for file in odd.make_folder(tmp_path / "2")}
    assert one == two
