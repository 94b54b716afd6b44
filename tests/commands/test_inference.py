"""Finished networks in use: loaded, measured, asked about images, exported."""

import csv
import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

from support.reseal import reseal_model
from tutelage.commands.inference import export, load, predict
from tutelage.config.job import TrainConfig
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.signals import StopRequest
from tutelage.errors import InputError, UsageError


@pytest.fixture(scope="module")
def run(small_pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A network trained for 3 epochs on the small pack in fp32."""
    root = tmp_path_factory.mktemp("use")
    settings = TrainConfig(
        model="test_resnet", weights="none", epochs=3, lr=3e-3, precision="fp32", device="cpu"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])
        place = RunContext("run", root / "run", root / "cache", Console(quiet=True), StopRequest())
        yield train_one(settings, small_pack, place)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_load(run: Path, small_pack: Pack) -> None:
    """A run folder and its model folder hold the same network, classes and sizes."""
    images = torch.from_numpy(small_pack.images[:5].copy()).permute(0, 3, 1, 2)
    answers = []
    for folder in (run, str(run / "model")):
        model = load(folder)
        assert not model.training
        assert model.classes == small_pack.classes
        assert model.stored_size == 32
        with torch.no_grad():
            answers.append(model(images))
    assert torch.equal(*answers)
    assert answers[0].shape == (5, 10)


def test_load_nothing(tmp_path: Path) -> None:
    """A folder without a network, and no folder, are refused by name."""
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="not a model folder") as caught:
            load(folder)
        assert str(folder) in str(caught.value)


def test_predict(run: Path, sample_folder: Path, small_pack: Pack, tmp_path: Path) -> None:
    """Every readable image below a folder gets a row, whatever it is called and wherever it is."""
    batch_images = tmp_path / "batch_images"
    names = ["a.png", "deep/er/b.png", "Zürich 日本.png", "=1+1.png", "with, comma.png"]
    sources = sorted((sample_folder / "val").glob("*/*.png"))[:: 80 // len(names)]
    for name, source in zip(names, sources, strict=False):
        target = batch_images / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    (batch_images / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    (batch_images / "empty.jpg").write_bytes(b"")
    (batch_images / "notes.txt").write_text("no image")
    out = tmp_path / "out.csv"
    with pytest.raises(InputError, match="2 of 7"):
        predict(run, batch_images, out=out, top=2)
    assert not out.exists()
    found = predict(run, batch_images, out=out, top=2, max_unreadable=0.3)
    assert found.classified == 5
    assert {Path(name).name for name, _ in found.unreadable} >= {"broken.png", "empty.jpg"}
    table = rows(out)
    assert {row["file"].removeprefix("'") for row in table} == set(names)
    assert list(table[0]) == ["file", "class", "probability", "class_2", "probability_2"]
    for row in table:
        assert row["class"] in small_pack.classes
        assert 0.1 <= float(row["probability"]) <= 1
        assert float(row["probability"]) >= float(row["probability_2"])


def test_predict_as_in_training(run: Path, sample_folder: Path, tmp_path: Path) -> None:
    """A file is prepared as in the pack: the run's own answers to its test images come again."""
    predict(run, sample_folder / "test", out=tmp_path / "out.csv")
    ours = {Path(row["file"]).name: row for row in rows(tmp_path / "out.csv")}
    theirs = {Path(row["file"]).name: row for row in rows(run / "predictions" / "test.csv")}
    assert ours.keys() == theirs.keys()
    assert len(ours) == 10
    for name, row in ours.items():
        assert row["class"] == theirs[name]["class"]
        assert float(row["probability"]) == pytest.approx(
            float(theirs[name]["probability"]), abs=2e-6
        )


def test_predict_one_file(run: Path, sample_folder: Path, tmp_path: Path) -> None:
    """One image is a table of one row, and other files beside it are left alone."""
    image = sorted((sample_folder / "val" / "Bag").iterdir())[3]
    assert predict(run, image, out=tmp_path / "out.csv").classified == 1
    assert [row["file"] for row in rows(tmp_path / "out.csv")] == [image.name]


def test_predict_many(run: Path, sample_folder: Path, tmp_path: Path) -> None:
    """More images than a batch holds come in their order, each with its own answer."""
    predict(run, sample_folder / "train", out=tmp_path / "all.csv")
    predict(run, sample_folder / "train" / "Trouser", out=tmp_path / "some.csv")
    every = {
        Path(row["file"]).name: row
        for row in rows(tmp_path / "all.csv")
        if Path(row["file"]).parent.name == "Trouser"
    }
    some = {Path(row["file"]).name: row for row in rows(tmp_path / "some.csv")}
    assert len(rows(tmp_path / "all.csv")) == 200
    assert every.keys() == some.keys()
    assert all(every[name]["class"] == some[name]["class"] for name in some)


@pytest.mark.skipif(os.name != "posix", reason="names that are no text exist on POSIX alone")
def test_predict_names_that_are_no_text(run: Path, sample_folder: Path, tmp_path: Path) -> None:
    """A file whose name is not UTF-8 is classified and shown escaped."""
    source = next((sample_folder / "val" / "Bag").iterdir())
    folder = tmp_path / "batch_images"
    folder.mkdir()
    shutil.copy(source, os.fsencode(folder) + b"/\xff.png")
    assert predict(run, folder, out=tmp_path / "out.csv").classified == 1
    (row,) = rows(tmp_path / "out.csv")
    assert "xff" in row["file"] or "udcff" in row["file"]


def test_predict_refuses(run: Path, tmp_path: Path) -> None:
    """No folder, a folder without one readable image, and no class to name are refused."""
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(InputError, match="no such folder"):
        predict(run, tmp_path / "none", out=tmp_path / "out.csv")
    with pytest.raises(InputError, match="no readable image"):
        predict(run, tmp_path, out=tmp_path / "out.csv")
    with pytest.raises(UsageError, match="--top"):
        predict(run, tmp_path, out=tmp_path / "out.csv", top=0)
    assert not (tmp_path / "out.csv").exists()


def test_background(run: Path, tmp_path: Path) -> None:
    """Transparent images are laid on the background that the network was trained with."""
    folder = tmp_path / "model"
    shutil.copytree(run / "model", folder)
    reseal_model(folder, background="black")
    assert load(run).settings().background == "white"
    assert load(folder).settings().background == "black"
    batch_images = tmp_path / "batch_images"
    batch_images.mkdir()
    Image.new("RGBA", (32, 32), (200, 10, 10, 60)).save(batch_images / "a.png")
    shares = []
    for model in (run, folder):
        predict(model, batch_images, out=tmp_path / "out.csv")
        shares.append(rows(tmp_path / "out.csv")[0])
    assert shares[0] != shares[1]


def test_export(run: Path, small_pack: Pack, sample_folder: Path, tmp_path: Path) -> None:
    """The exported file answers as the network does, is checked on readable images, and lies where told."""
    images = small_pack.images[small_pack.rows("val")[:4]].transpose(0, 3, 1, 2)
    made = export(run, out=tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(made.path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"pixels": np.ascontiguousarray(images)})
    with torch.no_grad():
        expected = load(run)(torch.from_numpy(images.copy())).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.std())
    shutil.copytree(sample_folder / "val", tmp_path / "half")
    for path in sorted((tmp_path / "half").glob("*/*.png"))[::2]:
        path.write_bytes(b"")
    assert export(run, out=tmp_path / "h.onnx", data=tmp_path / "half").path.is_file()
    with pytest.raises(InputError, match="eight"):
        export(run, out=tmp_path / "n.onnx", data=_two_images(tmp_path))
    assert not (tmp_path / "n.onnx").exists()


def _two_images(folder: Path) -> Path:
    data = folder / "data"
    for name in ("a", "b"):
        (data / name).mkdir(parents=True)
        Image.new("L", (32, 32), 99).save(data / name / "1.png")
    return data


def test_own_module(
    small_pack: Pack, place: Callable[..., RunContext], single: Callable[..., TrainConfig]
) -> None:
    """A run of a module of one's own is loaded with another of its kind, and only so."""

    def make(classes: int) -> nn.Module:
        return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, classes))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])
        settings = dataclasses.replace(single(), epochs=1)
        folder = train_one(settings, small_pack, place(), network=make)
    with pytest.raises(InputError, match="YOUR_MODULE"):
        load(folder)
    assert load(folder, network=make(10)).classes == small_pack.classes
