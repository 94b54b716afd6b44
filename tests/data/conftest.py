"""Small data sets on disk, made of real images: the bundled sample's."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from support.images.plant import Plant
from tutelage.data.readers.zip import SAMPLE


def _sample(start: str, count: int) -> list[bytes]:
    with zipfile.ZipFile(SAMPLE) as archive:
        names = [name for name in archive.namelist() if name.startswith(start)][:count]
        return [archive.read(name) for name in names]


@pytest.fixture(scope="session")
def bags() -> list[bytes]:
    """30 real images of bags as PNG files."""
    return _sample("train/Bag/", 30)


@pytest.fixture(scope="session")
def coats() -> list[bytes]:
    """30 real images of coats as PNG files."""
    return _sample("train/Coat/", 30)


@pytest.fixture
def plant(tmp_path: Path, bags: list[bytes], coats: list[bytes]) -> Plant:
    """Make files under a new folder: by default three bags to train, two to validate, as coats."""
    default = [f"train/bag/{n}.png" for n in range(3)] + [f"val/bag/{n}.png" for n in range(3, 5)]
    default += [name.replace("bag", "coat") for name in default]

    def make(*names: str, **more: bytes) -> Path:
        root = tmp_path / "data"
        for number, name in enumerate(names or default):
            images = coats if "coat" in name else bags
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(images[number % 30])
        for name, content in more.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return root

    return make


@pytest.fixture(scope="session")
def image() -> Callable[..., bytes]:
    """A file of one colour in a mode and format."""

    def make(kind: str = "PNG", mode: str = "RGB", colour: object = None, size: int = 8) -> bytes:
        file = io.BytesIO()
        Image.new(mode, (size, size), colour).save(file, kind)  # type: ignore[arg-type]
        return file.getvalue()

    return make
