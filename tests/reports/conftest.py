"""One believable job, and one whose names are hostile, each made and reported once."""

from pathlib import Path

import pytest

from support.reports.make_job import make_job
from tutelage.reports.write import write_report

HOSTILE = {
    "Bag": "<script>alert(1)</script>",
    "Coat": "=cmd|'/c calc'!A1",
    "Dress": "new\nline\x1b[31mred\x1b[0m",
    "Shirt": '"><img src=x onerror=alert(2)>',
    "Sandal": "\x1b[0m=1+1",
    "Trouser": "a|b`c`*d* [x](javascript:alert(3))",
    "T-shirt": "</script><!--{{ 7*7 }}",
}


def hostile(name: str) -> str:
    """The class name, or what stands in for it."""
    return HOSTILE.get(name, name)


@pytest.fixture(scope="session")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_job(tmp_path_factory.mktemp("reports") / "job", count=900, epochs=16)
    write_report(made)
    return made


@pytest.fixture(scope="session")
def hostile_job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_job(
        tmp_path_factory.mktemp("reports") / "hostile",
        count=600,
        epochs=4,
        labelled_test=True,
        title="<script>alert(0)</script>\x1b]0;owned\x07",
        rename=hostile,
        file_rename=lambda name: "=HYPERLINK(1)" + name + "\x1b[2J<svg onload=alert(4)>.png",
    )
    write_report(made)
    return made
