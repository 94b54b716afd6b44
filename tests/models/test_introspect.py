"""Anatomies of many families: stages, points, head and norms, and a network left as it was."""

from functools import cache
from typing import Any, NamedTuple

import pytest
import timm
import torch
from torch import Tensor, nn

import tutelage.models.cifar.names  # noqa: F401  so that timm knows them
from tutelage.config.losses.feature import HintConfig
from tutelage.errors import UsageError
from tutelage.losses.layer_pairs import layer_pairs
from tutelage.losses.term import BuildContext
from tutelage.models.feature_hooks import FeatureExtractor
from tutelage.models.introspect import inspect_network
from tutelage.models.preprocess import Classifier, Preprocess
from tutelage.types import NetworkInfo

CLASSES = 7


class Case(NamedTuple):
    """A network and what is expected of it.

    stages: path and shape of each end, in which one number stands for both sides of a map. before: from a
    stage's number to the activation at its end. norms: from a stage's number to its BatchNorm.
    """

    size: int
    stages: dict[str, tuple[int, ...]]
    before: dict[int, str] = {}
    norms: dict[int, str] = {}
    width: int | None = None
    options: dict[str, Any] = {}


def layers(*channels: int, side: int) -> dict[str, tuple[int, ...]]:
    """Stages layer1, layer2, ..., each half as large as the one before it."""
    return {f"layer{i + 1}": (c, side // 2**i) for i, c in enumerate(channels)}


CASES = {
    "resnet18": Case(
        64,
        layers(64, 128, 256, 512, side=16),
        {i: f"layer{i + 1}.1.act2" for i in range(4)},
        {i: f"layer{i + 1}.1.bn2" for i in range(4)},
        512,
    ),
    "resnet34": Case(  # its last maps have one place
        32,
        layers(64, 128, 256, 512, side=8),
        {i: f"layer{i + 1}.{n}.act2" for i, n in enumerate((2, 3, 5, 2))},
        {i: f"layer{i + 1}.{n}.bn2" for i, n in enumerate((2, 3, 5, 2))},
        512,
    ),
    "resnet50": Case(
        32,
        layers(256, 512, 1024, 2048, side=8),
        {i: f"layer{i + 1}.{n}.act3" for i, n in enumerate((2, 3, 5, 2))},
        {i: f"layer{i + 1}.{n}.bn3" for i, n in enumerate((2, 3, 5, 2))},
        2048,
    ),
    "test_resnet": Case(
        64,
        layers(32, 48, 192, 96, side=16),
        {0: "layer1.0.act2", 1: "layer2.0.act2", 2: "layer3.0.act3", 3: "layer4.0.act2"},
        # The shortcut's norm comes later, and is not it.
        {0: "layer1.0.bn2", 1: "layer2.0.bn2", 2: "layer3.0.bn3", 3: "layer4.0.bn2"},
        96,
    ),
    "mobilenetv3_small_100": Case(
        64,
        {"blocks.0": (16, 16), "blocks.1": (24, 8), "blocks.3": (48, 4), "blocks.5": (576, 2)},
        {3: "blocks.5.0.bn1.act"},
        {3: "blocks.5.0.bn1"},  # a norm with its activation inside
        1024,
    ),
    "efficientnet_b0": Case(
        64,
        {
            "blocks.0": (16, 32),
            "blocks.1": (24, 16),
            "blocks.2": (40, 8),
            "blocks.4": (112, 4),
            "blocks.6": (320, 2),
        },
        width=1280,
    ),
    "vgg11_bn": Case(
        32,
        {
            "features.6": (128, 16),
            "features.13": (256, 8),
            "features.20": (512, 4),
            "features.27": (512, 2),
            "pre_logits": (4096, 1),
        },
        {
            0: "features.6",
            1: "features.13",
            2: "features.20",
            3: "features.27",
            4: "pre_logits.act2",
        },
        {0: "features.5", 1: "features.12", 2: "features.19", 3: "features.26"},
        4096,
        {"mlp_ratio": 0.01},  # which only makes it small
    ),
    "convnext_atto": Case(
        64, {f"stages.{i}": (40 * 2**i, 16 // 2**i) for i in range(4)}, width=320
    ),
    "swin_tiny_patch4_window7_224": Case(  # it keeps channels last
        64,
        {f"layers.{i}": (96 * 2**i, 16 // 2**i) for i in range(4)},
        width=768,
        options={"img_size": 64, "window_size": 2},
    ),
    "test_vit": Case(
        160, {f"blocks.{i}": (101, 64) for i in (0, 2, 3, 5)}, width=64, options={"img_size": 160}
    ),
    "deit_tiny_distilled_patch16_224": Case(  # two heads, of which the mean is taken
        64, {f"blocks.{i}": (18, 192) for i in (2, 5, 8, 11)}, options={"img_size": 64}
    ),
    "densenet121": Case(
        32,
        {
            "features.denseblock1": (256, 8),
            "features.denseblock2": (512, 4),
            "features.denseblock3": (1024, 2),
            "features": (1024, 1),
        },
        {3: "features.norm5.act"},
        {3: "features.norm5"},
        1024,
    ),
    "regnety_002": Case(
        64,
        {"stem": (32, 32), "s1": (24, 16), "s2": (56, 8), "s3": (152, 4), "s4": (368, 2)},
        {0: "stem.bn.act", 1: "s1.b1.act3", 2: "s2.b1.act3", 3: "s3.b4.act3", 4: "s4.b7.act3"},
        {0: "stem.bn"},
        368,
    ),
    "cifar_resnet8": Case(
        32,
        layers(16, 32, 64, side=32),
        {i: f"layer{i + 1}.0.act2" for i in range(3)},
        {i: f"layer{i + 1}.0.bn2" for i in range(3)},
        64,
    ),
    "cifar_wrn_16_1": Case(32, layers(16, 32, 64, side=32), width=64),
    "cifar_vgg8": Case(  # its last two stages are of one size
        32,
        {**layers(64, 128, 256, 512, side=32), "layer5": (512, 4)},
        {0: "layer1.2", 1: "layer2.3", 2: "layer3.3", 3: "layer4.3", 4: "layer5.2"},
        {0: "layer1.1", 1: "layer2.2", 2: "layer3.2", 3: "layer4.2", 4: "layer5.1"},
        512,
    ),
    "cifar_mobilenetv2_half": Case(32, layers(12, 16, 48, 160, side=16), width=1280),
    "cifar_shufflenetv1": Case(
        32,
        layers(240, 480, 960, side=16),
        {0: "layer1.3.act", 1: "layer2.7.act", 2: "layer3.3.act"},
        width=960,
    ),
    "cifar_shufflenetv2": Case(32, layers(116, 232, 464, side=16), width=1024),
}


def classifier_of(network: nn.Module, size: int) -> Classifier:
    """Norms get numbers of their own, so that one is not taken for another."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            for tensor in (module.bias, module.running_mean):
                tensor.data = torch.rand(tensor.shape, generator=generator) - 0.5
            for tensor in (module.weight, module.running_var):
                tensor.data = torch.rand(tensor.shape, generator=generator) + 0.5
    return Classifier(network, Preprocess(size=size, mean=(0.4,) * 3, std=(0.3,) * 3)).eval()


def batch_images(size: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, size, size), generator=generator, dtype=torch.uint8)


class Studied(NamedTuple):
    """logits and state: from before it was studied; in_place: activations that overwrote, then."""

    classifier: Classifier
    anatomy: NetworkInfo
    logits: Tensor
    state: dict[str, Tensor]
    in_place: int


def studied(classifier: Classifier, size: int) -> Studied:
    with torch.no_grad():
        logits = classifier(batch_images(size)).logits.clone()
    state = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    in_place = sum(getattr(m, "inplace", False) is True for m in classifier.modules())
    return Studied(classifier, inspect_network(classifier, size), logits, state, in_place)


@cache
def known(name: str) -> Studied:
    """A network of the table, studied once for all tests."""
    torch.manual_seed(0)
    case = CASES[name]
    network = timm.create_model(name, num_classes=CLASSES, **case.options)
    return studied(classifier_of(network, case.size), case.size)


def seen_at(it: Studied, points: list[str], size: int) -> tuple[Tensor, dict[str, Tensor]]:
    with torch.no_grad():
        output = FeatureExtractor(it.classifier, points)(batch_images(size))
    return output.logits, dict(output.features)


@pytest.mark.parametrize("name", CASES)
def test_stages(name: str) -> None:
    """Each stage ends where it should, and before its last activation is where it should be, too."""
    case, anatomy = CASES[name], known(name).anatomy
    tokens = "vit" in name or "deit" in name
    expected = {p: s if tokens else (s[0], s[1], s[1]) for p, s in case.stages.items()}
    assert {stage.end.path: stage.end.shape for stage in anatomy.stages} == expected
    assert anatomy.family == type(known(name).classifier.network).__name__
    before = {i: f"{path}.input" for i, path in case.before.items()}
    for i, stage in enumerate(anatomy.stages):
        assert stage.before.path == before.get(i, stage.end.path)
        assert stage.before.shape == stage.end.shape


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("cifar")])
def test_stages_are_those_that_the_network_names(name: str) -> None:
    """Channels and sizes of timm's `feature_info`."""
    it = known(name)
    told = [
        (info["module"], info["num_chs"], 32 // info["reduction"])
        for info in it.classifier.network.feature_info  # type: ignore[union-attr]
    ]
    ends = [stage.end for stage in it.anatomy.stages]
    assert [(end.path, end.shape[0], end.shape[2]) for end in ends] == told


@pytest.mark.parametrize("name", CASES)
def test_points(name: str) -> None:
    """Shapes are those that come when the network is called, and an activation is all that is between."""
    case, it = CASES[name], known(name)
    stages, vector = it.anatomy.stages, it.anatomy.vector
    points = [p for stage in stages for p in (stage.entry, stage.before, stage.end)]
    _, features = seen_at(it, [p.path for p in points], case.size)
    for point in points:
        assert (
            features[point.path].shape == (2, *point.shape) == (2, *it.anatomy.shapes[point.path])
        )
    for i, stage in enumerate(stages):
        if i in case.before:
            activation = it.classifier.network.get_submodule(case.before[i])
            found = activation(features[stage.before.path])
            assert torch.equal(found, features[stage.end.path])
            assert not torch.equal(found, features[stage.before.path])
    assert (vector is None) == (it.anatomy.head is None) == (case.width is None)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.width])
def test_head(name: str) -> None:
    """The vector, through the head, is the logits. The head is a copy that no training reaches."""
    case, it = CASES[name], known(name)
    vector, head = it.anatomy.vector, it.anatomy.head
    assert vector is not None
    assert head is not None
    assert vector.shape == (case.width,)
    logits, features = seen_at(it, [vector.path], case.size)
    torch.testing.assert_close(features[vector.path] @ head[0].T + head[1], logits)
    linear = it.classifier.network.get_submodule(vector.path.removesuffix(".input"))
    assert isinstance(linear, nn.Linear)
    assert torch.equal(head[0], linear.weight)
    assert head[0].data_ptr() != linear.weight.data_ptr()
    assert not head[0].requires_grad


@pytest.mark.parametrize("name", CASES)
def test_norms(name: str) -> None:
    """Weight and bias of the last BatchNorm before the last activation, or none."""
    case, it = CASES[name], known(name)
    for i, stage in enumerate(it.anatomy.stages):
        if i not in case.norms:
            assert stage.norm is None, stage
            continue
        norm = it.classifier.network.get_submodule(case.norms[i])
        assert isinstance(norm, nn.BatchNorm2d)
        assert stage.norm is not None
        assert torch.equal(stage.norm[0], norm.weight)
        assert torch.equal(stage.norm[1], norm.bias)
        assert stage.norm[0].shape == stage.before.shape[:1]


@pytest.mark.parametrize("name", CASES)
def test_the_network_is_left_as_it_was(name: str) -> None:
    """Weights, statistics and outputs to the bit; only that nothing is overwritten any more."""
    case, it = CASES[name], known(name)
    for key, tensor in it.classifier.state_dict().items():
        assert torch.equal(tensor, it.state[key]), key
    with torch.no_grad():
        assert torch.equal(it.classifier(batch_images(case.size)).logits, it.logits)
    assert not any(getattr(m, "inplace", False) is True for m in it.classifier.modules())


def test_some_networks_overwrote() -> None:
    """The test above means something: these networks had activations in place."""
    assert known("resnet18").in_place
    assert known("vgg11_bn").in_place
    assert known("mobilenetv3_small_100").in_place


@pytest.mark.parametrize("training", [True, False])
def test_mode_stays(training: bool) -> None:
    """A network in training is so afterwards, its running statistics did not move, and no hook is left."""
    network = timm.create_model("cifar_resnet8", num_classes=CLASSES)
    classifier = classifier_of(network, 32).train(training)
    before = {key: tensor.clone() for key, tensor in classifier.state_dict().items()}
    anatomy = inspect_network(classifier, 32)
    assert not any(module._forward_hooks for module in classifier.modules())
    assert all(module.training == training for module in classifier.modules())
    assert all(torch.equal(tensor, before[key]) for key, tensor in classifier.state_dict().items())
    assert anatomy.head is not None


def test_every_shape() -> None:
    """Every point of a network, what a module is given and what it returns, has the shape that is noted."""
    it = known("test_resnet")
    _, features = seen_at(it, list(it.anatomy.shapes), 64)
    assert len(features) > 100
    found = {path: tuple(tensor.shape[1:]) for path, tensor in features.items()}
    assert found == dict(it.anatomy.shapes)


def test_channels_last_are_seen_first() -> None:
    """Of a network that keeps channels last, the map is the one that its own layers see, turned."""
    it = known("swin_tiny_patch4_window7_224")
    kept: list[Tensor] = []
    stage = it.classifier.network.get_submodule("layers.1")
    hook = stage.register_forward_hook(lambda _module, _given, gave: kept.append(gave))
    _, features = seen_at(it, ["layers.1"], 64)
    hook.remove()
    assert kept[0].shape == (2, 8, 8, 192)
    assert torch.equal(features["layers.1"], kept[0].permute(0, 3, 1, 2))


def test_entries() -> None:
    """A stage is given what the one before it returned, where the network holds it as one module."""
    stages = known("resnet18").anatomy.stages
    assert [stage.entry.path for stage in stages] == [f"layer{i}.input" for i in range(1, 5)]
    assert [stage.entry.shape[0] for stage in stages] == [64, 64, 128, 256]
    # The last stage of a DenseNet ends with all of `features`, which is given the image.
    last = known("densenet121").anatomy.stages[-1]
    assert last.entry == known("densenet121").anatomy.stages[-2].end
    # A single layer is no stage by itself: its stage begins where the one before it ended.
    stages = known("mobilenetv3_small_100").anatomy.stages
    assert stages[3].entry == stages[2].end


@pytest.mark.parametrize(
    ("name", "point"), [("resnet18", "layer2.0.bn2"), ("resnet50", "layer1.0.bn3")]
)
@pytest.mark.parametrize("role", ["student", "teacher"])
def test_overwritten_points_are_refused(name: str, point: str, role: str) -> None:
    """`x += shortcut` writes over what the norm returned: nobody can compare that afterwards."""
    it = known(name)
    assert point in it.anatomy.overwritten
    plain = "layer1.0.conv1"
    assert plain not in it.anatomy.overwritten
    named = {"student_points": (plain,), "teacher_points": (plain,), f"{role}_points": (point,)}
    ground = BuildContext(it.anatomy, it.anatomy, classes=CLASSES, images=9)
    with pytest.raises(UsageError, match=rf"losses\.hint: the output of the {role}'s {point}"):
        layer_pairs("middle", HintConfig(**named), ground, term="hint")  # type: ignore[arg-type]


def test_what_is_called_overwritten_is() -> None:
    """What a hook is given differs from what is there later exactly at the points that are named."""
    it = known("test_resnet")
    then: dict[str, Tensor] = {}
    later: dict[str, Tensor] = {}

    def note(path: str) -> Any:
        def hook(_module: nn.Module, _given: Any, gave: Any) -> None:
            then[path], later[path] = gave.clone(), gave

        return hook

    modules = [(p, m) for p, m in it.classifier.network.named_modules() if p]
    hooks = [module.register_forward_hook(note(path)) for path, module in modules]
    with torch.no_grad():
        it.classifier(batch_images(64))
    for hook in hooks:
        hook.remove()
    changed = {path for path, tensor in then.items() if not torch.equal(tensor, later[path])}
    assert changed == it.anatomy.overwritten
    assert changed


# ---------------------------------------------------------------------- networks of the user's own


def block(have: int, want: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(have, want, 3, stride, 1, bias=False)
    return [convolution, nn.BatchNorm2d(want), nn.ReLU(inplace=True)]


def test_a_plain_sequence() -> None:
    """Stages end before the size changes; the single layer of the stem is none."""
    torch.manual_seed(0)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(24, 5)]
    parts = [*block(3, 4, 1), *block(4, 8, 2), *block(8, 8, 1), *block(8, 24, 2), *head]
    it = studied(classifier_of(nn.Sequential(*parts), 16), 16)
    stages = it.anatomy.stages
    assert [(s.end.path, s.end.shape) for s in stages] == [("8", (8, 8, 8)), ("11", (24, 4, 4))]
    assert [s.entry.path for s in stages] == ["3", "8"]
    assert [s.before.path for s in stages] == ["8.input", "11.input"]
    for stage, number in zip(stages, ("7", "10"), strict=True):
        norm = it.classifier.network.get_submodule(number)
        assert stage.norm is not None
        assert torch.equal(stage.norm[0], norm.weight)  # type: ignore[arg-type]
    assert it.in_place == 4  # each activation, and not the dropout
    with torch.no_grad():
        assert torch.equal(it.classifier(batch_images(16)).logits, it.logits)
    assert it.anatomy.vector is not None
    assert it.anatomy.vector.path == "15.input"
    _, features = seen_at(it, ["8", "8.input"], 16)
    assert torch.equal(features["8.input"].relu(), features["8"])


def test_no_linear_layer_at_the_end() -> None:
    """A network that ends in a convolution has stages, and neither vector nor head."""
    parts = [*block(3, 4, 1), *block(4, 4, 1), nn.Conv2d(4, 5, 1), nn.AdaptiveAvgPool2d(1)]
    it = studied(classifier_of(nn.Sequential(*parts, nn.Flatten()), 8), 8)
    assert it.anatomy.vector is None
    assert it.anatomy.head is None
    assert [s.end.path for s in it.anatomy.stages] == ["6"]
    ground = BuildContext(it.anatomy, it.anatomy, classes=5, images=9)
    with pytest.raises(UsageError, match=r"losses\.pkt(.|\n)*Sequential ends in no linear layer"):
        layer_pairs("vector", HintConfig(), ground, term="pkt")


def test_a_linear_layer_without_a_bias() -> None:
    """Its bias is 0."""
    parts = [*block(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5, bias=False)]
    it = studied(classifier_of(nn.Sequential(*parts), 8), 8)
    assert it.anatomy.head is not None
    assert torch.equal(it.anatomy.head[1], torch.zeros(5))


def test_what_follows_the_last_linear_layer() -> None:
    """Logits that are scaled afterwards are not what a head alone makes of its vector."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(*block(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.last = nn.Linear(4, 5)

        def forward(self, images: Tensor) -> Tensor:
            return 2 * self.last(self.body(images))

    it = studied(classifier_of(Scaled(), 8), 8)
    assert it.anatomy.vector is None
    assert it.anatomy.head is None
