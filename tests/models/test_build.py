"""Building networks: names, sizes, seeds, options, statistics, modules of the user's own."""

import dataclasses

import pytest
import timm
import torch
from torch import nn

from tutelage.config.model import ModelConfig
from tutelage.errors import UsageError
from tutelage.models.build import BuiltModel, build_model, require_known
from tutelage.models.weights import fingerprint_of

STATISTICS = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)


def make(
    model: str = "test_resnet",
    *,
    classes: int = 10,
    seed: int = 0,
    network: nn.Module | None = None,
    **settings: object,
) -> BuiltModel:
    return build_model(
        dataclasses.replace(ModelConfig(model=model), **settings),  # type: ignore[arg-type]
        classes=classes,
        stored_size=32,
        train_statistics=STATISTICS,
        seed=seed,
        network=network,
    )


@pytest.mark.parametrize(
    ("model", "classes", "millions"),
    [("resnet34", 1000, 21.797672), ("resnet18", 1000, 11.689512), ("resnet18", 10, 11.181642)],
)
def test_published_sizes(model: str, classes: int, millions: float) -> None:
    """ResNet-34 and ResNet-18 have the published number of parameters."""
    with torch.device("meta"):
        network = make(model, classes=classes).classifier.network
    assert sum(p.numel() for p in network.parameters()) == round(millions * 1e6)


def test_unknown_network() -> None:
    """A misspelt network is refused with the flag, the name and the nearest that is known."""
    with pytest.raises(UsageError, match="did you mean resnet18") as caught:
        require_known("resnt18", flag="--student.model")
    assert "--student.model resnt18" in str(caught.value)
    with pytest.raises(UsageError, match="no such network"):
        make("")


def test_unknown_tag() -> None:
    """A misspelt tag is refused with the nearest tag of that network."""
    with pytest.raises(UsageError, match="did you mean tv_in1k"):
        require_known("resnet34.tv_in1")
    require_known("resnet34.tv_in1k")
    require_known("resnet34")


def test_seed() -> None:
    """The same seed gives the same weights, another seed others, whatever was drawn before."""
    first = fingerprint_of(make(seed=3).classifier.network)
    torch.rand(7)
    assert fingerprint_of(make(seed=3).classifier.network) == first
    assert fingerprint_of(make(seed=4).classifier.network) != first


def test_last_norm() -> None:
    """The last norm of each block starts at one, as torchvision's does, or at zero where asked for."""
    plain, zero = make("resnet10t"), make("resnet10t", zero_init_last=True)
    for built, value in ((plain, 1.0), (zero, 0.0)):
        block = built.classifier.network.get_submodule("layer1.0")
        assert isinstance(block.bn2, nn.Module)
        assert torch.all(block.bn2.weight == value)


@pytest.mark.parametrize("model", ["test_vit", "test_efficientnet", "test_convnext"])
def test_other_families(model: str) -> None:
    """Networks that are no ResNets build too, and give one logit a class."""
    kwargs: dict[str, object] = {"input_size": 160} if model == "test_vit" else {}
    classifier = make(model, classes=4, **kwargs).classifier.eval()
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    assert classifier(images).logits.shape == (2, 4)


def test_statistics() -> None:
    """Normalisation is by the training split, by the pretrained weights, or one half."""
    config = timm.get_pretrained_cfg("resnet34.tv_in1k")
    expected = {"train": STATISTICS, "half": ((0.5,) * 3, (0.5,) * 3)}
    expected["weights"] = (config.mean, config.std)
    for kind, (mean, std) in expected.items():
        preprocess = make("resnet34", normalization=kind, weights="none").classifier.preprocess
        assert preprocess.mean.flatten().tolist() == pytest.approx(mean)
        assert preprocess.std.flatten().tolist() == pytest.approx(std)


def test_input_size() -> None:
    """A network sees images as stored unless another size is asked for."""
    assert make().classifier.preprocess.size == 32
    assert make(input_size=48).classifier.preprocess.size == 48


def test_own_module() -> None:
    """A module of the user's own is taken as it is, with the preprocessing around it."""
    own = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 10))
    built = make("does not matter", network=own)
    assert built.classifier.network is own
    assert str(built.weights) == "none"
    images = torch.full((2, 3, 32, 32), 51, dtype=torch.uint8)
    centred = torch.tensor([[(0.2 - 0.1) / 0.4, 0.0, (0.2 - 0.3) / 0.6]]).expand(2, 3)
    torch.testing.assert_close(built.classifier(images).logits, own[2](centred))
    with pytest.raises(UsageError, match="--normalization train"):
        make("does not matter", network=own, normalization="weights")
