"""Features from inside a network: recorded in a call, by name, and otherwise nothing."""

import copy

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import tutelage.models.cifar.names  # noqa: F401  so that timm knows them
from tutelage.errors import UsageError
from tutelage.models.feature_hooks import FeatureExtractor, channels_first
from tutelage.models.preprocess import Classifier, Preprocess

POINTS = ["layer1", "layer2.0.act2.input", "global_pool", "fc.input"]


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    network = timm.create_model("cifar_resnet8", num_classes=7)
    return Classifier(network, Preprocess(size=32, mean=(0.4,) * 3, std=(0.3,) * 3)).eval()


def images(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (2, 3, 32, 32), generator=generator, dtype=torch.uint8)


def test_what_is_recorded(classifier: Classifier) -> None:
    """What a submodule returns, what another is given: the very tensors, beside unchanged logits."""
    plain = classifier(images()).logits
    output = FeatureExtractor(classifier, POINTS)(images())
    assert list(output.features) == POINTS
    assert torch.equal(output.logits, plain)
    pooled = output.features["global_pool"]
    assert output.features["fc.input"] is pooled
    network = classifier.network
    fc, layer2 = network.get_submodule("fc"), network.get_submodule("layer2.0")
    torch.testing.assert_close(fc(pooled), output.logits)
    before = output.features["layer2.0.act2.input"]
    assert before.min() < 0
    torch.testing.assert_close(before.relu(), layer2(output.features["layer1"]))


def test_silent_outside_a_call(classifier: Classifier) -> None:
    """The classifier called by itself records nothing, and an output does not change afterwards."""
    tapped = FeatureExtractor(classifier, POINTS)
    assert classifier(images()).features == {}
    first = tapped(images())
    kept = {point: tensor.clone() for point, tensor in first.features.items()}
    classifier(images(1))
    second = tapped(images(1))
    classifier(images(2))
    for point in POINTS:
        assert torch.equal(first.features[point], kept[point])
        assert not torch.equal(first.features[point], second.features[point])
    assert tapped._recorded is None  # nothing is held on to


def test_silent_after_an_error(classifier: Classifier) -> None:
    """A call that fails leaves no recording open."""
    tapped = FeatureExtractor(classifier, POINTS)
    with pytest.raises(RuntimeError):
        tapped(torch.zeros(2, 5, 32, 32, dtype=torch.uint8))
    assert tapped._recorded is None


def test_copies_are_silent(classifier: Classifier) -> None:
    """A moving average is a copy of the network, hooks and all; it adds nothing to the student's features."""
    tapped = FeatureExtractor(classifier, POINTS)
    copies = copy.deepcopy(classifier), AveragedModel(classifier).module
    for other in copies:
        other.load_state_dict({k: t * 2 for k, t in classifier.state_dict().items()})
        assert other(images(1)).features == {}
        assert tapped._recorded is None
    features = tapped(images()).features
    expected = FeatureExtractor(classifier, POINTS)(images()).features
    assert all(torch.equal(features[point], expected[point]) for point in POINTS)
    # Asked for, a copy's features are its own.
    (other, _) = copies
    own = FeatureExtractor(other, POINTS)(images()).features
    assert not torch.equal(own["layer1"], features["layer1"])


def test_two_look_at_one_network(classifier: Classifier) -> None:
    """Each sees its own points only, whichever is called."""
    one, two = (
        FeatureExtractor(classifier, ["layer1"]),
        FeatureExtractor(classifier, ["layer2", "layer1"]),
    )
    assert set(one(images()).features) == {"layer1"}
    assert set(two(images()).features) == {"layer1", "layer2"}


def test_a_point_named_twice(classifier: Classifier) -> None:
    """Two terms may look at one point; it is recorded once."""
    tapped = FeatureExtractor(classifier, ["layer1", "layer1"])
    assert list(tapped(images()).features) == ["layer1"]
    assert len(classifier.network.get_submodule("layer1")._forward_hooks) == 1


def test_adds_no_names(classifier: Classifier) -> None:
    """What is saved of a network does not tell that it was looked into."""
    before = list(classifier.state_dict())
    tapped = FeatureExtractor(classifier, POINTS)
    assert list(classifier.state_dict()) == before
    assert not isinstance(tapped, nn.Module)


@pytest.mark.parametrize(
    ("point", "hint"),
    [
        ("layer4", "did you mean layer3"),
        ("layer2.0.act3.input", r"layer2\.0\.act"),
        ("layer1.inputs", "layer1"),
    ],
)
def test_unknown_points(classifier: Classifier, point: str, hint: str) -> None:
    """Refused, with the nearest name."""
    with pytest.raises(UsageError, match=rf"no point {point}(.|\n)*{hint}"):
        FeatureExtractor(classifier, ["layer1", point])


@pytest.mark.parametrize("point", POINTS)
def test_gradients(classifier: Classifier, point: str) -> None:
    """A loss of a point reaches the layers before it, and none behind it."""
    features = FeatureExtractor(classifier, [point])(images()).features
    torch.autograd.backward(features[point].square().mean())
    reached = {name for name, p in classifier.network.named_parameters() if p.grad is not None}
    first = {"layer1": ["conv1", "layer1"], "layer2.0.act2.input": ["conv1", "layer1", "layer2"]}
    expected = first.get(point, ["conv1", "bn1", "layer1", "layer2", "layer3"])
    assert {name.split(".")[0] for name in reached} == {"bn1", *expected}


def test_channels_last() -> None:
    """Maps of a network that says it keeps channels last are turned; tokens and vectors are not."""
    network = nn.Identity()
    maps, tokens, vectors = torch.randn(2, 4, 5, 3), torch.randn(2, 4, 3), torch.randn(2, 3)
    assert all(channels_first(network, tensor) is tensor for tensor in (maps, tokens, vectors))
    network.output_fmt = "NHWC"  # type: ignore[assignment]
    assert torch.equal(channels_first(network, maps), maps.permute(0, 3, 1, 2))
    assert channels_first(network, tokens) is tokens
    assert channels_first(network, vectors) is vectors


@pytest.mark.parametrize("tapped_first", [True, False])
def test_compiled(classifier: Classifier, tapped_first: bool) -> None:
    """A compiled network shows its features, too, whichever came first, and is silent between calls."""
    classifier.train()
    expected = FeatureExtractor(copy.deepcopy(classifier), POINTS)(images())
    torch._dynamo.reset()
    if tapped_first:
        tapped = FeatureExtractor(classifier, POINTS)
        classifier.network.compile(backend="eager")
    else:
        classifier.network.compile(backend="eager")
        tapped = FeatureExtractor(classifier, POINTS)
    output = tapped(images())
    assert set(output.features) == set(POINTS)
    for point in POINTS:
        torch.testing.assert_close(output.features[point], expected.features[point])
    classifier(images(1))
    assert tapped._recorded is None
    again = tapped(images())
    assert set(again.features) == set(POINTS)
    assert all(again.features[p] is not output.features[p] for p in POINTS)
    torch.autograd.backward(again.features["layer1"].mean())
    assert classifier.network.get_parameter("conv1.weight").grad is not None
    torch._dynamo.reset()
