"""Use a finished network: load, predict, export."""

from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from tutelage.commands.network_data import open_for_network
from tutelage.commands.run_images import run_images
from tutelage.config.data import DataConfig, prepared_as
from tutelage.config.schema import validate
from tutelage.data.decode.prepare import prepare_all
from tutelage.data.readers.archive import is_archive, scan_archive
from tutelage.data.readers.folder import open_image_file, scan_folder
from tutelage.data.readers.listing import LINK_OUT, Listing
from tutelage.data.readers.source import Item
from tutelage.data.requirements import require_readable
from tutelage.errors import InputError, UsageError, suggest
from tutelage.evaluation.predictions_csv import write_predictions
from tutelage.exporters.exporter import ExportResult
from tutelage.exporters.registry import EXPORTERS
from tutelage.models.model_folder import SavedModel, load_model, network_folder
from tutelage.text import escape

BATCH = 64
MOST = DataConfig().max_unreadable
"""The share of files that may be unreadable, as when packing."""


class PredictionResult(NamedTuple):
    """The CSV's path, how many images were classified, and what was not."""

    path: Path
    classified: int
    unreadable: list[tuple[str, str]]
    """(file, reason) of images that could not be used."""
    passed_over: Sequence[str] = ()
    """Files that are no images: a line for each reason, with their number and the first names."""


class Model(nn.Module):
    """A finished network with its class names and preprocessing."""

    def __init__(self, saved: SavedModel) -> None:
        super().__init__()
        self.classes = saved.classes
        self.stored_size = saved.stored_size
        self.background = saved.background
        self.preparation = saved.preparation
        self.classifier = saved.classifier

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits of uint8 images [B, C, H, W] as `prepare_all` makes them."""
        logits: Tensor = self.classifier(images).logits
        return logits

    def settings(self) -> DataConfig:
        """Return the settings by which images are prepared for this network."""
        return prepared_as(self.stored_size, self.background, self.preparation)


def load(folder: str | Path, *, network: nn.Module | None = None) -> Model:
    """Load the network of a run folder (its last epoch) or a model folder, in eval mode.

    Args:
        folder: a run folder or a model folder.
        network: the module of your own that the folder holds the weights of, where it was one.

    Raises:
        InputError: no network there, or a damaged one.
    """
    return Model(load_model(network_folder(Path(folder)), network=network)).eval()


def predict(
    folder: str | Path,
    images: str | Path,
    *,
    out: str | Path = "predictions.csv",
    top: int = 3,
    max_unreadable: float = MOST,
    links: Literal["follow"] | None = None,
) -> PredictionResult:
    """Classify every image in a folder or archive and write a CSV; what cannot be read is listed apart.

    Args:
        folder: a run or model folder.
        images: a folder, zip or tar, with all below it, or one image.
        out: the CSV.
        top: how many classes to name for each image.
        max_unreadable: largest share of files that may be set aside.
        links: `follow` reads what symbolic links lead to outside the folder.

    Raises:
        InputError: no network, no folder, no readable image in it, or too many unreadable ones.
        UsageError: `top` is below 1.
    """
    if top < 1:
        raise UsageError("--top wants at least 1", found=top)
    validate(DataConfig(max_unreadable=max_unreadable))
    model = load(folder)
    listing = _images(Path(images), follow=links == "follow")
    items = [Item(file.name, None, None, file.read) for file in listing.files]
    refused = [(escape(name), reason) for name, reason in listing.refused]
    answers = answer_all(model, items)
    unreadable = sorted([*refused, *answers.unreadable])
    if not answers.items:
        first = f", such as {': '.join(unreadable[0])}" if unreadable else ""
        others = "".join(f"; passed over: {line}" for line in listing.passed_over())
        raise InputError(
            "no readable image",
            where=images,
            found=f"{len(unreadable)} unreadable files{first}{others}",
            expected="images such as .jpg or .png, in any folder below",
            fix="--data.links follow" if any(why == LINK_OUT for _, why in refused) else None,
        )
    require_readable(unreadable, len(items) + len(refused), max_unreadable, flag="--max-unreadable")
    names = [escape(item.name) for item in answers.items]
    write_predictions(Path(out), names, answers.logits, model.classes, top=top)
    return PredictionResult(Path(out), len(names), unreadable, listing.passed_over())


def export(
    folder: str | Path,
    *,
    format: str = "onnx",
    out: str | Path | None = None,
    data: str | Path = "sample",
) -> ExportResult:
    """Export one file to deploy, with class names and preprocessing inside, checked on real images.

    Args:
        folder: a run or model folder.
        format: of the file; see `exporters.registry.EXPORTERS`.
        out: the file; by default `model` with the format's suffix in the run folder.
        data: real images to check with.

    Raises:
        UsageError: an unknown format.
        InputError: the exported network answers differently.
        MachineError: a package that the format needs is missing.
    """
    exporter = EXPORTERS.get(format)
    if exporter is None:
        raise UsageError(f"no such format: {format}", expected=suggest(format, EXPORTERS))
    folder = Path(folder)
    model = load(folder)
    target = Path(out) if out is not None else folder / f"model{exporter.suffix}"
    items = open_for_network(
        data, model.settings(), run_images(folder), instead="--data sample"
    ).items
    step = max(1, len(items) // 8)  # from all over the data; others where some cannot be read
    spread = [item for start in range(step) for item in items[start::step]]
    with closing(prepare_all(spread, model.settings(), workers=1)) as found:
        readable = (image.pixels for image in found if not isinstance(image, str))
        pixels = list(islice(readable, 8))
    if len(pixels) < 8:
        raise InputError("too few images to check the export with", where=data, expected="eight")
    _ask(model, pixels)
    return exporter.export(
        model.classifier, target, _stack(pixels), model.classes, model.settings()
    )


def _stack(pixels: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()


def _ask(model: Model, pixels: Sequence[np.ndarray]) -> np.ndarray:
    with torch.no_grad():
        logits: np.ndarray = model(_stack(pixels)).float().numpy()
    if not np.isfinite(logits).all():
        raise InputError(
            "the network's answers are not finite",
            found="NaN or infinity for real images",
            fix="another network: this one has diverged or is damaged",
        )
    return logits


class Answers(NamedTuple):
    """The images that could be read, their logits [N, C] and keys [N], and (file, reason) of the others."""

    items: list[Item]
    logits: np.ndarray
    keys: list[int]
    unreadable: list[tuple[str, str]]


def answer_all(model: Model, items: Sequence[Item]) -> Answers:
    """Decode images on all cores and run the network in batches, with bounded memory."""
    read: list[Item] = []
    keys: list[int] = []
    unreadable: list[tuple[str, str]] = []
    waiting: list[np.ndarray] = []
    parts = [np.empty((0, len(model.classes)), dtype=np.float32)]
    for item, found in zip(items, prepare_all(items, model.settings()), strict=True):
        if isinstance(found, str):
            unreadable.append((escape(item.name), found))
            continue
        read.append(item)
        keys.append(found.key)
        waiting.append(found.pixels)
        if len(waiting) == BATCH:
            parts.append(_ask(model, waiting))
            waiting = []
    if waiting:
        parts.append(_ask(model, waiting))
    return Answers(read, np.concatenate(parts), keys, unreadable)


def _images(place: Path, *, follow: bool = False) -> Listing:
    """List every image below a folder or in an archive, or the one file."""
    if place.is_dir():
        return scan_folder(place, follow=follow)
    return scan_archive(place) if is_archive(place) else open_image_file(place)
