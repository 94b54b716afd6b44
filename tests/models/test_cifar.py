"""Networks of the CIFAR-100 tables: names, sizes, shapes and points."""

import pytest
import timm
import torch
from torch import Tensor, nn

from tutelage.config.model import ModelConfig
from tutelage.errors import UsageError
from tutelage.models.build import build_model, require_known
from tutelage.models.cifar.names import NETWORKS
from tutelage.models.cifar.network import CifarNetwork
from tutelage.models.cifar.resnet import ResNet
from tutelage.models.cifar.wideresnet import WideResNet
from tutelage.models.feature_hooks import FeatureExtractor
from tutelage.models.fuse_batchnorm import fuse_batchnorm
from tutelage.models.preprocess import Classifier

STATISTICS = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
# Name: parameters at 100 classes, and what papers and tables print of them, in millions.
SIZES = {
    "cifar_resnet8": (83_892, "0.08"),
    "cifar_resnet14": (181_108, "0.18"),
    "cifar_resnet20": (278_324, "0.28"),
    "cifar_resnet32": (472_756, "0.47"),
    "cifar_resnet44": (667_188, "0.67"),
    "cifar_resnet56": (861_620, "0.86"),
    "cifar_resnet110": (1_736_564, "1.74"),
    "cifar_resnet8x4": (1_233_540, "1.23"),
    "cifar_resnet32x4": (7_433_860, "7.43"),
    "cifar_wrn_16_1": (180_916, "0.18"),
    "cifar_wrn_16_2": (703_284, "0.70"),
    "cifar_wrn_40_1": (569_780, "0.57"),
    "cifar_wrn_40_2": (2_255_156, "2.26"),
    "cifar_vgg8": (3_965_028, "3.97"),
    "cifar_vgg13": (9_462_180, "9.46"),
    "cifar_mobilenetv2_half": (812_836, "0.81"),
    "cifar_shufflenetv1": (949_258, "0.95"),
    "cifar_shufflenetv2": (1_355_528, "1.36"),
}
# Name: (channels, pixels a side) of each stage's output for an image of 32 pixels.
RESNET = [(16, 32), (32, 16), (64, 8)]
STAGES = {
    "cifar_resnet8": RESNET,
    "cifar_resnet20": RESNET,
    "cifar_resnet8x4": [(64, 32), (128, 16), (256, 8)],
    "cifar_wrn_16_1": RESNET,
    "cifar_wrn_16_2": [(32, 32), (64, 16), (128, 8)],
    "cifar_vgg8": [(64, 32), (128, 16), (256, 8), (512, 4), (512, 4)],
    "cifar_mobilenetv2_half": [(12, 16), (16, 8), (48, 4), (160, 2)],
    "cifar_shufflenetv1": [(240, 16), (480, 8), (960, 4)],
    "cifar_shufflenetv2": [(116, 16), (232, 8), (464, 4)],
}


def create(name: str, **options: object) -> CifarNetwork:
    torch.manual_seed(0)
    network = timm.create_model(name, **options)
    assert isinstance(network, CifarNetwork)
    return network


def images(count: int = 2, size: int = 32) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def test_names() -> None:
    """Every network here is known to timm, to us, and counted below."""
    assert set(timm.list_models("cifar_*")) == set(NETWORKS) == set(SIZES)
    for name in NETWORKS:
        assert timm.is_model(name)
        require_known(name)
    with pytest.raises(UsageError, match="did you mean cifar_resnet20"):
        require_known("cifar_resnt20")
    with pytest.raises(UsageError, match="no weights tagged c100"):
        require_known("cifar_resnet20.c100")


@pytest.mark.parametrize("name", SIZES)
def test_published_sizes(name: str) -> None:
    """Each network has the number of parameters that the tables print."""
    count, printed = SIZES[name]
    with torch.device("meta"):
        network = create(name, num_classes=100)
    assert sum(p.numel() for p in network.parameters()) == count
    assert f"{count / 1e6:.2f}" == printed


@pytest.mark.parametrize(("depth", "widen", "classes"), [(16, 2, 100), (40, 1, 10)])
def test_size_from_the_definition(depth: int, widen: int, classes: int) -> None:
    """A Wide ResNet's parameters, counted by hand from the paper's table 1."""
    count, before = 3 * 9 * 16, 16
    for width in (16 * widen, 32 * widen, 64 * widen):
        for _ in range((depth - 4) // 6):
            count += 2 * before + 9 * before * width + 2 * width + 9 * width * width
            count += before * width if before != width else 0
            before = width
    count += 2 * before + before * classes + classes
    with torch.device("meta"):
        network = WideResNet(depth=depth, widen=widen, num_classes=classes)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize("name", STAGES)
def test_stages_and_gradients(name: str) -> None:
    """Stages have the shapes they state, hooks see them, and every parameter gets a gradient."""
    network = create(name, num_classes=7).train()
    seen: dict[str, Tensor] = {}
    points = [str(stage["module"]) for stage in network.feature_info]
    for point in [*points, "global_pool"]:
        network.get_submodule(point).register_forward_hook(
            lambda _module, _inputs, output, point=point: seen.update({point: output})
        )
    logits = network(images())
    assert logits.shape == (2, 7)
    shapes = [(seen[point].shape[1], seen[point].shape[3]) for point in points]
    assert shapes == STAGES[name]
    stated = [(stage["num_chs"], 32 // stage["reduction"]) for stage in network.feature_info]
    assert stated == STAGES[name]
    assert seen["global_pool"].shape == (2, network.num_features)
    logits.square().sum().backward()
    for parameter, tensor in network.named_parameters():
        assert tensor.grad is not None, parameter
        assert torch.isfinite(tensor.grad).all(), parameter


@pytest.mark.parametrize("name", SIZES)
def test_activations_are_modules(name: str) -> None:
    """No activation works in place or stands in two spots, and there is one behind most norms."""
    with torch.device("meta"):
        network = create(name).eval()
        calls: list[nn.Module] = []
        for module in network.modules():
            if isinstance(module, nn.ReLU):
                assert not module.inplace
                module.register_forward_hook(lambda module, _inputs, _output: calls.append(module))
        network(torch.empty(1, 3, 32, 32))
    activations = [module for module in network.modules() if isinstance(module, nn.ReLU)]
    assert len(calls) == len(activations) == len(set(map(id, calls)))
    expected = {"cifar_resnet20": 19, "cifar_wrn_16_2": 13, "cifar_vgg13": 10}
    expected |= {"cifar_mobilenetv2_half": 36, "cifar_shufflenetv1": 49, "cifar_shufflenetv2": 37}
    assert len(activations) == expected.get(name, len(activations))


@pytest.mark.parametrize("name", SIZES)
def test_configuration(name: str) -> None:
    """The configuration names the first convolution and the classifier, and nothing to download."""
    with torch.device("meta"):
        network = create(name)
    config = network.pretrained_cfg
    assert isinstance(config, dict)
    assert (config["architecture"], config["num_classes"]) == (name, 100)
    assert config["input_size"] == (3, 32, 32)
    assert network.get_submodule(config["classifier"]) is network.get_classifier()
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    assert network.get_submodule(config["first_conv"]) is first
    assert not {"url", "hf_hub_id", "file"} & config.keys()
    assert timm.list_pretrained(f"{name}*") == []


@pytest.mark.parametrize("name", ["cifar_resnet8", "cifar_mobilenetv2_half"])
def test_head(name: str) -> None:
    """The head is what timm's networks offer: replaced, left out, or asked for its input."""
    network = create(name, num_classes=5).double().eval()
    maps = network.forward_features(images().double())
    pooled = network.forward_head(maps, pre_logits=True)
    torch.testing.assert_close(pooled, maps.mean((2, 3)))
    assert torch.equal(network.forward_head(maps), network(images().double()))
    network.reset_classifier(3, "avg")
    assert network.num_classes == 3
    assert network(images().double()).shape == (2, 3)
    network.reset_classifier(0)
    assert torch.equal(network(images().double()), pooled)
    with pytest.raises(ValueError, match="max"):
        network.reset_classifier(3, "max")


@pytest.mark.parametrize("size", [16, 40])
@pytest.mark.parametrize("name", ["cifar_vgg8", "cifar_shufflenetv1", "cifar_mobilenetv2_half"])
def test_other_images(name: str, size: int) -> None:
    """Images of another size, or of one channel, pass too."""
    assert create(name, num_classes=4).eval()(images(size=size)).shape == (2, 4)
    grey = create(name, num_classes=4, in_chans=1).eval()
    assert grey(images(size=size)[:, :1]).shape == (2, 4)


def test_depths() -> None:
    """A depth that the family does not have is refused."""
    with pytest.raises(ValueError, match="6n \\+ 2, not 18"):
        ResNet(depth=18)
    with pytest.raises(ValueError, match="6n \\+ 4, not 4"):
        WideResNet(depth=4, widen=1)


def test_published_names() -> None:
    """ResNet weights are called as in the tables' published checkpoints, so those can be read."""
    names = set(create("cifar_resnet8x4").state_dict())
    block = {f"layer1.0.{part}" for part in ("conv1", "bn1", "conv2", "bn2")}
    block |= {"layer1.0.downsample.0", "layer1.0.downsample.1", "conv1", "bn1", "fc"}
    assert {f"{part}.weight" for part in block} <= names
    assert not [name for name in names if name.split(".")[0].startswith(("act", "global_pool"))]


@pytest.mark.parametrize("name", ["cifar_resnet8", "cifar_wrn_16_1", "cifar_shufflenetv2"])
def test_norms_fold(name: str) -> None:
    """Norms fold into the convolutions before them: the networks can be traced."""
    network = create(name, num_classes=4)
    with torch.no_grad():
        network(images(8))
    copy = fuse_batchnorm(network.eval(), 32)
    assert copy is not None
    norms = [sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) for net in (network, copy)]
    assert norms[1] < norms[0]


def made(settings: ModelConfig) -> Classifier:
    """A classifier whose norms have seen something."""
    classifier = build_model(
        settings, classes=3, stored_size=32, train_statistics=STATISTICS, seed=1
    ).classifier
    with torch.no_grad():
        classifier.train()(batch_images())
    return classifier.eval()


def batch_images() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 3, 32, 32), generator=generator, dtype=torch.uint8)


def test_taps() -> None:
    """Points of a stage, a block and the pooling can be tapped by name."""
    points = ["layer1", "layer2.0.act1", "global_pool"]
    features = FeatureExtractor(made(ModelConfig(model="cifar_resnet8")), points)(
        batch_images()
    ).features
    assert [tuple(features[p].shape) for p in points] == [(3, 16, 32, 32), (3, 32, 16, 16), (3, 64)]


def test_small_stem_is_refused() -> None:
    """These networks have a small stem already; asking for one says so instead of doing nothing."""
    with pytest.raises(UsageError, match="--stem standard"):
        made(ModelConfig(model="cifar_resnet8", stem="small"))
