"""A network is used on data as they are, or as its run has read them."""

import random
from pathlib import Path

import pytest

from support.images.layouts import png, write
from tutelage.commands.network_data import open_for_network
from tutelage.commands.run_images import NOTHING_KNOWN
from tutelage.config.data import DataConfig
from tutelage.errors import InputError

FILES = {f"{name}_{n}.png": png(n) for name in ("cat", "dog") for n in range(4)}


def test_data_are_read_as_the_run_has_read_its_own(tmp_path: Path) -> None:
    """Labels in file names, without a flag that `evaluate` does not have."""
    data = write(FILES, tmp_path, "zip", random.Random(0))
    run = NOTHING_KNOWN._replace(facts={"settings": {"label_from": "name", "links": "follow"}})
    assert open_for_network(data, DataConfig(), run).classes == ("cat", "dog")


@pytest.mark.parametrize("settings", [None, {}, {"layout": 3}, {"layout": "classes"}, ["x"]])
def test_what_cannot_be_read_so_either_is_refused_with_a_remedy(
    settings: object, tmp_path: Path
) -> None:
    """The flags of the message are those of `pack`, and it says so; odd settings of a run do no harm."""
    data = write(FILES, tmp_path, "folder", random.Random(0))
    run = NOTHING_KNOWN._replace(facts={"settings": settings})
    with pytest.raises(InputError, match=r"label-from name.*tutelage pack .* --out PACK"):
        open_for_network(data, DataConfig(), run)
    with pytest.raises(InputError, match=r"try: +--data sample"):
        open_for_network(data, DataConfig(), run, instead="--data sample")


def test_a_table_is_read_by_the_columns_of_the_run(tmp_path: Path) -> None:
    """Other labels would be other classes."""
    rows = [f"{name}_{n}.png,{n % 2},{'xy'[n % 2]}" for name in ("cat", "dog") for n in range(4)]
    write(FILES, tmp_path, "folder", random.Random(0))
    (image,) = tmp_path.rglob("cat_1.png")
    table = image.parent / "t.csv"
    table.write_text("\n".join(["path,label,quality", *rows]))
    run = NOTHING_KNOWN._replace(facts={"settings": {"columns": "label=quality"}})
    assert open_for_network(table, DataConfig(), run).classes == ("x", "y")
    assert open_for_network(table, DataConfig(), NOTHING_KNOWN).classes == ("0", "1")
    rows = [row.replace(",x", ",").replace(",y", ",") for row in rows]
    table.write_text("\n".join(["path,label", *(row.rpartition(",")[0] for row in rows)]))
    assert open_for_network(table, DataConfig(), run).classes == ("0", "1")
