"""Use a finished network: load, evaluate, predict, export."""

from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
import torch
from torch import Tensor, nn

from tutelage.config.data import DataConfig, prepared_as
from tutelage.config.schema import validate
from tutelage.data.decode.prepare import prepare_all
from tutelage.data.pack.pack import Pack, open_pack
from tutelage.data.prepared_alike import require_prepared_alike
from tutelage.data.readers.folder import open_image_file, scan_folder
from tutelage.data.readers.names import SPLIT_FOLDERS
from tutelage.data.readers.open import open_source
from tutelage.data.readers.source import Item, Split
from tutelage.data.requirements import require_readable
from tutelage.errors import InputError, UsageError, suggest
from tutelage.evaluation.metrics import Metrics, scores_of
from tutelage.evaluation.predict import read_logits
from tutelage.evaluation.predictions_csv import write_predictions
from tutelage.exporters.exporter import ExportResult
from tutelage.exporters.registry import EXPORTERS
from tutelage.models.model_folder import SavedModel, load_model, network_folder
from tutelage.text import escape

BATCH = 64
MOST = DataConfig().max_unreadable
"""The share of files that may be unreadable, as when packing."""


class UnreadableFile(TypedDict):
    """A file that could not be used, and why."""

    file: str
    reason: str


class EvaluationResult(Metrics):
    """The metrics of a network on some images, and the files among them that could not be used."""

    unreadable: list[UnreadableFile]


class PredictionResult(NamedTuple):
    """The CSV's path, how many images were classified, and (file, reason) of those that could not be."""

    path: Path
    classified: int
    unreadable: list[tuple[str, str]]


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


def evaluate(
    folder: str | Path, data: str | Path, *, split: Split = "val", max_unreadable: float = MOST
) -> EvaluationResult:
    """Measure a finished network on labelled images: a pack's split, or a whole folder of classes.

    Args:
        folder: a run or model folder.
        data: a pack, or whatever can be packed.
        split: of the data, where they have splits.
        max_unreadable: largest share of files that may be set aside; they are listed in the result.

    Raises:
        InputError: no labelled images, classes the network does not know, too many unreadable files.
    """
    validate(DataConfig(max_unreadable=max_unreadable))
    model = load(folder)
    if (Path(data) / "manifest.json").is_file():
        pack = open_pack(Path(data))
        logits, labels = _read_pack(model, pack, split)
        unreadable = pack.quarantine()
    else:
        logits, labels, unreadable = _read_source(model, str(data), split, max_unreadable)
    if not len(labels):
        raise InputError("no labelled images", where=data, found=f"split {split}")
    listed = [UnreadableFile(file=name, reason=reason) for name, reason in unreadable]
    return EvaluationResult(**scores_of(logits, labels, model.classes), unreadable=listed)


def predict(
    folder: str | Path,
    images: str | Path,
    *,
    out: str | Path = "predictions.csv",
    top: int = 3,
    max_unreadable: float = MOST,
) -> PredictionResult:
    """Classify every image in a folder and write a CSV; files that cannot be read are listed apart.

    Args:
        folder: a run or model folder.
        images: a folder, with all below it, or one image.
        out: the CSV.
        top: how many classes to name for each image.
        max_unreadable: largest share of files that may be set aside.

    Raises:
        InputError: no network, no folder, no readable image in it, or too many unreadable ones.
        UsageError: `top` is below 1.
    """
    if top < 1:
        raise UsageError("--top wants at least 1", found=top)
    validate(DataConfig(max_unreadable=max_unreadable))
    model = load(folder)
    items, refused = _images(Path(images))
    answers = _ask_all(model, items)
    unreadable = sorted([*refused, *answers.unreadable])
    if not answers.items:
        first = f", such as {': '.join(unreadable[0])}" if unreadable else ""
        raise InputError(
            "no readable image",
            where=images,
            found=f"{len(unreadable)} unreadable files{first}",
            expected="images such as .jpg or .png, in any folder below",
        )
    require_readable(unreadable, len(items) + len(refused), max_unreadable, flag="--max-unreadable")
    names = [escape(item.name) for item in answers.items]
    write_predictions(Path(out), names, answers.logits, model.classes, top=top)
    return PredictionResult(Path(out), len(names), unreadable)


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
    items = open_source(str(data), model.settings()).items
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


class _Answers(NamedTuple):
    """The images that could be read, their logits [N, C], and (file, reason) of the others."""

    items: list[Item]
    logits: np.ndarray
    unreadable: list[tuple[str, str]]


def _ask_all(model: Model, items: Sequence[Item]) -> _Answers:
    """Decode images on all cores and run the network in batches, with bounded memory."""
    read: list[Item] = []
    unreadable: list[tuple[str, str]] = []
    waiting: list[np.ndarray] = []
    parts = [np.empty((0, len(model.classes)), dtype=np.float32)]
    for item, found in zip(items, prepare_all(items, model.settings()), strict=True):
        if isinstance(found, str):
            unreadable.append((escape(item.name), found))
            continue
        read.append(item)
        waiting.append(found.pixels)
        if len(waiting) == BATCH:
            parts.append(_ask(model, waiting))
            waiting = []
    if waiting:
        parts.append(_ask(model, waiting))
    return _Answers(read, np.concatenate(parts), unreadable)


def _read_pack(model: Model, pack: Pack, split: Split) -> tuple[np.ndarray, np.ndarray]:
    _same_classes(model, pack.classes)
    require_prepared_alike(pack.preparation, model.preparation, where=pack.folder)
    rows = pack.rows(split)
    rows = rows[pack.labels[rows] >= 0]
    logits = read_logits(model.classifier, pack, rows, device=torch.device("cpu"))
    return logits, _indices(model, [pack.classes[label] for label in pack.labels[rows]])


def _read_source(
    model: Model, data: str, split: Split, most: float
) -> tuple[np.ndarray, np.ndarray, list[tuple[str, str]]]:
    source = open_source(data, model.settings())
    _same_classes(model, source.classes)
    labelled = [item for item in source.items if item.label is not None]
    chosen = [item for item in labelled if item.split in (split, None)]
    refused = [one for one in source.refused if _split_of(one[0]) in (split, None)]
    answers = _ask_all(model, chosen)
    unreadable = sorted([*refused, *answers.unreadable])
    files = len(chosen) + len(refused)
    require_readable(unreadable, files, most, flag="--max-unreadable", where=data)
    labels = _indices(model, [str(item.label) for item in answers.items])
    return answers.logits, labels, unreadable


def _split_of(name: str) -> Split | None:
    """Return the split that a file's folder stands for, or None."""
    return SPLIT_FOLDERS.get(name.split("/")[0].lower())


def _indices(model: Model, labels: Sequence[str]) -> np.ndarray:
    """Match labels by name, so that the order of the classes does not matter."""
    number = {name: index for index, name in enumerate(model.classes)}
    return np.asarray([number[label] for label in labels], dtype=np.int64)


def _same_classes(model: Model, classes: Sequence[str]) -> None:
    unknown = sorted(set(classes) - set(model.classes))
    if unknown:
        raise InputError(
            "the network does not know these classes",
            found=", ".join(unknown[:8]),
            expected=", ".join(model.classes[:8]),
        )


def _images(place: Path) -> tuple[list[Item], list[tuple[str, str]]]:
    """List every image below a folder, or the one file; and what is not even opened."""
    listing = scan_folder(place) if place.is_dir() else open_image_file(place)
    items = [Item(file.name, None, None, file.read) for file in listing.files]
    return items, [(escape(name), reason) for name, reason in listing.refused]
