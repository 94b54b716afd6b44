"""A network that cannot be trained on the images is refused before anything is trained."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from tutelage.commands.train import run
from tutelage.config.data import DataConfig
from tutelage.config.job import DistillConfig, NetworkConfig, TrainConfig
from tutelage.data.pack.pack import Pack
from tutelage.engine.trial_step import try_step
from tutelage.errors import UsageError
from tutelage.models.build import build_model
from tutelage.models.model_folder import load_model, save_model

SETTINGS = TrainConfig(model="test_resnet", weights="none", device="cpu", batch_size=6)


class Own(nn.Module):
    """A small network whose output is changed by a function."""

    def __init__(
        self, classes: int, change: Callable[[Tensor], Any] = lambda logits: logits
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(classes))
        self.change = change
        self.layers(torch.zeros(1, 3, 32, 32))

    def forward(self, images: Tensor) -> Any:
        return self.change(self.layers(images))


def fails(error: Exception) -> Callable[[Tensor], Any]:
    def change(_logits: Tensor) -> Any:
        raise error

    return change


WRONG: dict[str, Callable[[Tensor], Any]] = {
    "tuple": lambda logits: (logits, logits),
    "list": lambda logits: [logits],
    "dict": lambda logits: {"logits": logits},
    "nothing": lambda _: None,
    "number": lambda logits: float(logits.detach().sum()),
    "one more class": lambda logits: torch.cat([logits, logits[:, :1]], 1),
    "one class less": lambda logits: logits[:, 1:],
    "a thousand classes": lambda logits: logits.repeat(1, 100),
    "a map": lambda logits: logits[:, :, None, None],
    "classes first": lambda logits: logits.T,
    "a mean over the batch": lambda logits: logits.mean(0),
    "half a batch": lambda logits: logits[::2],
    "whole numbers": lambda logits: logits.long(),
    "detached": lambda logits: logits.detach(),
    "KeyError": fails(KeyError("x")),
    "TypeError": fails(TypeError("unexpected keyword")),
    "RuntimeError": fails(RuntimeError("mat1 and mat2 shapes cannot be multiplied\nmore")),
    "AssertionError": fails(AssertionError()),
    "ZeroDivisionError": fails(ZeroDivisionError("division by zero")),
}


@pytest.mark.parametrize("kind", WRONG)
def test_modules_that_do_not_return_logits(kind: str, small_pack: Pack) -> None:
    """Whatever a module of one's own does wrong ends in one message that shows it."""
    with pytest.raises(UsageError) as caught:
        try_step(SETTINGS, small_pack, factory=lambda classes: Own(classes, WRONG[kind]))
    text = str(caught.value)
    assert "Own" in text
    if kind.endswith("Error"):
        assert kind in text
    elif kind != "detached":
        assert "[6, 10]" in text


def test_what_is_no_module(small_pack: Pack) -> None:
    with pytest.raises(UsageError, match="something else"):
        try_step(SETTINGS, small_pack, factory=lambda _: "resnet18")  # type: ignore[arg-type, return-value]


def test_a_factory_that_fails(small_pack: Pack) -> None:
    for factory in (lambda: Own(10), lambda classes: Own(classes[0])):
        with pytest.raises(UsageError, match="factory of a network failed"):
            try_step(SETTINGS, small_pack, factory=factory)  # type: ignore[arg-type]


def test_a_good_module_is_left_as_it_was(small_pack: Pack) -> None:
    """The one object that a factory returns again and again keeps its weights, gradients and statistics."""
    kept = nn.Sequential(Own(10), nn.BatchNorm1d(10))
    before = {name: tensor.clone() for name, tensor in kept.state_dict().items()}
    state = torch.random.get_rng_state()
    try_step(SETTINGS, small_pack, factory=lambda _: kept)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(before[name], tensor) for name, tensor in kept.state_dict().items())
    assert all(parameter.grad is None for parameter in kept.parameters())


@pytest.mark.parametrize("model", ["efficientformer_l1"])
def test_networks_of_one_size(model: str, small_pack: Pack) -> None:
    """The remedy is the network's own size, and it works."""
    settings = dataclasses.replace(SETTINGS, model=model, batch_size=2)
    with pytest.raises(UsageError, match="32 x 32") as caught:
        try_step(settings, small_pack, flag="--student.")
    assert caught.value.fix == "--student.input-size 224"
    try_step(dataclasses.replace(settings, input_size=224), small_pack)


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ("vit_tiny_patch16_224", None),
        ("deit_tiny_patch16_224", 64),
        ("mixer_s32_224", (64, 32)),
        ("swin_tiny_patch4_window7_224", 64),
    ],
)
def test_networks_that_are_told_their_size(
    model: str, size: int | tuple[int, int] | None, small_pack: Pack, tmp_path: Path
) -> None:
    """Networks that can be made for a size are; their folder loads with timm alone."""
    settings = dataclasses.replace(SETTINGS, model=model, batch_size=2, input_size=size)
    try_step(settings, small_pack)
    classifier = build_model(
        settings,
        classes=10,
        stored_size=32,
        train_statistics=(small_pack.mean, small_pack.std),
        seed=0,
    ).classifier
    classes = small_pack.classes
    folder = tmp_path / "model"
    facts = {"stored_size": 32, "background": "white", "card": "x"}
    save_model(folder, classifier, settings=settings, classes=classes, **facts)  # type: ignore[arg-type]
    plain = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        pixels = classifier.preprocess(images)
        assert torch.equal(plain(pixels), load_model(folder).classifier(images).logits)


@pytest.mark.parametrize("which", ["teacher", "student"])
def test_nothing_is_trained_before(which: str, sample_folder: Path, tmp_path: Path) -> None:
    """A job is refused as soon as the images are packed, whichever of its networks is wrong."""
    small = NetworkConfig(model="test_resnet", weights="none", epochs=1, batch_size=8)
    settings = DistillConfig(
        data=DataConfig(image_size=32), teacher=small, student=small, seeds=1, device="cpu"
    )
    own = {which: lambda classes: Own(classes, WRONG["tuple"])}
    with pytest.raises(UsageError, match="does not return logits"):
        run(sample_folder, settings, out=tmp_path / "job", networks=own, quiet=True)
    assert not (tmp_path / "job" / "teacher").exists()
