"""New images become the pixels that a network was trained on, whatever its size, fit, range, channels."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torch import Tensor

from tutelage.commands.evaluate import evaluate
from tutelage.commands.inference import Model, export, load, predict
from tutelage.commands.prepare_data import few_levels
from tutelage.config.data import DataConfig, prepared_as
from tutelage.config.job import TrainConfig
from tutelage.config.model import ModelConfig
from tutelage.config.schema import fingerprint
from tutelage.data.decode.prepare import prepare_all, prepare_item
from tutelage.data.pack.pack import Pack, open_pack
from tutelage.data.pack.write import write_pack
from tutelage.data.readers.open import open_source
from tutelage.engine.build import preparation_notes
from tutelage.engine.teachers import Teachers
from tutelage.errors import InputError
from tutelage.evaluation.predict import read_logits
from tutelage.models.build import build_model
from tutelage.models.metadata import read_metadata
from tutelage.models.model_folder import load_model, save_model
from tutelage.models.preprocess import Classifier
from tutelage.teachers.load import require_channels

FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")


def draw(rng: random.Random, **fixed: Any) -> DataConfig:
    """Random preparation."""
    drawn = {
        "image_size": rng.choice([32, rng.randint(24, 48), (rng.randint(24, 48), 40)]),
        "fit": rng.choice(["crop", "pad", "squash"]),
        "crop_ratio": rng.choice([1.0, 0.875, round(rng.uniform(0.5, 1), 3)]),
        "interpolation": rng.choice(FILTERS),
        "background": rng.choice(["white", "black"]),
        "channels": rng.choice([1, 3]),
        "range": rng.choice([None, (0.0, float(rng.randint(300, 4095)))]),
    }
    return DataConfig(**drawn | fixed)


def plant(root: Path, rng: random.Random, each: int = 3) -> Path:
    """Two classes of images of random sizes: 8-bit, 16-bit, transparent."""
    numbers = np.random.default_rng(rng.getrandbits(32))
    for split in ("train", "val"):
        for label in ("a", "b"):
            folder = root / split / label
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(each):
                size = (rng.randint(10, 90), rng.randint(10, 90))
                kind = rng.choice(["RGB", "RGBA", "L", "I;16"])
                shape = size if kind in ("L", "I;16") else (*size, len(kind))
                most = 4000 if kind == "I;16" else 256
                values = numbers.integers(0, most, shape)
                values = values.astype(np.uint16 if kind == "I;16" else np.uint8)
                Image.fromarray(values).save(folder / f"{number}.png")
    return root


def pack_of(data: Path, settings: DataConfig, folder: Path) -> Pack:
    source = open_source(str(data), settings)
    return write_pack(source, settings, folder, progress=lambda *_: None)


def network_of(pack: Pack, folder: Path) -> Classifier:
    """A saved network for a pack; its weights are random."""
    settings = ModelConfig(model="test_resnet", weights="none")
    classifier = build_model(
        settings,
        classes=len(pack.classes),
        stored_size=pack.image_size,
        train_statistics=(pack.mean, pack.std),
        seed=0,
    ).classifier.eval()
    save_model(
        folder,
        classifier,
        settings=settings,
        classes=pack.classes,
        stored_size=pack.image_size,
        background=pack.prepared.background,
        preparation=pack.preparation,
        card="",
    )
    return classifier


def pixels_of(data: Path, model: Model) -> Tensor:
    items = open_source(str(data), model.settings()).items
    found = [one.pixels for one in prepare_all(items, model.settings()) if not isinstance(one, str)]
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize("seed", range(18))
def test_a_network_sees_new_files_as_it_saw_its_own(tmp_path: Path, seed: int) -> None:
    """Logits of the files are those of the pack, and the pixels are its own to the byte."""
    rng = random.Random(seed)
    settings = draw(rng, fit=("crop", "pad", "squash")[seed % 3])
    data = plant(tmp_path / "data", rng)
    pack = pack_of(data, settings, tmp_path / "pack")
    network_of(pack, tmp_path / "model")
    model = load(tmp_path / "model")
    assert model.settings() == prepared_as(
        settings.image_size, settings.background, pack.preparation
    )
    images = pixels_of(data, model)
    assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), pack.images)
    rows = np.arange(len(pack))
    wanted = read_logits(model.classifier, pack, rows, device=torch.device("cpu"))
    with torch.no_grad():
        np.testing.assert_allclose(model(images).numpy(), wanted, atol=1e-6)
    predicted = predict(tmp_path / "model", data, out=tmp_path / "found.csv")
    assert predicted.classified == len(pack)


def test_every_preparation_travels_with_pack_and_network(tmp_path: Path) -> None:
    """What the manifest holds makes the same pixels of an image as the settings did; 200 choices."""
    rng = random.Random(7)
    data = plant(tmp_path / "data", rng, each=1)
    names = set()
    for number in range(200):
        settings = draw(rng)
        pack = pack_of(data, settings, tmp_path / str(number)) if number % 10 == 0 else None
        table = json.loads(json.dumps(pack.preparation)) if pack else None
        items = open_source(str(data), settings).items
        if pack and table is not None:
            again = prepared_as(pack.image_size, pack.prepared.background, table)
            names.add(pack.fingerprint)
            assert open_pack(pack.folder).fingerprint == pack.fingerprint
            for row, item in enumerate(items):
                assert prepare_item(item, again).key == pack.keys[row]
        for item in items:
            assert prepare_item(item, settings).pixels.shape == settings.shape
    assert len(names) > 15


@pytest.mark.parametrize("background", ["white", "black"])
def test_default_packs_keep_their_names(tmp_path: Path, background: str) -> None:
    """The fingerprint is that of size, background, classes and arrays, as before there was a choice."""
    data = plant(tmp_path / "data", random.Random(1))
    settings = DataConfig(image_size=32, background=background)  # type: ignore[arg-type]
    pack = pack_of(data, settings, tmp_path / "pack")
    digest = hashlib.sha256(
        b"".join(array.tobytes() for array in (pack.keys, pack.labels, pack.splits))
    ).hexdigest()
    made = {"format": 1, "size": 32, "background": background}
    assert pack.fingerprint == fingerprint(made, pack.classes, digest)
    assert set(pack.manifest["settings"]) == {
        "image_size", "splits", "split", "split_seed", "test_labels", "background",
        "max_unreadable", "max_pixels",
    }  # fmt: skip
    network_of(pack, tmp_path / "model")
    assert "preparation" not in read_metadata(tmp_path / "model")


@pytest.mark.parametrize("seed", range(12))
def test_timm_prepares_alike_from_the_folder_alone(tmp_path: Path, seed: int) -> None:
    """By `resolve_data_config` and `create_transform`; timm pads with its own colour."""
    rng = random.Random(seed)
    ratio = rng.choice([1.0, 0.875, 0.9])
    settings = draw(
        rng, image_size=rng.randint(24, 48), channels=3, range=None, crop_ratio=ratio,
        fit=rng.choice(["crop", "squash"]), interpolation=rng.choice(FILTERS[2:]),
    )  # fmt: skip
    data = plant(tmp_path / "data", rng)
    pack = pack_of(data, settings, tmp_path / "pack")
    classifier = network_of(pack, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())["pretrained_cfg"]
    transform = create_transform(**resolve_data_config({}, pretrained_cfg=config))
    values = np.random.default_rng(seed).integers(0, 256, (rng.randint(10, 90), 77, 3))
    image = Image.fromarray(values.astype(np.uint8))
    image.save(tmp_path / "one.png")
    item = open_source(str(data), settings).items[0]
    found = prepare_item(item._replace(read=(tmp_path / "one.png").read_bytes), settings).pixels
    ours = classifier.preprocess(torch.from_numpy(found.copy()).permute(2, 0, 1)[None])
    assert torch.allclose(transform(image)[None], ours, atol=1e-5)


@pytest.mark.medium
@pytest.mark.parametrize(("seed", "format"), [(0, "onnx"), (1, "onnx"), (2, "torch"), (3, "onnx")])
def test_exported_files_say_how_images_are_prepared(tmp_path: Path, seed: int, format: str) -> None:
    """And are checked on images prepared that way."""
    rng = random.Random(seed)
    settings = draw(rng, fit="pad", image_size=(24, 40), channels=1 if seed == 3 else 3)
    data = plant(tmp_path / "data", rng)
    network_of(pack_of(data, settings, tmp_path / "pack"), tmp_path / "model")
    result = export(tmp_path / "model", format=format, out=tmp_path / "file", data=data)
    assert result.difference < 1e-3
    if format == "onnx":
        onnx = pytest.importorskip("onnx")
        props = {one.key: one.value for one in onnx.load(str(result.path)).metadata_props}
        assert json.loads(props["preparation"])["fit"] == "pad"
        assert "padded with" in props["preprocessing"]


@pytest.mark.medium
def test_a_pack_prepared_otherwise_is_not_measured(tmp_path: Path) -> None:
    """For 20 pairs of choices: the same preparation is measured, another is refused; the files always are."""
    rng = random.Random(11)
    data = plant(tmp_path / "data", rng)
    for number in range(10):
        one, two = draw(rng, image_size=24), draw(rng, image_size=24)
        packs = [
            pack_of(data, settings, tmp_path / f"{number}{name}")
            for settings, name in ((one, "a"), (two, "b"))
        ]
        network_of(packs[0], tmp_path / f"model{number}")
        run = tmp_path / f"model{number}"
        assert evaluate(run, packs[0].folder)["images"] == len(packs[0].rows("val"))
        assert evaluate(run, data)["images"]
        if packs[1].preparation != packs[0].preparation:
            with pytest.raises(InputError, match="prepared otherwise"):
                evaluate(run, packs[1].folder)


def test_a_teacher_prepared_otherwise_is_told_and_one_of_grey_refused(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", random.Random(12))
    settings = DataConfig(image_size=24, fit="pad", interpolation="bicubic", channels=1)
    pack = pack_of(data, settings, tmp_path / "pack")
    network_of(pack, tmp_path / "model")
    saved = load_model(tmp_path / "model")
    teachers = Teachers(TrainConfig(), [saved])
    assert preparation_notes(teachers, pack) == []
    require_channels([saved], 1)
    other = pack_of(data, DataConfig(image_size=24), tmp_path / "other")
    (note,) = preparation_notes(teachers, other)
    assert "--data.fit pad (here crop), --data.interpolation bicubic (here bilinear)" in note
    with pytest.raises(InputError, match="1 channel"):
        require_channels([saved], 3)


def test_a_network_of_colour_sees_grey_in_each_channel(tmp_path: Path) -> None:
    """A teacher of RGB answers one-channel images as it answers their RGB."""
    data = plant(tmp_path / "data", random.Random(13))
    classifier = network_of(
        pack_of(data, DataConfig(image_size=24), tmp_path / "pack"), tmp_path / "model"
    )
    grey = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 1, 24, 24))).byte()
    with torch.no_grad():
        one, three = classifier(grey).logits, classifier(grey.repeat(1, 3, 1, 1)).logits
    assert torch.allclose(one, three, atol=1e-6)


def test_statistics_of_weights_for_one_channel() -> None:
    """The mean of those of three channels, which is what the first convolution's sum needs."""
    settings = ModelConfig(model="test_resnet", weights="none", normalization="weights")
    statistics = ((0.3,), (0.2,))
    built = build_model(settings, classes=2, stored_size=32, train_statistics=statistics, seed=0)
    usual = built.classifier.network.pretrained_cfg["mean"]  # type: ignore[index]
    assert built.classifier.preprocess.mean.flatten().tolist() == pytest.approx([sum(usual) / 3])
    with torch.no_grad():
        assert built.classifier.eval()(torch.zeros(1, 1, 32, 32).byte()).logits.shape == (1, 2)


def test_a_run_says_that_few_grey_levels_are_left(tmp_path: Path) -> None:
    """Of 16-bit images that fill few of their bits; not of full ones, of 8 bits, or with a range."""
    numbers = np.random.default_rng(0)
    for most, kind in ((1500, np.uint16), (65535, np.uint16), (255, np.uint8)):
        data = tmp_path / f"{most}"
        for place in ("train/a", "train/b", "val/a", "val/b"):
            (data / place).mkdir(parents=True)
            for number in range(3):
                values = numbers.integers(0, most + 1, (32, 32)).astype(kind)
                Image.fromarray(values).save(data / place / f"{number}.png")
        pack = pack_of(data, DataConfig(image_size=32), tmp_path / f"pack{most}")
        told = few_levels(pack)
        assert (told is not None) == (most == 1500)
        assert told is None or told.startswith("16-bit images are 6 of 256 grey levels")
    ranged = DataConfig(image_size=32, range=(0, 2047))
    assert few_levels(pack_of(tmp_path / "1500", ranged, tmp_path / "ranged")) is None
