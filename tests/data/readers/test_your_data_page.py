"""docs/your-data.md shows folders and what is read of them: each example is made and read."""

import random
import re
from pathlib import Path

import pytest

from support.images.layouts import CONTAINERS, png, write
from tutelage.config.data import DataConfig
from tutelage.data.readers.open import open_source
from tutelage.errors import InputError

PAGE = Path(__file__).parents[3] / "docs" / "your-data.md"
EXAMPLES = re.findall(
    r"^```text\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)


def test_there_are_examples() -> None:
    """A page without them would prove nothing."""
    assert len(EXAMPLES) >= 11


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_read_as_the_page_says(number: int, tmp_path: Path) -> None:
    """In every container, since each is read like a folder."""
    *files, said = EXAMPLES[number].splitlines()
    flag = files.pop() if files[-1].startswith("--") else ""
    settings = DataConfig(label_from="name") if flag == "--data.label-from name" else DataConfig()
    assert bool(flag) == (settings != DataConfig())
    for container in CONTAINERS:
        place = tmp_path / container
        place.mkdir()
        data = write(
            {name: png(n) for n, name in enumerate(files)}, place, container, random.Random(0)
        )
        if said.startswith("refused: "):
            with pytest.raises(InputError) as refused:
                open_source(data, settings)
            assert refused.value.what == said.removeprefix("refused: ")
            assert "--data.layout" in (refused.value.fix or "")
        else:
            expected, found = (
                said.removeprefix("-> "),
                open_source(data, settings).description["reading"],
            )
            if (
                container != "folder"
            ):  # the names in it begin below the one folder around everything
                expected, found = (re.sub("; inside [^;]*", "", one) for one in (expected, found))
            assert found == expected
