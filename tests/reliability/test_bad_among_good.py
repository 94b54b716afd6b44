"""Bad files among good ones: exactly those are set aside, and all else is to the byte as without them."""

import itertools
import json
import shutil
from pathlib import Path

import pytest

from support.reliability.bad_bench import CLASSES, good_images
from support.reliability.bad_images import ODD
from tutelage.commands.evaluate import evaluate
from tutelage.commands.inference import predict
from tutelage.commands.pack import check
from tutelage.commands.train import train
from tutelage.config.data import DataConfig
from tutelage.config.job import TrainConfig
from tutelage.errors import InputError

GOOD = 90
BAD = {
    "empty.jpg": b"",
    "half.jpg": ODD["cut-jpeg-0.5.jpg"],
    "page.png": b"<!DOCTYPE html><html><body>404</body></html>",
    "flipped.png": ODD["flipped-60.png"],
    "large.png": ODD["bomb-81-megapixels.png"],
}
SETTINGS = TrainConfig(
    model="test_resnet",
    epochs=2,
    batch_size=16,
    device="cpu",
    precision="fp32",
    data=DataConfig(image_size=16, max_unreadable=0.1),
)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 good images, and a run trained on them."""
    root = tmp_path_factory.mktemp("clean")
    good_images(root / "data", train=35, val=10)
    assert len(list((root / "data").rglob("*.png"))) == GOOD
    train(root / "data", SETTINGS, out=root / "run", quiet=True)
    return root


def spoil(folder: Path, count: int) -> list[str]:
    """Put bad files into all folders of a data folder, in turn, before, between and behind the good ones."""
    places = itertools.cycle(itertools.product(("train", "val"), CLASSES))
    names = []
    for number, (split, name) in zip(range(count), places, strict=False):
        kind = list(BAD)[number % len(BAD)]
        file = f"{split}/{name}/{'05z'[number % 3]}-{number}-{kind}"
        (folder / file).write_bytes(BAD[kind])
        names.append(file)
    return sorted(names)


@pytest.mark.parametrize("count", [1, 5, 10])
def test_training_is_as_without_the_bad_files(count: int, clean: Path, tmp_path: Path) -> None:
    """1, 5 and 10 % of bad files are listed with reasons, and not a byte of the result differs."""
    shutil.copytree(clean / "data", tmp_path / "data")
    names = spoil(tmp_path / "data", count)
    assert [name for name, _ in check(tmp_path / "data", SETTINGS.data).unreadable] == names
    run = train(tmp_path / "data", SETTINGS, out=tmp_path / "run", quiet=True)
    told = json.loads((run / "data.json").read_text())["quarantine"]
    assert [row["file"] for row in told] == names
    assert all(row["reason"] for row in told)
    results = ["scores.json", "model/model.safetensors", "model-best/model.safetensors"]
    results += [f"predictions/{split}.safetensors" for split in ("val", "best-val")]
    for name in results:
        assert (run / name).read_bytes() == (clean / "run" / name).read_bytes(), name


def test_measuring_and_predicting_are_as_without_the_bad_files(clean: Path, tmp_path: Path) -> None:
    """A finished network gives the same numbers and answers, and the bad files are listed beside them."""
    shutil.copytree(clean / "data", tmp_path / "data")
    names = spoil(tmp_path / "data", 10)
    found = dict(evaluate(clean / "run", tmp_path / "data", max_unreadable=0.2))
    told = found.pop("unreadable")
    assert [row["file"] for row in told] == [n for n in names if n.startswith("val/")]
    expected = dict(evaluate(clean / "run", clean / "data"))
    assert expected.pop("unreadable") == []
    assert found == expected
    mixed = predict(
        clean / "run", tmp_path / "data", out=tmp_path / "mixed.csv", max_unreadable=0.1
    )
    predict(clean / "run", clean / "data", out=tmp_path / "clean.csv")
    assert [name for name, _ in mixed.unreadable] == names
    assert (tmp_path / "mixed.csv").read_bytes() == (tmp_path / "clean.csv").read_bytes()


def test_more_than_the_share_stops(clean: Path, tmp_path: Path) -> None:
    """One bad file above the share, and nothing is trained, measured or written."""
    shutil.copytree(clean / "data", tmp_path / "data")
    names = spoil(tmp_path / "data", 11)
    with pytest.raises(InputError, match="11 of 101") as caught:
        train(tmp_path / "data", SETTINGS, out=tmp_path / "run", quiet=True)
    assert any(name in str(caught.value) for name in names)
    assert "--data.max-unreadable" in str(caught.value)
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="11 of 101"):
        predict(clean / "run", tmp_path / "data", out=tmp_path / "out.csv", max_unreadable=0.1)
    assert not (tmp_path / "out.csv").exists()
    with pytest.raises(InputError, match="--max-unreadable"):
        evaluate(clean / "run", tmp_path / "data", max_unreadable=0.1)
