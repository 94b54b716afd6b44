"""The site of the documentation builds, strictly: a broken link, anchor or reference fails it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=place, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A copy of all that the site is built from."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for path in (ROOT / "mkdocs.yml", *ROOT.glob("*.md")):
        shutil.copy(path, tmp_path)
    (tmp_path / "tutelage").symlink_to(ROOT / "tutelage")
    return tmp_path


def test_the_site_builds(place: Path) -> None:
    """Every page is there; the docstrings are in the reference, and no page asks a server for anything."""
    done = build(place)
    assert done.returncode == 0, done.stdout + done.stderr
    site = place / "build" / "site"
    for page in (place / "docs").rglob("*.md"):
        assert (site / page.relative_to(place / "docs").with_suffix(".html")).is_file()
    reference = (site / "reference" / "api.html").read_text(encoding="utf-8")
    for name in ("tutelage.run", "tutelage.load", "tutelage.UsageError"):
        assert f'id="{name}"' in reference
    assert "arXiv:1503.02531" in (site / "reference" / "losses.html").read_text(encoding="utf-8")
    for page in site.rglob("*.html"):
        asked = re.findall(r'(?:src|href)="(https?://[^"]+)"[^>]*>', page.read_text("utf-8"))
        assert not [url for url in asked if re.search(r"\.(?:js|css|woff2?)$", url)], page


def test_a_broken_link_fails_it(place: Path) -> None:
    """Strict is strict."""
    page = place / "docs" / "index.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n[gone](gone.md)\n", encoding="utf-8")
    assert build(place).returncode != 0
