"""The page in a real browser: it runs without an error and shows the runs' numbers."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.reports.tags import Tags

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
    "--virtual-time-budget=3000",
    "--window-size=1200,900",
]


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("the chromium binary is missing, and CI needs it")
        pytest.skip("the chromium binary is not installed")
    return found


def dump(chromium: str, page: Path, profile: Path, *extra: str) -> tuple[str, str]:
    """The page's elements after its script ran, and what the console said."""
    done = subprocess.run(
        [chromium, *FLAGS, *extra, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()],
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout.decode(), done.stderr.decode(errors="replace")


@pytest.mark.parametrize("which", ["job", "hostile_job"])
def test_page_runs_clean_and_shows_the_scores(
    which: str, request: pytest.FixtureRequest, chromium: str, tmp_path: Path
) -> None:
    """No console message, no alert, a drawn chart, and every accuracy equal to scores.json."""
    job: Path = request.getfixturevalue(which)
    text, console = dump(chromium, job / "report" / "report.html", tmp_path)
    assert "CONSOLE" not in console
    tags = Tags(text).tags
    assert sum(tag == "canvas" for tag, _ in tags) == 1
    report = json.loads((job / "report" / "scores.json").read_text())
    split = report["verdict"]["split"]
    shown = {a["data-run"]: float(a["data-accuracy"]) for _, a in tags if "data-run" in a}
    expected = {name: run["last"][split]["accuracy"] for name, run in report["runs"].items()}
    assert shown == expected
    hero = next(a for _, a in tags if "data-outcome" in a)
    assert float(hero["data-difference"]) == report["verdict"]["difference"]
    cells = {
        (a["data-role"], a["data-metric"]): float(a["data-value"])
        for _, a in tags
        if "data-value" in a
    }
    for role in ("teacher", "student", "control"):
        for metric in ("accuracy", "macro_f1", "nll", "brier", "ece", "top5"):
            values = [
                r["last"][split][metric] for r in report["runs"].values() if r["role"] == role
            ]
            assert cells[role, metric] == pytest.approx(sum(values) / len(values))
    series = re.findall(r'class="u-series', text)
    assert len(series) == 1 + len(report["runs"])


def test_policy_stops_what_should_not_run(job: Path, chromium: str, tmp_path: Path) -> None:
    """A script added to the page is refused by its content security policy."""
    page = tmp_path / "changed.html"
    text = (job / "report" / "report.html").read_text("utf-8")
    page.write_text(text.replace("</body>", "<script>document.title='ran'</script></body>"))
    shown, console = dump(chromium, page, tmp_path / "profile")
    assert "<title>ran</title>" not in shown
    assert "Content Security Policy" in console
