"""A network on disk: weights, class names and preprocessing in one folder, in timm's hub layout.

`timm.create_model("local-dir:FOLDER", pretrained=True)` loads it without this package. A network that timm's
layout cannot rebuild (a changed stem, a network timm does not have, a module of the user's own) is saved the
same way, and the folder notes that it needs `tutelage.load`, with the user's module where there was one.
`tutelage.json` holds what timm's layout has no place for.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf
from torch import nn

from tutelage.config.image_size import ImageSize, height_width, image_size
from tutelage.config.model import ModelConfig
from tutelage.config.schema import build as build_settings
from tutelage.config.schema import shared_fields, to_table
from tutelage.errors import InputError
from tutelage.models.build import RGB, build_model, require_of_size, size_option
from tutelage.models.metadata import FIX, FORMAT, KIND, network_folder, read_metadata
from tutelage.models.preprocess import Classifier, Preprocess
from tutelage.models.simkd import SimKDInfo, SimKDNetwork
from tutelage.models.trim_padding import trim_padding
from tutelage.models.weights import load_weights
from tutelage.storage.checksums import checksums_of, require_checksums, write_sealed
from tutelage.storage.safe_paths import require_plain

__all__ = ["SavedModel", "load_model", "network_folder", "save_model", "timm_limitation"]

_CROP_MODES = {"crop": "center", "pad": "border", "squash": "squash"}


class SavedModel(NamedTuple):
    """A network read back from its folder."""

    classifier: Classifier
    """In eval mode."""
    classes: tuple[str, ...]
    """Class names, in the order of the logits."""
    stored_size: ImageSize
    """Side of the stored images it takes in pixels, or height and width."""
    background: str
    """The colour under transparent pixels, `white` or `black`."""
    model: str
    """Name of the network, for messages."""
    preparation: Mapping[str, Any] = MappingProxyType({})
    """How an image becomes one of the stored size, where not as by default; see `config.data.preparation`."""


def save_model(
    folder: Path,
    classifier: Classifier,
    *,
    settings: ModelConfig,
    classes: Sequence[str],
    stored_size: ImageSize,
    background: str,
    card: str,
    preparation: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write a model folder, read it back and compare the logits of random images, bit by bit.

    The classifier is left in the default memory layout, with its plain convolutions.

    Args:
        folder: where to write.
        classifier: the network and its preprocessing.
        settings: of the network, as it was built.
        classes: class names, in the order of the logits.
        stored_size: size of the stored images, in pixels.
        background: the colour under transparent pixels.
        card: text of its README.md.
        preparation: how an image becomes one of them, where not as by default.

    Raises:
        RuntimeError: what was read back is not what was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A file must not depend on the layout that was fast in training (and safetensors refuses others),
    # and the logits are compared with those of a network that was just read.
    classifier.lay_out(torch.contiguous_format)
    trim_padding(classifier.network, on=False)
    network, preprocess = classifier.network, classifier.preprocess
    named = hasattr(network, "pretrained_cfg")
    limitation = timm_limitation(network, settings)
    mean, std = preprocess.mean.flatten().tolist(), preprocess.std.flatten().tolist()
    arguments: dict[str, Any] = {} if len(mean) == RGB else {"in_chans": len(mean)}
    if limitation is None:
        arguments |= size_option(settings.model, preprocess.size)
        save_for_hf(
            network,
            str(folder),
            safe_serialization=True,
            model_config={"label_names": list(classes)},
            model_args=arguments or None,
            data_config={
                "input_size": (len(mean), *height_width(preprocess.size)),
                "mean": tuple(mean),
                "std": tuple(std),
                **timm_preparation(preparation),
            },
        )
    else:
        state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        save_file(state, folder / "model.safetensors")
    metadata = {
        "format": FORMAT,
        "network": to_table(ModelConfig(**shared_fields(ModelConfig, settings))) if named else None,
        "reuses": network.reused._asdict() if isinstance(network, SimKDNetwork) else None,
        "loads_with": _loads_with(limitation, named=named),
        "classes": list(classes),
        "stored_size": stored_size,
        "input_size": preprocess.size,
        "background": background,
        "mean": mean,
        "std": std,
    }
    if preparation:
        metadata["preparation"] = dict(preparation)
    (folder / "README.md").write_text(card, encoding="utf-8")
    names = [path.name for path in folder.iterdir() if path.name != "tutelage.json"]
    write_sealed(folder / "tutelage.json", {**metadata, "files": checksums_of(folder, names)})
    _compare(folder, classifier, stored_size, named=named)


def timm_limitation(network: nn.Module, settings: ModelConfig) -> str | None:
    """Return why timm alone cannot load this network from its folder, as a sentence; None where it can."""
    if not hasattr(network, "pretrained_cfg"):
        return "the network is a module of your own"
    if settings.stem != "standard":
        return "timm's layout cannot hold a changed stem"
    if isinstance(network, SimKDNetwork):
        return "timm has no network with another one's classifier"
    if type(network).__module__.startswith("tutelage."):
        return "timm has no such network of its own"
    return None


def _loads_with(limitation: str | None, *, named: bool) -> str:
    if limitation is None:
        return 'timm.create_model("local-dir:FOLDER", pretrained=True) and tutelage.load("FOLDER")'
    argument = "" if named else ", network=YOUR_MODULE"
    return f'tutelage.load("FOLDER"{argument}): {limitation}'


def load_model(folder: Path, *, network: nn.Module | None = None) -> SavedModel:
    """Read a model folder, in eval mode.

    Args:
        folder: the model folder.
        network: the user's own module, where the folder was saved from one.

    Raises:
        InputError: not a model folder, a damaged one, or one that needs the user's own module.
    """
    require_plain(folder)
    metadata = read_metadata(folder)
    # The card is not checked: people may edit it.
    needed = {"model.safetensors", "config.json"} & {"model.safetensors", *metadata["files"]}
    require_checksums(folder, metadata["files"], needed, kind=KIND, fix=FIX)
    weights, size = folder / "model.safetensors", image_size(metadata["stored_size"])
    input_size = image_size(metadata["input_size"])
    mean, std = tuple(metadata["mean"]), tuple(metadata["std"])
    if metadata["network"] is None:
        if network is None:
            raise InputError(
                "this folder holds the weights of a module of the user's own",
                where=folder,
                fix='tutelage.load("FOLDER", network=YOUR_MODULE)',
            )
        preprocess = Preprocess(size=input_size, mean=mean, std=std)
        classifier = Classifier(network, preprocess)
    else:
        settings = build_settings(
            ModelConfig,
            {
                **{k: v for k, v in metadata["network"].items() if k not in ("mean", "std")},
                "weights": "none",
                "normalization": "train",
            },
            where=str(folder),
        )
        with torch.random.fork_rng(devices=[]):  # keeps the caller's random state
            require_of_size(settings.model, len(metadata["classes"]), weights)
            classifier = build_model(
                settings,
                classes=len(metadata["classes"]),
                stored_size=size,
                train_statistics=(mean, std),
                seed=0,
            ).classifier
            if reuses := metadata.get("reuses"):
                classifier.network = SimKDNetwork(
                    classifier.network,
                    SimKDInfo(**reuses),
                    size=input_size,
                    classes=len(metadata["classes"]),
                    in_chans=len(mean),
                )
    load_weights(classifier.network, weights, classifier=None)
    classifier.eval()
    name = settings.model if metadata["network"] else type(classifier.network).__name__
    return SavedModel(
        classifier,
        tuple(metadata["classes"]),
        size,
        str(metadata["background"]),
        name,
        metadata.get("preparation", {}),
    )


def timm_preparation(preparation: Mapping[str, Any]) -> dict[str, Any]:
    """Return what timm's `pretrained_cfg` can hold of it; timm pads with the mean colour."""
    return {
        "crop_pct": preparation.get("crop_ratio", 1.0),
        "crop_mode": _CROP_MODES[preparation.get("fit", "crop")],
        "interpolation": preparation.get("interpolation", "bilinear"),
    }


def _compare(folder: Path, classifier: Classifier, size: ImageSize, *, named: bool) -> None:
    """Read a saved folder back and compare weights, and logits where the network can be rebuilt."""
    state = classifier.network.state_dict()
    for name, tensor in load_file(folder / "model.safetensors").items():
        if not torch.equal(tensor, state[name].cpu()):
            raise RuntimeError(f"{folder}: {name} was not saved as it is")
    if not named:
        return
    generator = torch.Generator().manual_seed(0)
    shape = (2, *classifier.blank(size).shape[1:])
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    again = load_model(folder).classifier
    training, device = classifier.training, classifier.preprocess.mean.device
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        classifier.eval().cpu()
        same = torch.equal(again(images).logits, classifier(images).logits)
        if same and (folder / "config.json").exists():
            plain = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
            pixels = classifier.preprocess(images)
            same = torch.equal(plain(pixels), classifier.network(pixels))
    classifier.train(training).to(device)
    if not same:
        raise RuntimeError(f"{folder}: the network read back gives other logits")
