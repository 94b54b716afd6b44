"""What both sides of a comparison are given: a folder of images, a pack of it, and one teacher.

    photos/train/CLASS/*.jpg
    photos/val/CLASS/*.jpg

The images are the bundled sample's. For 224 pixels they are enlarged to 500 x 375 JPEGs of quality 90, as
photographs usually come: decoding and shrinking them is part of the work (less of it than with real
photographs, since enlarged images make small files). For 32 pixels they are PNGs of just that size.
"""

import io
import itertools
import json
import tempfile
import time
import zipfile
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import resnet34

import tutelage
from tutelage.data.readers.zip import SAMPLE


class Kind(NamedTuple):
    """Width and height, the ending of the name, and how it is saved."""

    shape: tuple[int, int]
    ending: str
    saving: dict[str, Any]


KINDS = {
    224: Kind((500, 375), "jpg", {"format": "JPEG", "quality": 90}),
    32: Kind((32, 32), "png", {"format": "PNG"}),
}


class Task(NamedTuple):
    """What both sides are given. folder holds `photos`, `pack` and `teacher`, a run folder."""

    folder: Path
    size: int
    batch: int
    epochs: int
    workers: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    precision: str = "fp32"

    def photos(self, split: str) -> ImageFolder:
        """The image files of a split, read as torchvision reads them; no augmentation."""
        return ImageFolder(str(self.folder / "photos" / split), self.transform)

    @property
    def transform(self) -> transforms.Compose:
        """What is done to an image before the network gets it."""
        return transforms.Compose(
            [
                transforms.Resize(self.size),
                transforms.CenterCrop(self.size),
                transforms.ToTensor(),
                transforms.Normalize(self.mean, self.std),
            ]
        )

    def teacher(self) -> nn.Module:
        """Our teacher as torchvision's ResNet-34, in eval mode."""
        network = resnet34(num_classes=len(self.classes))
        network.load_state_dict(load_file(self.folder / "teacher" / "model" / "model.safetensors"))
        return network.eval()


@contextmanager
def prepared(chosen: Namespace, *, batch: int, lr: float) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Images, pack and teacher in a temporary folder, and what is known of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "photos", size=chosen.size, train=chosen.images, val=chosen.val)
        data = tutelage.DataConfig(image_size=chosen.size)
        begin = time.perf_counter()
        pack = tutelage.pack(folder / "photos", data, out=folder / "pack", quiet=True)
        packing = time.perf_counter() - begin
        teacher = tutelage.TrainConfig(
            model="resnet34",
            weights="none",
            data=data,
            epochs=chosen.teacher_epochs,
            batch_size=batch,
            lr=lr,
            role="teacher",
        )
        tutelage.train(folder / "pack", teacher, out=folder / "teacher", quiet=True)
        task = Task(
            folder,
            chosen.size,
            batch,
            chosen.epochs,
            chosen.workers,
            mean=pack.mean,
            std=pack.std,
            classes=pack.classes,
        )
        scores = json.loads((folder / "teacher" / "scores.json").read_text())
        facts = {
            "pack_seconds": packing,
            "teacher_accuracy": scores["last"]["val"]["accuracy"],
            "teacher_logits_differ_by": _difference(task, pack.files()),
        }
        yield task, facts


def make(folder: Path, *, size: int, train: int, val: int) -> None:
    """Write so many images of each split, spread evenly over the ten classes; always the same ones."""
    kind = KINDS[size]
    with zipfile.ZipFile(SAMPLE) as sample:
        for split, count in (("train", train), ("val", val)):
            names = list(itertools.islice(_in_turn(sample.namelist(), split), count))
            if len(names) < count:
                raise SystemExit(f"the sample has {len(names)} images in {split}, not {count}")
            for name in names:
                path = (folder / name).with_suffix(f".{kind.ending}")
                path.parent.mkdir(parents=True, exist_ok=True)
                with Image.open(io.BytesIO(sample.read(name))) as image:
                    large = image.convert("RGB").resize(kind.shape, Image.Resampling.BICUBIC)
                large.save(path, **kind.saving)


def _in_turn(names: Sequence[str], split: str) -> Iterator[str]:
    """The images of a split: the first of every class, the second of every class, ..."""
    classes = defaultdict(list)
    for name in sorted(names):
        if name.startswith(f"{split}/"):
            classes[name.split("/")[1]].append(name)
    return itertools.chain.from_iterable(zip(*classes.values(), strict=True))


def _difference(task: Task, files: list[str]) -> float:
    """By how much torchvision's teacher, shown files, differs from what ours said of the pack.

    That one number covers weights, decoding, resizing, normalisation and the order of classes.
    """
    classes = tuple(task.photos("val").classes)
    if classes != task.classes:
        raise SystemExit(f"classes in another order: {classes}, {task.classes}")
    saved = load_file(task.folder / "teacher" / "predictions" / "val.safetensors")
    some = list(range(0, len(saved["ids"]), max(1, len(saved["ids"]) // 16)))
    images = []
    for row in some:
        with Image.open(task.folder / "photos" / files[saved["ids"][row]]) as image:
            images.append(task.transform(image.convert("RGB")))
    with torch.no_grad():
        found = task.teacher()(torch.stack(images))
    expected = saved["logits"][some]
    largest = (found - expected).abs().max().item()
    if largest > 1e-3 * expected.abs().max().item():
        raise SystemExit(f"the teachers are not the same: their logits differ by {largest}")
    return largest
