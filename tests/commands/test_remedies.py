"""What a message proposes works: each remedy is followed, in the words in which it was given."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import tutelage
from support.weights_of_others import network
from tutelage.commands.adopt import adopt
from tutelage.errors import InputError, UsageError
from tutelage.models.build import require_known
from tutelage.models.class_names import read_class_names
from tutelage.models.weights import load_weights

pytestmark = pytest.mark.medium  # trains
CLASSES = ("ant", "bee", "cat")
NET = {"model": "test_resnet", "batch_size": 16, "lr": 0.003, "device": "cpu"}


def settings(**more: object) -> tutelage.TrainConfig:
    data = tutelage.DataConfig(image_size=32)
    return tutelage.TrainConfig(data=data, **{**NET, **more})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes that are told apart by their grey."""
    folder = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for index in range(20):
            pixels = draw.integers(90 * number, 90 * number + 60, (32, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "trained"
    return tutelage.train(photos, settings(epochs=3), out=out, quiet=True)


def test_more_epochs(photos: Path, trained: Path) -> None:
    """A finished run is gone on from: another folder, its weights, the epochs to add."""
    with pytest.raises(UsageError, match="other settings") as caught:
        tutelage.train(photos, settings(epochs=4), out=trained, quiet=True)
    found = re.search(r"--out (\S+); .* --weights (\S+) and", str(caught.value.fix))
    assert found
    before = tutelage.evaluate(trained, photos)["nll"]
    more = settings(epochs=0, weights=found[2])
    again = tutelage.train(photos, more, out=found[1], quiet=True)
    assert tutelage.evaluate(again, photos)["nll"] == pytest.approx(before, abs=1e-4)
    scores = (again / "model" / "README.md").read_text()
    assert "first weights: file model.safetensors;" in scores


def test_new_folder_of_predictions(photos: Path, trained: Path, tmp_path: Path) -> None:
    """A folder that is missing is made; one that cannot be is said, without flags that predict has not."""
    made = tutelage.predict(trained, photos, out=tmp_path / "new" / "deep" / "p.csv")
    assert made.path.is_file()
    (tmp_path / "file").write_text("x")
    with pytest.raises(tutelage.MachineError) as caught:
        tutelage.predict(trained, photos, out=tmp_path / "file" / "p.csv")
    assert "--resume" not in str(caught.value)


def test_head_left_random(photos: Path, tmp_path: Path) -> None:
    """Weights of other classes are no finished network: refused at 0 epochs, and trained as proposed."""
    torch.save({"state_dict": network(1, classes=9).state_dict()}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="random head") as caught:
        tutelage.train(
            photos,
            settings(epochs=0, weights=str(tmp_path / "w.pth")),
            out=tmp_path / "a",
            quiet=True,
        )
    assert "the file has 9 classes, the network 3" in str(caught.value)
    assert "--epochs" in str(caught.value.fix)
    more = settings(epochs=1, weights=str(tmp_path / "w.pth"))
    out = tutelage.train(photos, more, out=tmp_path / "b", quiet=True)
    assert "head left random: the file has 9 classes" in (out / "model" / "README.md").read_text()
    assert "head left random" in (out / "journal.jsonl").read_text().splitlines()[0]


def test_classes_in_another_order(photos: Path, trained: Path, tmp_path: Path) -> None:
    """The order that the message shows, given by the flag that it names, makes the teacher good."""
    wrong = adopt(
        trained,
        model="test_resnet",
        classes=("cat", "ant", "bee"),
        out=tmp_path / "t",
        input_size=32,
    )
    student = {"epochs": 1, "teacher": (str(wrong.folder),)}
    with pytest.raises(InputError, match="another order") as caught:
        tutelage.distill(photos, settings(**student), out=tmp_path / "a", quiet=True)
    assert "--teacher-classes FILE" in str(caught.value.fix)
    (tmp_path / "names.txt").write_text("\n".join(CLASSES))
    student["teacher_classes"] = (str(tmp_path / "names.txt"),)
    out = tutelage.distill(photos, settings(**student), out=tmp_path / "b", quiet=True)
    assert (out / "scores.json").is_file()
    assert read_class_names(student["teacher_classes"]) == CLASSES  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    ["timm/resnet18", "timm/resnet18.a1_in1k", "mobilenet_v2", "ViT_B_16", "regnet_x_3_2gf", "Resnet50",
     "efficientnet-b0", "swin_t", "https://huggingface.co/timm/vit_tiny_patch16_224", "resnt18",
     "convnext-tiny", "mnasnet1_0", "resnet_50"],
)  # fmt: skip
def test_proposed_networks_exist(name: str) -> None:
    """Names of other software lead to a network that there is."""
    with pytest.raises(UsageError, match="no such network") as caught:
        require_known(name)
    proposed = re.search(r"did you mean (\S+)\?", str(caught.value))
    assert proposed, str(caught.value)
    require_known(proposed[1])


@pytest.mark.full
def test_proposed_networks_take_the_weights(tmp_path: Path) -> None:
    """The network that is proposed for weights of another one takes them."""
    pairs = [
        ("resnet34", "resnet18"), ("convnext_femto", "convnext_atto"), ("regnety_002", "regnetx_002"),
        ("efficientnet_b0", "resnet18"), ("mobilenetv3_small_075", "mobilenetv3_small_050"),
    ]  # fmt: skip
    for true, asked in pairs:
        prefix = random.Random(true).choice(["", "module.", "net."])
        state = {prefix + n: t for n, t in timm.create_model(true).state_dict().items()}
        torch.save({"state_dict": state}, tmp_path / "w.pth")
        net = timm.create_model(asked)
        with pytest.raises(InputError, match="another network") as caught:
            load_weights(net, tmp_path / "w.pth", classifier=net.pretrained_cfg["classifier"])
        proposed = re.match(r"--model (\S+),", str(caught.value.fix))
        assert proposed, (true, asked)
        net = timm.create_model(proposed[1])
        load_weights(net, tmp_path / "w.pth", classifier=net.pretrained_cfg["classifier"])
