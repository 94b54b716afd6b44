"""Take in a finished network: a weight file becomes a model folder, measured where there are images."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import timm

from tutelage.commands.evaluate import EvaluationResult, evaluate
from tutelage.config.model import ModelConfig
from tutelage.config.schema import validate
from tutelage.data.readers.source import Split
from tutelage.errors import InputError, UsageError
from tutelage.models.build import BuiltModel, build_model, require_known
from tutelage.models.class_names import read_class_names
from tutelage.models.hub import resolve_network
from tutelage.models.model_folder import save_model, timm_limitation

_UNUSED = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class AdoptedNetwork(NamedTuple):
    """A network that was taken in."""

    folder: Path
    """Its model folder, which every command takes as a network or a teacher."""

    built: BuiltModel
    """The network: what was taken of the file, and how its input is standardized."""

    classes: tuple[str, ...]
    """Names of its outputs."""

    measured: EvaluationResult | None
    """Its metrics on the images that were given."""


def adopt(
    weights: str | Path,
    *,
    model: str,
    classes: Sequence[str],
    out: str | Path,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    input_size: int | None = None,
    data: str | Path | None = None,
    split: Split = "val",
) -> AdoptedNetwork:
    """Make a model folder of a finished network, and measure it where images are given.

    Args:
        weights: a weight file in any form, a run folder or a model folder.
        model: name of the timm network that the weights are of.
        classes: names of the outputs in their order, or a file of them (`models.class_names`).
        out: the folder; new or empty.
        mean: by which the input is standardized, with `std`; None: what is recorded with the weights, or by
            timm.
        std: of each channel, of pixels from 0 to 1.
        input_size: side of the input in pixels; None: what timm records of the network.
        data: labelled images.
        split: of the data, where they have splits.

    Raises:
        UsageError: an unknown network, or a folder that holds something.
        InputError: weights of another network, without a classifier, or for another number of classes.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise UsageError("the folder is not empty", where=out, fix=f"another folder: --out {out}-2")
    names = read_class_names([classes] if isinstance(classes, str) else classes)
    model = resolve_network(model).model
    require_known(model)
    size = input_size or _recorded_size(model)
    settings = ModelConfig(model=model, weights=str(weights), input_size=size, mean=mean, std=std)
    validate(settings)
    built = build_model(
        settings, classes=len(names), stored_size=size, train_statistics=_UNUSED, seed=0
    )
    loaded = built.weights.loaded
    if loaded is None or loaded.random:
        raise InputError(
            "not a finished network of these classes",
            where=weights,
            found=str(built.weights),
            expected=f"a classifier for {len(names)} classes: {', '.join(names[:8])}",
            fix="--classes with the names of all its outputs; or tutelage train DATA --weights FILE",
        )
    existed = out.exists()
    try:
        save_model(
            out,
            built.classifier.eval(),
            settings=settings,
            classes=names,
            stored_size=size,
            background="white",
            card=_card(built, settings, names),
        )
        measured = None if data is None else evaluate(out, data, split=split)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        if existed:
            out.mkdir()
        raise
    return AdoptedNetwork(out, built, names, measured)


def _recorded_size(model: str) -> int:
    """Return the side of the input that timm records of a network."""
    config = timm.models.get_pretrained_cfg(model, allow_unregistered=True)
    return int(config.input_size[-1]) if config and config.input_size else 224


def _card(built: BuiltModel, settings: ModelConfig, names: Sequence[str]) -> str:
    """The text of the folder's README.md."""
    limitation = timm_limitation(built.classifier.network, settings)
    listed = "".join(f"- {name}\n" for name in names)
    return f"""---
library_name: {"tutelage" if limitation else "timm"}
pipeline_tag: image-classification
---

# {settings.model}: {len(names)} classes

A finished network, taken in by `tutelage adopt`; weights: {built.weights}.
Input: {settings.input_size} x {settings.input_size} pixels; {built.normalization}.

## Classes, in the order of the outputs

{listed}"""
