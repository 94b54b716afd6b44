"""Real images with planted groups of classes, a whole job of specialists on them, and one specialist.

Two classes of the sample are split into kinds that differ by a small grey mark in a corner. So small a
network, shown so few images, tells coats from bags at once, and one mark from another only by and by.
"""

import dataclasses
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tutelage.config.data import DataConfig
from tutelage.config.job import DistillConfig, NetworkConfig, TrainConfig
from tutelage.config.methods import MethodOptions, SpecialistsConfig
from tutelage.config.teacher import SpecialistConfig
from tutelage.data.pack.pack import Pack
from tutelage.data.pack.write import write_pack
from tutelage.data.readers.open import open_source
from tutelage.data.readers.zip import SAMPLE
from tutelage.engine.context import RunContext
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.signals import StopRequest

KINDS = {"Ankle boot": 1, "Bag": 1, "Coat": 3, "Sandal": 1, "Trouser": 2}
PLANTED = (("Coat 0", "Coat 1", "Coat 2"), ("Trouser 0", "Trouser 1"))
MARKS = ((slice(0, 2), slice(0, 8)), (slice(0, 8), slice(0, 2)), (slice(0, 4), slice(0, 4)))
SIZES = {"train": 60, "val": 40, "test": 40}

TEACHER = NetworkConfig(
    model="cifar_resnet8", weights="none", epochs=4, batch_size=32, lr=0.005, schedule="cosine"
)
JOB = DistillConfig(
    method="specialists",
    methods=MethodOptions(specialists=SpecialistsConfig(groups=5)),
    seeds=2,
    teacher=TEACHER,
    student=dataclasses.replace(TEACHER, epochs=1),
    device="cpu",
    precision="fp32",
)


def planted_pack(root: Path) -> Pack:
    """Eight classes at 16 pixels: 60 images each to train on, 40 to validate, 40 to test."""
    with zipfile.ZipFile(SAMPLE) as archive:
        for name, kinds in KINDS.items():
            files = iter(n for n in sorted(archive.namelist()) if n.startswith(f"train/{name}/"))
            for kind in range(kinds):
                label = f"{name} {kind}" if kinds > 1 else name
                for split, count in SIZES.items():
                    folder = root / "pictures" / split / label
                    folder.mkdir(parents=True)
                    for number in range(count):
                        shown = _marked(archive.read(next(files)), kind if kinds > 1 else None)
                        shown.save(folder / f"{number}.png")
    settings = DataConfig(image_size=16)
    source = open_source(str(root / "pictures"), settings)
    return write_pack(source, settings, root / "pack", progress=lambda _done, _count: None)


def _marked(data: bytes, mark: int | None) -> Image.Image:
    pixels = np.array(Image.open(io.BytesIO(data)).convert("L"))
    if mark is not None:
        pixels[MARKS[mark]] = 40
    return Image.fromarray(pixels)


def place(folder: Path, stop: StopRequest | None = None) -> RunContext:
    """A quiet place for a run."""
    return RunContext(
        "run", folder, folder.parent / "cache", Console(quiet=True), stop or StopRequest()
    )


def special(**changes: Any) -> TrainConfig:
    """A specialist of two epochs, from nobody's weights."""
    settings = TrainConfig(
        model="test_resnet",
        weights="none",
        epochs=2,
        batch_size=50,
        flip=True,
        device="cpu",
        precision="fp32",
        role="specialist",
        specialist=SpecialistConfig(classes=PLANTED[0]),
    )
    return dataclasses.replace(settings, **changes)


def scores(run: Path) -> dict[str, Any]:
    """What a run measured."""
    return dict(json.loads((run / "scores.json").read_text()))
