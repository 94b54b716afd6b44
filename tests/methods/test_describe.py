"""What is told of a method: points and shapes as they are, what it trains and keeps, when to be wary."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tutelage.commands.sweep import method_of
from tutelage.config.losses.feature import HintConfig
from tutelage.config.objective import LossConfig, ObjectiveConfig
from tutelage.config.recipes import objective_names
from tutelage.data.loading.loader import reading_loader
from tutelage.data.pack.pack import Pack
from tutelage.methods.describe import architecture_warnings, describe_terms
from tutelage.methods.factory import TrainingFacts, build_distillation
from tutelage.methods.offline import OfflineDistillation, supervised_training
from tutelage.models.build import BuiltModel
from tutelage.models.preprocess import Classifier
from tutelage.teachers.live import LiveTeacher
from tutelage.types import START, Batch

Couple = tuple[OfflineDistillation, Classifier, Classifier]
Make = Callable[..., Couple]


@pytest.fixture(scope="module")
def make(make_network: Callable[..., BuiltModel], small_pack: Pack) -> Make:
    """A method of some objective between two networks, made as a run makes it."""

    def method(
        objective: ObjectiveConfig | str,
        student: str = "cifar_resnet8",
        teacher: str = "cifar_resnet14",
    ) -> Couple:
        mine, theirs = (make_network(name).classifier for name in (student, teacher))
        ids = torch.from_numpy(small_pack.rows("train"))
        facts = TrainingFacts(2, len(small_pack.classes), ids, small_pack.image_size)
        chosen = method_of(objective) if isinstance(objective, str) else objective
        return build_distillation(mine, theirs, chosen, facts), mine, theirs

    return method


@pytest.fixture(scope="module")
def batch(small_pack: Pack) -> Batch:
    rows = small_pack.rows("train")[::25]
    loader = reading_loader(small_pack, rows, batch_size=8, device=torch.device("cpu"))
    return next(loader.epoch())


def by_name(method: OfflineDistillation) -> dict[str, dict[str, Any]]:
    return {facts["name"]: facts for facts in describe_terms(method)}


def shapes(classifier: Classifier, batch: Batch) -> dict[str, list[int]]:
    """What each module of a network is given and returns, without the batch, by hooks of our own."""
    found: dict[str, list[int]] = {}

    def note(path: str) -> Callable[..., None]:
        def hook(_module: nn.Module, given: Any, gave: Any) -> None:
            for name, tensor in ((path, gave), (f"{path}.input", given[0] if given else None)):
                if isinstance(tensor, torch.Tensor):
                    found[name] = list(tensor.shape[1:])

        return hook

    hooks = [m.register_forward_hook(note(path)) for path, m in classifier.network.named_modules()]
    with torch.no_grad():
        classifier.eval()(batch.images)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("name", objective_names())
def test_every_objective_is_described(name: str, make: Make, batch: Batch) -> None:
    """For each published objective: its terms and weights; points are where a real image has that shape."""
    method, student, teacher = make(name)
    found = by_name(method)
    assert {term: facts["weight"] for term, facts in found.items()} == method.weights
    seen = {"student": shapes(student, batch), "teacher": shapes(teacher, batch)}
    for facts in found.values():
        for point in facts["points"]:
            for role in ("student", "teacher"):
                assert seen[role][point[role]] == point[f"{role}_shape"]
    own = {p for p in method.parameters() if p.requires_grad} - set(student.parameters())
    assert sum(facts["parameters"] for facts in found.values()) == sum(p.numel() for p in own)
    points = {p["student"] for facts in found.values() for p in facts["points"]}
    assert points == set(method.needs.student_points)


def test_adapters(make: Make) -> None:
    """A hint between maps has a 1 x 1 convolution and its norm, one between vectors a linear layer."""
    method, *_ = make("hint", teacher="test_vit")
    facts = by_name(method)["hint"]
    assert facts["adapters"] == ["1 x 1 convolution 32 -> 64"]
    assert facts["parameters"] == 32 * 64 + 2 * 64
    vectors = HintConfig(weight=1.0, student_points=("fc.input",), teacher_points=("fc.input",))
    method, *_ = make(
        ObjectiveConfig(alpha=0.5, losses=LossConfig(hint=vectors)), teacher="test_resnet"
    )
    facts = by_name(method)["hint"]
    wide = facts["points"][0]["teacher_shape"][0]
    assert facts["adapters"] == [f"linear 64 -> {wide}"]
    assert facts["parameters"] == 64 * wide + wide
    assert by_name(method)["kd"]["adapters"] == []


def test_what_is_remembered(make: Make, small_pack: Pack) -> None:
    """A memory of all images is told with its numbers; a term without one remembers nothing."""
    method, *_ = make("crd-kd")
    found = by_name(method)
    images = len(small_pack.rows("train"))
    assert found["crd"]["remembers"] == 2 * 128 * images
    assert {name: facts["remembers"] for name, facts in found.items() if name != "crd"} == {
        "label": 0, "kd": 0,
    }  # fmt: skip


def test_who_compares_images(make: Make) -> None:
    """Terms that compare images with each other are told from means over images."""
    method, *_ = make("rkd")
    assert by_name(method)["rkd_distance"]["across_batch"]
    method, *_ = make("hint")
    assert not by_name(method)["hint"]["across_batch"]


def test_alone(make_network: Callable[..., BuiltModel]) -> None:
    """A network that nobody teaches has its label alone."""
    method = supervised_training(make_network().classifier, label_smoothing=0.1)
    (facts,) = describe_terms(method)
    assert (facts["name"], facts["weight"], facts["points"], facts["parameters"]) == (
        "label",
        1.0,
        [],
        0,
    )


@pytest.mark.parametrize(
    ("objective", "student", "teacher"),
    [
        ("hint", "cifar_resnet8", "cifar_resnet14"),
        ("at", "cifar_resnet8", "cifar_resnet14"),
        ("kd", "cifar_resnet8", "test_vit"),
        ("dist", "cifar_resnet8", "test_vit"),
    ],
)
def test_nothing_to_be_wary_of(make: Make, objective: str, student: str, teacher: str) -> None:
    """Like networks may look inside each other, and any two may compare what they answer."""
    assert architecture_warnings(*make(objective, student, teacher)) == []


def test_unlike_families(make: Make) -> None:
    """A ResNet under a transformer: the families, the terms that look inside, and the points that differ."""
    first, *rest = architecture_warnings(*make("hint", teacher="test_vit"))
    assert first.startswith("hint compares what happens inside a ResNet and a VisionTransformer")
    assert rest == ["hint: layer2 and blocks.2 differ in kind: [32, 16, 16] and [5, 64]"]
    first, *rest = architecture_warnings(*make("hint-at-kd", teacher="test_vit"))
    assert first.startswith("hint, at compare what happens inside")
    assert "kd" not in first.partition(" compare ")[0]
    assert len(rest) == 1 + 3


def test_unlike_sizes(make: Make) -> None:
    """Maps of one family that differ in height and width are named with both sizes."""
    points = HintConfig(
        weight=1.0, student_points=("layer1", "layer2"), teacher_points=("layer2", "layer2")
    )
    found = architecture_warnings(*make(ObjectiveConfig(alpha=0.5, losses=LossConfig(hint=points))))
    assert found == ["hint: layer1 and layer2 differ in size: 32 x 32 and 16 x 16"]


def test_telling_changes_nothing(make: Make, batch: Batch) -> None:
    """A method that was described has the loss it had before."""
    totals = []
    for tell in (False, True):
        torch.manual_seed(0)
        method, student, teacher = make("hint-at-kd")
        signal = LiveTeacher(teacher, list(method.needs.teacher_points))(batch)
        if tell:
            describe_terms(method)
            architecture_warnings(method, student, teacher)
        totals.append(method.total(method(batch, signal, START)).item())
    assert totals[0] == totals[1]
