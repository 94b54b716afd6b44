"""Build a network from its settings: any timm name, with its head, stem, first weights and preprocessing."""

from pathlib import Path
from typing import Any, NamedTuple, cast

import timm
import torch
from torch import nn

import tutelage.models.cifar.names  # noqa: F401  registers them with timm
from tutelage.config.image_size import ImageSize, height_width
from tutelage.config.model import ModelConfig
from tutelage.errors import InputError, UsageError, suggest
from tutelage.models.names import timm_name
from tutelage.models.normalization import choose_normalization
from tutelage.models.preprocess import Classifier, Preprocess
from tutelage.models.small_stem import use_small_stem
from tutelage.models.weights import MOST_TIMES, WeightSource, find_weights, load_weights

SMALL = 64 << 20
"""Bytes that any network may take, however small its weight file."""
RGB = 3
"""Channels of a network that is not told otherwise."""
Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel."""


class BuiltModel(NamedTuple):
    """A network ready to train."""

    classifier: Classifier
    """The network with its preprocessing."""
    weights: WeightSource
    """Where its first weights came from."""
    normalization: str = ""
    """How its input is standardized, and by whose numbers, for the screen and the journal."""


def require_known(model: str, *, flag: str = "--model") -> None:
    """Require a name and tag that timm knows; the error suggests the nearest one.

    Raises:
        UsageError: an unknown network, or an unknown tag of a known one.
    """
    name, _, tag = model.partition(".")
    if not timm.is_model(name):
        known = timm_name(model)
        raise UsageError(
            f"no such network: {model}",
            found=f"{flag} {model}",
            expected=f"did you mean {known}?" if known else suggest(name, timm.list_models()),
            fix="tutelage models --filter resnet",
        )
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*")]
    if tag and tag not in tags:
        raise UsageError(
            f"{name} has no weights tagged {tag}",
            found=f"{flag} {model}",
            expected=suggest(tag, tags),
        )


def require_of_size(model: str, classes: int, weights: Path) -> None:
    """Refuse a named network that is far larger than its weight file, before memory is taken.

    Raises:
        UsageError: an unknown network.
        InputError: it needs more than `MOST_TIMES` the bytes of the file plus `SMALL`.
    """
    require_known(model)
    with torch.device("meta"):  # shapes without numbers
        network = timm.create_model(model, num_classes=classes)
    needed = sum(tensor.nbytes for tensor in network.state_dict().values())
    found = weights.stat().st_size if weights.is_file() else 0
    if needed > MOST_TIMES * found + SMALL:
        raise InputError(
            "the weights are those of a far smaller network than the one named",
            where=weights,
            found=f"{found:,} bytes",
            expected=f"{needed:,} bytes for {model} with {classes} classes",
        )


def build_model(
    settings: ModelConfig,
    *,
    classes: int,
    stored_size: ImageSize,
    train_statistics: Statistics,
    seed: int,
    network: nn.Module | None = None,
) -> BuiltModel:
    """Build the network that some settings name, or wrap the caller's own.

    Args:
        settings: which network, weights, stem, input size and normalization.
        classes: outputs of the last layer.
        stored_size: size of the images it will be given, in pixels.
        train_statistics: mean and standard deviation of each channel of the training split, used where the
            settings want them; there are as many as the network takes channels.
        seed: of the random weights.
        network: a module of the caller's own, [B, C, H, W] float -> [B, classes]; it keeps its weights and
            stem.

    Raises:
        UsageError: an unknown network, or a stem it does not have.
        InputError: the weights cannot be reached, or belong to another network.
    """
    torch.manual_seed(seed)
    weights = WeightSource("none")
    size = settings.input_size or stored_size
    if network is None:
        network, weights = _named(settings, classes, len(train_statistics[0]), size)
    chosen = choose_normalization(
        settings,
        network,
        train_statistics,
        weights=weights.path,
        says=weights.loaded.says if weights.loaded else {},
    ).for_channels(len(train_statistics[0]))
    preprocess = Preprocess(size=size, mean=chosen.mean, std=chosen.std)
    return BuiltModel(Classifier(network, preprocess), weights, str(chosen))


def size_option(model: str, size: ImageSize) -> dict[str, tuple[int, int]]:
    """Return timm's `img_size` for a network made for one size, where it can be made for another.

    Networks that take any size have no such option; some that do not have none either.
    """
    config = timm.get_pretrained_cfg(model.partition(":")[0], allow_unregistered=True)
    wanted = height_width(size)
    if not config or not config.fixed_input_size or tuple(config.input_size[1:]) == wanted:
        return {}
    try:
        with torch.device("meta"):  # shapes without numbers
            timm.create_model(model, img_size=wanted)
    except Exception:  # it has no such option, or cannot be made for this size: training says why
        return {}
    return {"img_size": wanted}


def _named(
    settings: ModelConfig, classes: int, channels: int, size: ImageSize
) -> tuple[nn.Module, WeightSource]:
    require_known(settings.model)
    weights = find_weights(settings)
    options: dict[str, Any] = {"num_classes": classes, **size_option(settings.model, size)}
    if channels != RGB:
        options["in_chans"] = channels
    if not settings.zero_init_last and _takes_zero_init(settings.model):
        options["zero_init_last"] = False
    pretrained = weights.kind == "tag"
    network: nn.Module = timm.create_model(settings.model, pretrained=pretrained, **options)
    if weights.path is not None:
        config = cast(dict[str, object], network.pretrained_cfg)
        heads = cast(str | tuple[str, ...], config.get("classifier") or ())
        loaded = load_weights(network, weights.path, classifier=heads)
        weights = weights._replace(loaded=loaded)
    if settings.stem == "small":
        use_small_stem(network, settings.model)
    return network, weights


def _takes_zero_init(model: str) -> bool:
    """Return whether the network takes timm's `zero_init_last`: those of its ResNet class do."""
    entry = timm.model_entrypoint(model.partition(".")[0])
    return bool(entry.__module__ == "timm.models.resnet")
