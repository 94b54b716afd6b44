"""A student is compared with its teacher's answers only where they are about the same images."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from tutelage.config.data import DataConfig
from tutelage.config.job import TrainConfig
from tutelage.data.pack.pack import Pack
from tutelage.data.pack.write import write_pack
from tutelage.data.readers.open import open_source
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])
        yield


@pytest.mark.parametrize("same", [True, False])
def test_agreement_is_about_the_same_images(
    same: bool, sample_folder: Path, tmp_path: Path,
    place: Callable[..., RunContext], single: Callable[..., TrainConfig], small_pack: Pack,
) -> None:  # fmt: skip
    """A teacher of other data has said nothing about these images, though they may be as many."""
    settings = dataclasses.replace(single(), epochs=1)
    pack = small_pack if same else _mirrored(sample_folder, tmp_path)
    assert len(pack.rows("val")) == len(small_pack.rows("val"))
    teacher = train_one(dataclasses.replace(settings, role="teacher"), small_pack, place("teacher"))
    taught = dataclasses.replace(
        settings, role="student", teacher=(str(teacher),), skip_teacher_check=True
    )
    student = train_one(taught, pack, place("student"))
    scores = json.loads((student / "scores.json").read_text())
    assert (scores["last"]["val"]["fidelity"] is not None) == same


def _mirrored(folder: Path, root: Path) -> Pack:
    """The same images from the other side: as many, with the same labels, and other pixels."""
    for path in folder.rglob("*.png"):
        target = root / "mirrored" / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(target)
    settings = DataConfig(image_size=32)
    source = open_source(str(root / "mirrored"), settings)
    return write_pack(source, settings, root / "pack", progress=lambda _done, _count: None)
