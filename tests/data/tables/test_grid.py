"""Tables in all combinations of separator, names, paths, extra columns, quoting and encoding."""

from pathlib import Path

import pytest

from support.images.tables import write_case
from tutelage.config.data import DataConfig
from tutelage.data.readers.open import open_source

BLOCKS, EACH = 15, 20


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_row_gets_its_label_and_split(tmp_path: Path, block: int) -> None:
    """Each image has the label and split that it was written with; missing files are set aside."""
    for seed in range(block * EACH, (block + 1) * EACH):
        case = write_case(tmp_path, seed)
        source = open_source(case.table, DataConfig(**case.settings))
        found = {item.read(): (item.label, item.split) for item in source.items}
        assert found == case.answer, f"{seed}: {case.about}"
        assert [reason for _, reason in source.refused] == case.missing * ["there is no such file"]
        assert len(source.items) == len(case.answer)
