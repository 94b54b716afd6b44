"""Teachers that are asked live, opened from folders, and looked into."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

from tutelage.config.augmentation import AugmentationConfig
from tutelage.data.loading.loader import reading_loader
from tutelage.data.pack.pack import Pack
from tutelage.errors import InputError, UsageError
from tutelage.models.build import BuiltModel
from tutelage.models.feature_hooks import FeatureExtractor
from tutelage.models.fuse_batchnorm import fuse_batchnorm
from tutelage.teachers.cache.mode import choose_output_mode
from tutelage.teachers.live import LiveTeacher
from tutelage.teachers.load import open_teacher

CPU = torch.device("cpu")


@pytest.fixture
def live(make_network: Callable[..., BuiltModel]) -> LiveTeacher:
    return LiveTeacher(make_network().classifier)


def test_live_is_frozen(live: LiveTeacher, small_pack: Pack) -> None:
    """A live teacher is in eval mode, wants no gradient, and its word carries none."""
    batch = next(reading_loader(small_pack, np.arange(4), batch_size=4, device=CPU).epoch())
    before = {name: tensor.clone() for name, tensor in live.classifier.state_dict().items()}
    signal = live(batch)
    assert signal.logits is not None
    assert not signal.logits.requires_grad
    assert not live.classifier.training
    assert not any(p.requires_grad for p in live.classifier.parameters())
    after = live.classifier.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_open_teacher(teacher_folder: Path, small_pack: Pack) -> None:
    """A teacher is opened from a model folder or the run folder around it, if its classes fit."""
    classes = small_pack.classes
    assert open_teacher(teacher_folder, classes).classes == classes
    assert open_teacher(teacher_folder, classes).model == "test_resnet"
    assert open_teacher(teacher_folder.parent, classes).classes == classes
    backwards = open_teacher(teacher_folder, tuple(reversed(classes)))
    assert backwards.classes == tuple(reversed(classes))
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    plain = open_teacher(teacher_folder, classes).classifier(images).logits
    assert torch.allclose(backwards.classifier(images).logits.flip(1), plain, atol=1e-5)
    cases = {
        "knows 10 classes, the data have 9": classes[:9],
        "knows other classes": ("zebra", *classes[1:]),
    }
    for message, others in cases.items():
        with pytest.raises(InputError, match=message):
            open_teacher(teacher_folder, others)


@pytest.mark.parametrize("model", ["resnet34", "mobilenetv3_small_100", "test_efficientnet"])
def test_folded(model: str) -> None:
    """Folding leaves no norm of its own to run and changes no answer; the network is left as it was."""
    network = timm.create_model(model, num_classes=7)
    with torch.no_grad():
        network(torch.randn(8, 3, 64, 64))  # statistics other than 0 and 1
    network.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    short = fuse_batchnorm(network, 64)
    assert short is not None
    batch_images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        expected = network(batch_images)
        torch.testing.assert_close(short(batch_images), expected, rtol=1e-4, atol=1e-4)
    after = network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_not_folded() -> None:
    """No norms, or a network that cannot be traced: it is run as it is."""

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.norm(images).mean((2, 3)) if images.sum() > 0 else images.mean((2, 3))

    assert fuse_batchnorm(Branches().eval(), 8) is None
    assert fuse_batchnorm(nn.Conv2d(3, 2, 1).eval(), 8) is None


def test_tapped(make_network: Callable[..., BuiltModel], small_pack: Pack) -> None:
    """A point's tensor is what the submodule returned; logits are those without taps."""
    classifier = make_network().classifier.eval()
    images = torch.from_numpy(np.array(small_pack.images[:3])).permute(0, 3, 1, 2)
    with torch.no_grad():
        plain = classifier(images).logits
        look = FeatureExtractor(classifier, ["layer4", "fc.input"])
        output = look(images)
    torch.testing.assert_close(output.logits, plain)
    assert output.features["layer4"].ndim == 4
    torch.testing.assert_close(output.features["layer4"].mean((2, 3)), output.features["fc.input"])
    assert not classifier(images).features
    with pytest.raises(UsageError, match="did you mean layer4"):
        FeatureExtractor(classifier, ["layr4"])


def test_modes() -> None:
    """Which mode, how many views, and why."""

    def mode(ask: str, views: AugmentationConfig, *, record_bytes: int = 40) -> tuple[str, int]:
        found = choose_output_mode(
            ask,  # type: ignore[arg-type]
            views,
            epochs=50,
            images=7800,
            record_bytes=record_bytes,
        )
        assert found.why
        return found.name, found.number

    assert mode("auto", AugmentationConfig()) == ("views", 1)
    assert mode("auto", AugmentationConfig(flip=True, num_views=8)) == ("views", 8)
    assert mode("auto", AugmentationConfig(flip=True)) == ("schedule", 50)
    assert mode("auto", AugmentationConfig(flip=True, num_views=99)) == ("views", 50)
    assert mode("auto", AugmentationConfig(flip=True), record_bytes=20_000) == ("live", 0)
    assert mode("cached", AugmentationConfig(flip=True), record_bytes=20_000) == ("schedule", 50)
    assert mode("live", AugmentationConfig()) == ("live", 0)
