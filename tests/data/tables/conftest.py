"""Images on disk whose content tells which they are, and the labels that a source gives them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tutelage.config.data import DataConfig
from tutelage.data.readers.open import open_source


@pytest.fixture
def write_images(tmp_path: Path) -> Callable[..., list[bytes]]:
    """Write a file of its own content for each name."""

    def write(names: Sequence[str], where: str = "") -> list[bytes]:
        contents = []
        for name in names:
            path = tmp_path / where / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = path.relative_to(tmp_path).as_posix().encode()
            path.write_bytes(content)
            contents.append(content)
        return contents

    return write


@pytest.fixture
def labels_of() -> Callable[..., dict[bytes, tuple[str | None, str | None]]]:
    """Open a source; return (label, split) by the content of the image."""

    def read(data: Path, **settings: object) -> dict[bytes, tuple[str | None, str | None]]:
        source = open_source(data, DataConfig(**settings))  # type: ignore[arg-type]
        return {bytes(item.read()): (item.label, item.split) for item in source.items}

    return read
