"""A finished network from elsewhere is taken in and answers as it did."""

import copy
import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import nn

import tutelage
from support.weights_of_others import network
from tutelage.commands.adopt import adopt
from tutelage.errors import InputError, UsageError
from tutelage.models.class_names import read_class_names
from tutelage.models.class_order import reorder_classes

CLASSES = ("ant", "bee", "cat", "dog", "elk")
TIMM = (
    "resnet10t", "vit_tiny_patch16_224", "convnext_atto", "efficientnet_lite0", "mobilenetv3_small_050",
    "regnetx_002", "mobilenetv2_050", "ghostnet_050", "xcit_nano_12_p16_224", "edgenext_xx_small",
    "mobilevit_xxs", "pvt_v2_b0", "levit_128s", "mixer_s32_224", "hardcorenas_a", "semnasnet_075",
)  # fmt: skip
TORCHVISION = {
    "resnet18": "resnet18", "regnet_y_400mf": "regnety_004", "resnet34": "resnet34",
    "densenet121": "densenet121",
}  # fmt: skip


def same_outputs(original: nn.Module, folder: Path, size: int) -> float:
    """The largest difference of two networks' logits on the same tensors."""
    images = torch.rand(2, 3, size, size)
    with torch.no_grad():
        adopted = tutelage.load(folder).classifier.network(images)
        return float((original.eval()(images) - adopted).abs().max())


@pytest.mark.full
@pytest.mark.parametrize("name", [*TIMM, *(f"torchvision {name}" for name in TORCHVISION)])
def test_answers_are_those_of_the_network(tmp_path: Path, name: str) -> None:
    """Twenty networks of more than ten families, of timm and torchvision."""
    torch.manual_seed(0)
    if name.startswith("torchvision"):
        short = name.partition(" ")[2]
        original = getattr(torchvision.models, short)(weights=None, num_classes=5)
        model = TORCHVISION[short]
    else:
        original, model = timm.create_model(name, num_classes=5), name
    for buffer_name, buffer in original.named_buffers():
        if buffer_name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    torch.save(
        {"model": {f"module.{n}": t for n, t in original.state_dict().items()}}, tmp_path / "w.pth"
    )
    made = adopt(tmp_path / "w.pth", model=model, classes=CLASSES, out=tmp_path / "out")
    size = made.built.classifier.preprocess.size
    assert same_outputs(original, made.folder, size) < 1e-5
    assert tutelage.load(made.folder).classes == CLASSES


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save({"state_dict": network(1).state_dict()}, tmp_path / "w.pth")
    return tmp_path / "w.pth"


def images(folder: Path) -> Path:
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for index in range(2):
            pixels = np.full((32, 32, 3), 40 * number + index, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


def test_measured_at_once(tmp_path: Path, weights: Path) -> None:
    """The accuracy is that of the network itself under the normalization that was given."""
    data, mean, std = images(tmp_path / "data"), (0.2, 0.3, 0.4), (0.5, 0.6, 0.7)
    made = adopt(
        weights,
        model="test_resnet",
        classes=CLASSES,
        out=tmp_path / "a",
        mean=mean,
        std=std,
        input_size=32,
        data=data,
    )
    right = 0
    with torch.no_grad():
        for number, name in enumerate(CLASSES):
            for path in sorted((data / name).iterdir()):
                pixels = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) / 255
                pixels = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[
                    :, None, None
                ]
                right += int(network(1)(pixels[None]).argmax()) == number
    assert made.measured is not None
    assert (made.measured["images"], made.measured["accuracy"]) == (10, right / 10)
    assert "as given" in made.built.normalization


def test_refused(tmp_path: Path, weights: Path) -> None:
    """Other numbers of classes, no head, a folder that is not empty; nothing is left behind."""
    out = tmp_path / "out"
    with pytest.raises(InputError, match="not a finished network") as caught:
        adopt(weights, model="test_resnet", classes=CLASSES[:3], out=out)
    assert "the file has 5 classes, the network 3" in str(caught.value)
    with pytest.raises(InputError):
        adopt(weights, model="test_resnet", classes=CLASSES, out=out, data=tmp_path / "none")
    assert not out.exists()
    with pytest.raises(UsageError, match="not empty"):
        adopt(weights, model="test_resnet", classes=CLASSES, out=tmp_path)
    with pytest.raises(InputError, match="class names cannot be used"):
        adopt(weights, model="test_resnet", classes=["a", "a", "b", "c", "d"], out=out)


def random_names_file(path: Path, seed: int) -> tuple[Path, tuple[str, ...]]:
    """Names in one of the forms in which people keep them."""
    draw = random.Random(seed)
    count = draw.randint(2, 30)
    words = draw.sample(
        [
            "great ant",
            "bee",
            "Café",
            "n01440764",
            "3d",
            "x, y",
            "class",
            "a:b",
            *map(str, range(40)),
        ],
        count,
    )
    words = [f"{word} {i}" if draw.random() < 0.3 else word for i, word in enumerate(words)]
    words = [w if not w.isdigit() else f"c{w}" for w in words]
    numbered = list(enumerate(words))
    draw.shuffle(numbered)
    form = draw.choice(
        [
            "lines",
            "numbers",
            "json list",
            "json map",
            "json back",
            "imagenet",
            "csv",
            "id2label",
            "one column",
        ]
    )
    suffix = (
        ".json"
        if "json" in form or form in ("imagenet", "id2label")
        else ".csv"
        if form in ("csv", "one column")
        else ".txt"
    )
    target = path / f"{seed}{suffix}"
    content: Any
    if form == "lines":
        content = "\n".join(words) + draw.choice(["", "\n", "\n\n"])
    elif form == "numbers":
        content = "\n".join(f"{i}{draw.choice([' ', ': ', chr(9), ', '])}{w}" for i, w in numbered)
    elif form == "csv":
        text = io.StringIO()
        writer = csv.writer(text, delimiter=draw.choice(",;\t"))
        start = draw.choice([0, 1])
        if draw.random() < 0.7:
            writer.writerow(
                draw.choice([("id", "name"), ("index", "class_name"), ("idx", "label")])
            )
        writer.writerows([(i + start, w) for i, w in numbered])
        content = text.getvalue()
    elif form == "one column":
        text = io.StringIO()
        csv.writer(text).writerows([("name",), *((w,) for w in words)])
        content = text.getvalue()
    else:
        table = {
            "json list": words,
            "json map": {str(i): w for i, w in numbered},
            "json back": {w: i for i, w in numbered},
            "imagenet": {str(i): ["n0", w] for i, w in numbered},
            "id2label": {"architectures": ["X"], "id2label": {str(i): w for i, w in numbered}},
        }[form]
        content = json.dumps(table)
    target.write_text(
        draw.choice(["", "\ufeff"]) + content if suffix != ".json" else content, encoding="utf-8"
    )
    return target, tuple(words)


@pytest.mark.parametrize("part", range(4))
def test_random_files_of_names(tmp_path: Path, part: int) -> None:
    """Text, tables and JSON in any order of lines."""
    for seed in range(100 * part, 100 * part + 100):
        path, words = random_names_file(tmp_path, seed)
        assert read_class_names([str(path)]) == words, (seed, path.read_text())


def test_names_that_are_none(tmp_path: Path) -> None:
    """Names as given are kept; a file that is missing, numbers with a hole and an empty file are refused."""
    assert read_class_names(["a", "b"]) == ("a", "b")
    (tmp_path / "a.json").write_text('{"0": "a", "2": "b"}')
    (tmp_path / "b.json").write_text("[" * 100_000)
    (tmp_path / "c.txt").write_text("")
    for name in ("a.json", "b.json", "c.txt", "none.txt"):
        with pytest.raises(InputError):
            read_class_names([str(tmp_path / name)])


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_mambaout"])
def test_reordered_outputs(name: str) -> None:
    """Output i is that of class i of the data, to the bit, for any order and for some of the classes."""
    draw = random.Random(name)
    for _ in range(6):
        net = copy.deepcopy(network(1, name=name))
        picked = draw.sample(range(5), draw.randint(2, 5))
        size = net.pretrained_cfg["input_size"][-1]
        pixels = torch.rand(1, 3, size, size)
        with torch.no_grad():
            before = net(pixels)
            reorder_classes(net, CLASSES, [CLASSES[i] for i in picked], where="here")
            assert torch.allclose(net.eval()(pixels), before[:, picked], rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match="does not know"):
        reorder_classes(net, CLASSES, ["fox"], where="here")
