"""Known datasets by name, with their official split and class names.

A local copy is looked for in `--data.dir`, then in this user's cache folder; only then is the dataset
downloaded, by torchvision, which checks it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.config.data import DataConfig
from tutelage.config.schema import flag
from tutelage.data.readers.folder import scan_folder
from tutelage.data.readers.idx import read_idx
from tutelage.data.readers.layout import finish_source
from tutelage.data.readers.listing import Listing
from tutelage.data.readers.names import SPLIT_FOLDERS
from tutelage.data.readers.reader import Reader
from tutelage.data.readers.source import Item, Source, Split
from tutelage.errors import InputError, suggest
from tutelage.storage.atomic import expand_user

CACHE = Path("~/.cache/tutelage/datasets")
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")
_FASHION_FILES: Mapping[Split, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


class DatasetPart(NamedTuple):
    """One official split."""

    images: NDArray[np.uint8]
    """uint8 [N, H, W] or [N, H, W, 3]."""
    numbers: Sequence[int]
    """[N], class numbers."""
    classes: Sequence[str]
    """Class names."""


class _Known(NamedTuple):
    read: Callable[[Path, bool], Mapping[Split, DatasetPart] | Source]
    """(folder, whether to download) -> its parts by split, or a source."""
    files: str
    """What to put into the folder where there is no network."""


def open_builtin(name: str, settings: DataConfig) -> Source:
    """Open a known dataset with its official train and test split; val is taken from train.

    Raises:
        InputError: it is not on this machine and cannot be downloaded; the message lists which files to put
            where.
    """
    read, files = KNOWN[name]
    places = [expand_user(settings.dir)] if settings.dir else []
    places += [expand_user(CACHE)]
    if name == "fashion-mnist":
        places.append(DEBIAN_FASHION)
    for place in places:
        try:
            return _source(name, read(place, False))
        except (OSError, RuntimeError):  # torchvision raises these if it is missing
            continue
    try:
        places[0].mkdir(parents=True, exist_ok=True)
        return _source(name, read(places[0], True))
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"the dataset {name} is not on this machine and cannot be downloaded",
            where=places[0],
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix=f"put {files} there, or name another folder with {flag('data.dir')}",
        ) from error


def not_found(text: str, path: Path) -> InputError:
    """Return the error for data that is neither a known name nor a path, with the nearest of both."""
    beside = path.parent if path.parent.is_dir() else None
    near = [str(path.parent / one.name) for one in beside.iterdir()] if beside else []
    odd = path.exists()
    return InputError(
        "the data is neither a file nor a folder" if odd else "there is no such data",
        where=text,
        expected=f"a folder, a CSV table, a zip, sample, or one of {', '.join(KNOWN)}",
        fix=None if odd else _nearest(text, [*KNOWN, "sample"], near),
    )


def _nearest(text: str, names: Sequence[str], paths: Sequence[str]) -> str | None:
    hints = (suggest(text, group) for group in (names, paths) if group)
    return next((hint for hint in hints if hint.startswith("did you mean")), None)


def _source(name: str, found: "Mapping[Split, DatasetPart] | Source") -> Source:
    if isinstance(found, Source):
        return found
    items = []
    for split, (images, numbers, classes) in found.items():
        for row, number in enumerate(numbers):
            label = classes[int(number)]
            place = f"{split}/{label.replace('/', '-')}/{row:05d}"
            items.append(Item(place, split, label, partial(images.__getitem__, row)))
    about = {"kind": "known", "name": name, "layout": "train, test"}
    return finish_source(items, Listing(), about, where=Path(name))


def _torchvision(kind: str) -> Any:
    from torchvision import datasets

    return getattr(datasets, kind)


def _cifar(kind: str, root: Path, download: bool) -> dict[Split, DatasetPart]:
    parts: dict[Split, DatasetPart] = {}
    for split in ("train", "test"):
        one = _torchvision(kind)(str(root), train=split == "train", download=download)
        parts[split] = DatasetPart(one.data, one.targets, one.classes)
    return parts


def _stl10(root: Path, download: bool) -> dict[Split, DatasetPart]:
    parts: dict[Split, DatasetPart] = {}
    for split in ("train", "test"):
        one = _torchvision("STL10")(str(root), split=split, download=download)
        parts[split] = DatasetPart(one.data.transpose(0, 2, 3, 1), one.labels.tolist(), one.classes)
    return parts


def _fashion(root: Path, download: bool) -> dict[Split, DatasetPart]:
    if download:
        _torchvision("FashionMNIST")(str(root), download=True)
    folders = (root, root / "FashionMNIST" / "raw")
    parts: dict[Split, DatasetPart] = {}
    for split, names in _FASHION_FILES.items():
        images, labels = (read_idx(_first_file(folders, name)) for name in names)
        if images.ndim != 3 or labels.shape != images.shape[:1] or labels.max(initial=0) > 9:
            raise InputError("images and labels do not fit together", where=root, found=names)
        parts[split] = DatasetPart(images, labels.tolist(), _FASHION_CLASSES)
    return parts


def _first_file(folders: Sequence[Path], name: str) -> Path:
    for folder in folders:
        for path in (folder / f"{name}.gz", folder / name):
            if path.is_file():
                return path
    raise FileNotFoundError(f"{name}.gz is not there")


def _imagenette(root: Path, download: bool) -> Source:
    kind = _torchvision("Imagenette")
    size = next(
        (s for s in ("320px", "full", "160px") if _imagenette_folder(root, s).is_dir()), "320px"
    )
    names = kind(str(root), size=size, download=download).wnid_to_idx
    labels = {wnid: kind._WNID_TO_CLASS[wnid][0] for wnid in names}
    listing = scan_folder(_imagenette_folder(root, size))
    items = []
    for file in listing.files:
        folder, wnid, *_ = file.name.split("/")
        split = SPLIT_FOLDERS.get(folder)
        if split and wnid in labels:
            items.append(Item(file.name, split, labels[wnid], file.read, file.stamp))
    about = {"kind": "known", "name": "imagenette", "layout": "train, val", "size": size}
    return finish_source(items, listing, about, where=root)


def _imagenette_folder(root: Path, size: str) -> Path:
    return root / ("imagenette2" if size == "full" else f"imagenette2-{size.removesuffix('px')}")


KNOWN: Mapping[str, _Known] = {
    "cifar10": _Known(partial(_cifar, "CIFAR10"), "the unpacked cifar-10-batches-py"),
    "cifar100": _Known(partial(_cifar, "CIFAR100"), "the unpacked cifar-100-python"),
    "stl10": _Known(_stl10, "the unpacked stl10_binary"),
    "fashion-mnist": _Known(_fashion, "the four *-ubyte.gz files"),
    "imagenette": _Known(_imagenette, "the unpacked imagenette2-320"),
}


READER = Reader(
    "a known dataset",
    accepts=lambda text, _path: text in KNOWN,
    open=lambda text, _path, settings: open_builtin(text, settings),
)
