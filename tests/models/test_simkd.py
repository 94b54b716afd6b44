"""A student with its teacher's classifier: what it computes, costs and trains, and how it is saved."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tutelage.config.losses.feature import SimKDConfig
from tutelage.config.losses.response import KDConfig, LabelConfig
from tutelage.config.model import ModelConfig
from tutelage.config.objective import LossConfig, ObjectiveConfig
from tutelage.errors import UsageError
from tutelage.evaluation.cost import cost
from tutelage.methods.factory import TrainingFacts, build_distillation
from tutelage.models.build import build_model
from tutelage.models.feature_hooks import FeatureExtractor
from tutelage.models.model_folder import load_model, save_model
from tutelage.models.preprocess import Classifier
from tutelage.models.simkd import SimKDNetwork, reuse_classifier
from tutelage.models.weights import fingerprint_of
from tutelage.teachers.live import LiveTeacher
from tutelage.types import START, Batch

CLASSES = ("a", "b", "c", "d", "e")
STATISTICS = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)


def made(
    model: str, *, seed: int = 1, size: int = 32, network: nn.Module | None = None
) -> Classifier:
    """A network whose norms have seen something."""
    classifier = build_model(
        ModelConfig(model=model, weights="none"),
        classes=len(CLASSES),
        stored_size=size,
        train_statistics=STATISTICS,
        seed=seed,
        network=network,
    ).classifier
    with torch.no_grad():
        classifier.train()(batch_images(size))
    return classifier.eval()


def batch_images(size: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 3, size, size), generator=generator, dtype=torch.uint8)


def reusing(student: str = "cifar_resnet8", teacher: str = "test_resnet") -> tuple[Classifier, ...]:
    """A student that has just been given its teacher's classifier, and the teacher."""
    mine, theirs = made(student), made(teacher, seed=2)
    torch.manual_seed(3)
    reuse_classifier(mine, theirs, stored_size=32, reduction=2)
    with torch.no_grad():
        mine.train()(batch_images())  # the projector's norms have seen something, too
    return mine.eval(), theirs


@pytest.mark.parametrize(
    "student", ["cifar_resnet8", "cifar_mobilenetv2_half", "test_efficientnet"]
)
@pytest.mark.parametrize("teacher", ["test_resnet", "regnety_002"])
def test_what_it_computes(student: str, teacher: str) -> None:
    """The teacher's classifier on the mean of the projected map."""
    mine, theirs = reusing(student, teacher)
    network = mine.network
    assert isinstance(network, SimKDNetwork)
    last = theirs.network.get_submodule("fc" if teacher == "test_resnet" else "head.fc")
    assert isinstance(last, nn.Linear)
    assert torch.equal(network.head.weight, last.weight)
    assert torch.equal(network.head.bias, last.bias)
    assert not any(p.requires_grad for p in network.head.parameters())
    assert all(
        p.requires_grad for part in (network.backbone, network.projector) for p in part.parameters()
    )
    with torch.no_grad():
        output = FeatureExtractor(mine, ["backbone", "projector.input", "projector"])(
            batch_images()
        )
        maps = output.features["projector"]
        assert maps.shape[1] == last.in_features
        assert maps.shape[2:] == output.features["projector.input"].shape[2:]
        torch.testing.assert_close(last(maps.mean((2, 3))), output.logits)


def test_projector() -> None:
    """1 x 1, 3 x 3, 1 x 1 with norms and ReLUs; inside half as wide as the teacher's map; places stay."""
    network = reusing()[0].network
    assert isinstance(network, SimKDNetwork)
    convolutions = [m for m in network.projector if isinstance(m, nn.Conv2d)]
    assert [tuple(m.weight.shape) for m in convolutions] == [
        (48, 64, 1, 1),
        (48, 48, 3, 3),
        (96, 48, 1, 1),
    ]
    kinds = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 3
    assert [type(m) for m in network.projector] == kinds


def test_cost() -> None:
    """Projector and classifier stay in the network that is deployed, so they count in what it costs."""
    plain, (mine, _) = cost(made("cifar_resnet8").network, 32), reusing()
    projector = 48 * 64 + 48 * 48 * 9 + 96 * 48
    norms = 2 * (48 + 48 + 96)
    head = 5 * 96 + 5
    own_head = 5 * 64 + 5
    found = cost(mine.network, 32)
    assert found.parameters == plain.parameters - own_head + projector + norms + head
    assert found.flops == plain.flops + 2 * (projector * 8 * 8 + 5 * 96 - 5 * 64)


def test_the_head_stays(small: Batch) -> None:
    """Training moves the backbone and the projector; the classifier keeps every byte."""
    mine, theirs = made("cifar_resnet8"), made("test_resnet", seed=2)
    terms = LossConfig(label=LabelConfig(weight=1.0), kd=KDConfig(weight=1.0), simkd=SimKDConfig())
    facts = TrainingFacts(epochs=1, classes=len(CLASSES), ids=torch.arange(3), size=32)
    method = build_distillation(mine, theirs, ObjectiveConfig(losses=terms), facts)
    network = mine.network
    assert isinstance(network, SimKDNetwork)
    parts = network.backbone, network.projector, network.head
    before = [fingerprint_of(part) for part in parts]
    live = LiveTeacher(theirs, method.needs.teacher_points)
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    losses = []
    for _ in range(5):
        outcome = method(small, live(small), START)
        losses.append(outcome.terms["simkd"].item())
        optimizer.zero_grad()
        torch.autograd.backward(method.total(outcome))
        optimizer.step()
    assert losses[-1] < losses[0]
    after = [fingerprint_of(part) for part in parts]
    assert [a == b for a, b in zip(after, before, strict=True)] == [False, False, True]
    assert all(p.grad is None for p in network.head.parameters())


@pytest.fixture
def small() -> Batch:
    return Batch(batch_images(), torch.tensor([0, 1, 4]), torch.arange(3), 0)


def test_folder(tmp_path: Path) -> None:
    """Saved and read back to the bit; the folder says that timm cannot do so; the backbone's config stays."""
    mine, _ = reusing()
    settings = ModelConfig(model="cifar_resnet8", weights="none")
    save_model(
        tmp_path,
        mine,
        settings=settings,
        classes=CLASSES,
        stored_size=32,
        background="black",
        card="# card\n",
    )
    saved = load_model(tmp_path)
    with torch.no_grad():
        assert torch.equal(saved.classifier(batch_images()).logits, mine(batch_images()).logits)
    network = saved.classifier.network
    assert isinstance(network, SimKDNetwork)
    assert network.pretrained_cfg["architecture"] == "cifar_resnet8"
    assert not any(p.requires_grad for p in network.head.parameters())
    facts = json.loads((tmp_path / "tutelage.json").read_text(encoding="utf-8"))
    assert facts["loads_with"].startswith('tutelage.load("FOLDER")')
    assert "classifier" in facts["loads_with"]
    assert facts["reuses"] == {"channels": 96, "reduction": 2}
    assert not (tmp_path / "config.json").exists()
    # As a teacher it may hand its classifier on.
    student = made("cifar_resnet8", seed=5)
    reuse_classifier(student, saved.classifier, stored_size=32, reduction=2)
    assert torch.equal(student.network.get_parameter("head.weight"), network.head.weight)


def test_the_mode_of_both_stays() -> None:
    """Looking at the networks leaves statistics and modes alone."""
    mine, theirs = made("cifar_resnet8").train(), made("test_resnet", seed=2)
    before = fingerprint_of(theirs), fingerprint_of(mine.network.get_submodule("layer1"))
    reuse_classifier(mine, theirs, stored_size=32, reduction=3)
    backbone = mine.network.get_submodule("backbone")
    assert (fingerprint_of(theirs), fingerprint_of(backbone.get_submodule("layer1"))) == before
    assert backbone.training
    assert not theirs.training
    assert mine.network.get_parameter("projector.0.weight").shape == (32, 64, 1, 1)


class Own(nn.Module):
    """A module of the user's own, which does not show its last map."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 8, 3)
        )
        self.fc = nn.Linear(8, len(CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.body(images).mean((2, 3)))


class Summed(Own):
    """A classifier that is given sums, not means."""

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.body(images).sum((2, 3)))


@pytest.mark.parametrize(
    ("teacher", "size"),
    [("test_vit", 160), ("mobilenetv3_small_100", 32), ("summed", 32)],
)
def test_teachers_that_do_not_fit(teacher: str, size: int) -> None:
    """Tokens, or something between the map's mean and the classifier: refused, the student as it was."""
    own = Summed() if teacher == "summed" else None
    theirs = made(teacher, size=size, network=own)
    mine = made("cifar_resnet8", size=size)
    network = mine.network
    with pytest.raises(UsageError, match="simkd"):
        reuse_classifier(mine, theirs, stored_size=size, reduction=2)
    assert mine.network is network
    assert network.get_submodule("fc") is not None


@pytest.mark.parametrize("student", ["own", "test_vit"])
def test_students_that_do_not_fit(student: str) -> None:
    """Without a last map to project: refused by name."""
    size = 160 if student == "test_vit" else 32
    mine = made(student, size=size, network=Own() if student == "own" else None)
    network, before = mine.network, fingerprint_of(mine)
    with pytest.raises(UsageError, match="simkd needs a student"):
        reuse_classifier(mine, made("test_resnet", size=size), stored_size=size, reduction=2)
    assert mine.network is network
    assert fingerprint_of(mine) == before


def test_a_teacher_of_the_users_own() -> None:
    """Its classifier reads the means of its last map: that is all that is asked of a teacher."""
    torch.manual_seed(0)
    mine, theirs = made("cifar_resnet8"), made("own", network=Own())
    reuse_classifier(mine, theirs, stored_size=32, reduction=2)
    assert mine.network.get_parameter("projector.6.weight").shape == (8, 4, 1, 1)
