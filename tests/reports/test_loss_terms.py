"""What the student was taught, in both reports: real jobs, held against their journals and networks."""

import contextlib
import io
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from support.reseal import reseal
from tutelage.commands.inference import load
from tutelage.reports.record.read import read_job
from tutelage.reports.render.loss_terms import loss_sections
from tutelage.reports.wording import NONE
from tutelage.reports.write import write_report

COMMON = [
    "--teacher.weights", "none", "--teacher.epochs", "1", "--teacher.batch-size", "50",
    "--student.model", "cifar_resnet8", "--student.weights", "none", "--student.batch-size", "50",
    "--image-size", "32", "--precision", "fp32", "--device", "cpu",
]  # fmt: skip


class Job(NamedTuple):
    folder: Path
    screen: str

    def text(self, name: str) -> str:
        return (self.folder / "report" / name).read_text("utf-8")

    def events(self, run: str, kind: str) -> list[dict[str, Any]]:
        lines = (self.folder / run / "journal.jsonl").read_text("utf-8").splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == kind]


def job(folder: Path, data: Path, *flags: str) -> Job:
    """A whole job through the command line; how long one image takes is not measured."""
    from tutelage.__main__ import main

    screen = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        words = ["run", str(data), "--out", str(folder), "--skip-teacher-check", *COMMON, *flags]
        patch.setattr("sys.argv", ["tutelage", *words])
        patch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])
        with contextlib.redirect_stderr(screen), contextlib.redirect_stdout(io.StringIO()):
            assert main() == 0, screen.getvalue()
    return Job(folder, screen.getvalue())


@pytest.fixture(scope="module")
def alike(sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Label, KD, hint and attention between two CIFAR ResNets, two epochs."""
    folder = tmp_path_factory.mktemp("lesson") / "alike"
    flags = ["--recipe", "hint-at-kd", "--teacher.model", "cifar_resnet14"]
    return job(folder, sample_folder, *flags, "--student.epochs", "2")


@pytest.fixture(scope="module")
def unlike(sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A hint from a vision transformer to a ResNet, one epoch."""
    folder = tmp_path_factory.mktemp("lesson") / "unlike"
    flags = ["--recipe", "hint", "--teacher.model", "test_vit", "--student.epochs", "1"]
    return job(folder, sample_folder, *flags)


class Rows(HTMLParser):
    """The section about loss terms of the page: the text of each cell, by term."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: dict[str, list[str]] = {}
        self._term = ""
        self._cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self._term = dict(attrs).get("data-term") or ""
        if tag in ("th", "td") and self._term:
            self.rows.setdefault(self._term, []).append("")
            self._cell = True
        if tag == "br" and self._cell:
            self.rows[self._term][-1] += "; "

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("th", "td", "tr")

    def handle_data(self, data: str) -> None:
        if self._cell and self._term:
            self.rows[self._term][-1] += data


def page_rows(found: Job) -> dict[str, list[str]]:
    return {term: cells[1:] for term, cells in Rows(found.text("report.html")).rows.items()}


def markdown_rows(found: Job) -> dict[str, list[str]]:
    """The same table in Markdown, its escapes undone and its points written as in the page."""
    section = found.text("report.md").partition("## What the student was taught")[2]
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| ")][
        2:
    ]
    plain = [re.sub(r"\\(.)", r"\1", row).replace("&gt;", ">") for row in rows]
    cells = [[cell.strip() for cell in row.split(" | ")] for row in plain]
    return {
        first.removeprefix("| "): [*rest, last.removesuffix(" |")] for first, *rest, last in cells
    }


def told(found: Job) -> dict[str, list[str]]:
    """What the table has to say, from the journal of the first student."""
    (begin,) = found.events("student-0", "begin")
    epochs, norms = (found.events("student-0", kind) for kind in ("epoch", "gradients"))

    def course(values: list[float], form: str) -> str:
        ends = [form.format(value) for value in values]
        return ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[-1]}"

    rows = {}
    for term in begin["terms"]:
        name = term["name"]
        points = [
            " / ".join(
                f"{p[role]} [{' x '.join(map(str, p[f'{role}_shape']))}]"
                for role in ("student", "teacher")
            )
            for p in term["points"]
        ]
        adapters = ", ".join(term["adapters"])
        rows[name] = [
            f"{term['weight']:.4g}",
            course([e["train"]["terms"][name] for e in epochs], "{:.3g}"),
            course([100 * e["train"]["shares"][name] for e in epochs], "{:.1f}"),
            course([e["norms"][name] for e in norms], "{:.2g}"),
            "; ".join(points) or NONE,
            f"{adapters} ({term['parameters']:,} parameters)" if adapters else NONE,
        ]
    return rows


@pytest.mark.medium
@pytest.mark.parametrize("which", ["alike", "unlike"])
def test_both_reports_tell_what_the_journal_says(
    which: str, request: pytest.FixtureRequest
) -> None:
    """For every term: weight, value, share, gradient, points with shapes, adapters; first epoch to last."""
    found: Job = request.getfixturevalue(which)
    expected = told(found)
    assert markdown_rows(found) == expected
    assert page_rows(found) == expected
    for name in ("report.html", "report.md"):
        assert "student-0, from the first epoch to the last" in found.text(name)


def test_every_term_is_there(alike: Job) -> None:
    """Two epochs, four terms: each with two values, two shares and two norms; two look inside."""
    rows = markdown_rows(alike)
    assert list(rows) == ["label", "kd", "hint", "at"]
    for name, (weight, *courses, where, adapters) in rows.items():
        assert weight == {"label": "1", "kd": "1", "hint": "100", "at": "1000"}[name]
        assert all(" to " in course for course in courses)
        assert (where == NONE) == (name in ("label", "kd"))
        assert (adapters == NONE) == (name != "hint")
    assert rows["at"][4].count(";") == 2


def test_shares_are_weighted_values(alike: Job) -> None:
    """In each epoch a share is weight times value by the loss, and shares are all of the loss."""
    weights = {"label": 1.0, "kd": 1.0, "hint": 100.0, "at": 1000.0}
    for epoch in alike.events("student-0", "epoch"):
        train = epoch["train"]
        assert sum(train["shares"].values()) == pytest.approx(1, abs=1e-5)
        for name, weight in weights.items():
            expected = weight * train["terms"][name] / train["loss"]
            assert train["shares"][name] == pytest.approx(expected, rel=1e-5)


def returned(network: nn.Module, call: Callable[[], object]) -> dict[str, list[int]]:
    """The shape, without the batch, of what each module returns in a call."""
    shapes: dict[str, list[int]] = {}

    def note(path: str) -> Callable[..., None]:
        return lambda _module, _given, gave: shapes.update({path: list(gave.shape[1:])})

    for path, module in network.named_modules():
        module.register_forward_hook(note(path))
    with torch.no_grad():
        call()
    return shapes


@pytest.mark.parametrize("which", ["alike", "unlike"])
def test_points_are_places_of_the_saved_networks(
    which: str, request: pytest.FixtureRequest
) -> None:
    """The points are modules of the networks that were saved, and return what the report says."""
    found: Job = request.getfixturevalue(which)
    (begin,) = found.events("student-0", "begin")
    points = [point for term in begin["terms"] for point in term["points"]]
    assert points
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    for role, run in (("student", "student-0"), ("teacher", "teacher")):
        model = load(found.folder / run)
        shapes = returned(model.classifier.network, lambda model=model: model(images))
        for point in points:
            assert shapes[point[role]] == point[f"{role}_shape"]


def test_controls_were_taught_nothing(alike: Job) -> None:
    """The lesson is that of the student; a control has its label alone and no norms."""
    record = read_job(alike.folder)
    (found,) = loss_sections(record)
    assert found.note.startswith("student-0, ")
    assert list(found.rows) == ["label", "kd", "hint", "at"]
    (begin,) = alike.events("control-0", "begin")
    assert [term["name"] for term in begin["terms"]] == ["label"]
    assert alike.events("control-0", "gradients") == []


def test_like_networks_need_no_note(alike: Job) -> None:
    """Between two ResNets with stages of equal size nothing is warned of."""
    assert alike.events("student-0", "note") == []
    assert "note:" not in alike.screen
    for name in ("report.html", "report.md"):
        assert "Notes from training" not in alike.text(name)


def test_unlike_networks_are_warned_of(unlike: Job) -> None:
    """Screen, journal, page and Markdown say that the networks are unlike, and which points differ."""
    notes = [event["text"] for event in unlike.events("student-0", "note")]
    assert len(notes) == 2
    assert "hint compares what happens inside a ResNet and a VisionTransformer" in notes[0]
    assert "hint: layer2 and blocks.2 differ in kind: [32, 16, 16] and [5, 64]" in notes[1]
    markdown = re.sub(r"\\(.)", r"\1", unlike.text("report.md"))
    for note in notes:
        assert f"student-0: note: {note}" in unlike.screen
        assert note in unlike.text("report.html")
        assert note in markdown
    for name in ("report.html", "report.md"):
        assert unlike.text(name).count("Notes from training") == 1
    assert unlike.events("control-0", "note") == []


def test_older_jobs_have_no_such_section(alike: Job, tmp_path: Path) -> None:
    """A job of an older version, whose journals say nothing of terms, has its report without the section."""
    old = alike._replace(folder=Path(shutil.copytree(alike.folder, tmp_path / "old")))
    for path in old.folder.glob("*/journal.jsonl"):
        kept = [json.loads(line) for line in path.read_text().splitlines()]
        for event in kept:
            event.pop("terms", None)
            event.get("train", {}).pop("shares", None)
        lines = [json.dumps(event) + "\n" for event in kept if event["event"] != "gradients"]
        path.write_text("".join(lines))
        reseal(path.parent)
    (old.folder / "job.json").unlink()
    write_report(old.folder)
    for name in ("report.html", "report.md"):
        assert "What the student was taught" not in old.text(name)
        assert "Class by class" in old.text(name)
