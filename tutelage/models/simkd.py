"""A student that keeps its teacher's classifier and learns only the features that go into it.

Chen et al. 2022, SimKD, arXiv:2203.14001, section 3.2: the student's last map passes a projector (1 x 1, 3 x
3, 1 x 1 convolutions) to the teacher's channels, and the teacher's classifier, frozen, reads it. Projector
and classifier stay in the student for good, so they count in its parameters, operations and size.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tutelage.config.image_size import ImageSize, height_width
from tutelage.errors import UsageError
from tutelage.models.feature_hooks import FeatureExtractor
from tutelage.models.introspect import inspect_network
from tutelage.models.preprocess import Classifier
from tutelage.types import NetworkInfo


class SimKDInfo(NamedTuple):
    """The teacher's part in a student."""

    channels: int
    """Channels of the teacher's last map."""
    reduction: int
    """How many times narrower than that the projector is inside."""


class SimKDNetwork(nn.Module):
    """A network's last map, a projector, the mean over positions, and the classifier of another network."""

    def __init__(
        self,
        backbone: nn.Module,
        reused: SimKDInfo,
        *,
        size: ImageSize,
        classes: int,
        in_chans: int = 3,
    ) -> None:
        """Assemble a student; its projector and classifier get random weights.

        Args:
            backbone: with `forward_features` and `reset_classifier`, as timm's networks have.
            reused: widths of what is added.
            size: of its input, in pixels.
            classes: outputs of the classifier.
            in_chans: channels of its input.

        Raises:
            UsageError: the backbone does not provide its last map.
        """
        super().__init__()
        channels = _channels(backbone, (in_chans, *height_width(size)))
        _call(backbone, "reset_classifier", 0)  # its own classifier is not used
        self.backbone = backbone
        self.reused = reused
        self.projector = _projector(channels, reused)
        self.head = nn.Linear(reused.channels, classes).requires_grad_(False)

    @property
    def pretrained_cfg(self) -> dict[str, Any]:
        """The backbone's."""
        config: dict[str, Any] = self.backbone.pretrained_cfg  # type: ignore[assignment]
        return config

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits: [B, 3, S, S] -> [B, classes]."""
        maps: Tensor = self.projector(_call(self.backbone, "forward_features", images))
        logits: Tensor = self.head(maps.mean((2, 3)))
        return logits


def reuse_classifier(
    student: Classifier, teacher: Classifier, *, stored_size: ImageSize, reduction: int
) -> None:
    """Give a student its teacher's classifier, and a projector to the features it reads.

    Args:
        student: changed in place.
        teacher: whose classifier is a linear layer on the means of its last map.
        stored_size: size of the pack's images, in pixels.
        reduction: how many times narrower than the teacher's map the projector is inside.

    Raises:
        UsageError: a student or a teacher of another kind.
    """
    info = inspect_network(teacher, stored_size)
    if not _reads_means(teacher, info, stored_size):
        raise UsageError(
            "simkd reuses a linear classifier that reads the means of a last map; this teacher has none",
            found=info.family,
            fix="a convolutional teacher, or another loss",
        )
    assert info.head is not None
    weight, bias = info.head
    student.network = SimKDNetwork(
        student.network,
        SimKDInfo(channels=weight.shape[1], reduction=reduction),
        size=student.preprocess.size,
        classes=len(weight),
        in_chans=student.preprocess.channels,
    )
    head = student.network.head
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(bias)


def _projector(channels: int, reused: SimKDInfo) -> nn.Sequential:
    inside = max(1, reused.channels // reused.reduction)
    widths = [(channels, inside, 1), (inside, inside, 3), (inside, reused.channels, 1)]
    layers: list[nn.Module] = []
    for have, want, side in widths:
        layers.append(nn.Conv2d(have, want, side, padding=side // 2, bias=False))
        layers += [nn.BatchNorm2d(want), nn.ReLU()]
    return nn.Sequential(*layers)


def _channels(backbone: nn.Module, image: tuple[int, int, int]) -> int:
    """Return the channels of a network's last map."""
    if not hasattr(backbone, "forward_features") or not hasattr(backbone, "reset_classifier"):
        raise UsageError(
            "simkd needs a student that provides its last map",
            found=type(backbone).__name__,
            expected="forward_features and reset_classifier, as timm's networks have",
        )
    training = backbone.training
    blank = torch.zeros(1, *image, device=next(backbone.parameters()).device)
    with torch.no_grad():
        maps = _call(backbone.eval(), "forward_features", blank)
    backbone.train(training)
    if maps.ndim != 4:
        raise UsageError(
            "simkd needs a student whose last features are a map",
            found=f"{type(backbone).__name__}: {list(maps.shape)}",
            expected="[B, C, H, W]",
        )
    return int(maps.shape[1])


def _reads_means(teacher: Classifier, info: NetworkInfo, size: ImageSize) -> bool:
    """Return whether the classifier's input is the means of the last map."""
    if info.head is None or info.vector is None or not info.stages:
        return False
    last = info.stages[-1].end.path
    training = teacher.training
    device = teacher.preprocess.mean.device
    generator = torch.Generator().manual_seed(0)
    shape = teacher.blank(size).shape
    image = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8).to(device)
    with torch.no_grad():
        teacher.eval()
        features = FeatureExtractor(teacher, [last, info.vector.path])(image).features
        teacher.train(training)
    maps, vector = features[last], features[info.vector.path]
    means = maps.mean((2, 3)) if maps.ndim == 4 else maps
    return means.shape == vector.shape and torch.allclose(means, vector, rtol=1e-3, atol=1e-4)


def _call(module: nn.Module, name: str, *args: Any) -> Any:
    return getattr(module, name)(*args)
