"""What is written: equal to the runs' scores, harmless, small, and the same every time."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from support.reports.make_job import make_job
from support.reports.tags import Tags
from support.reseal import reseal
from tutelage.config.methods import METHOD_LABELS, MethodName
from tutelage.reports.record.read import read_job, read_runs
from tutelage.reports.write import write_record, write_report

LIMIT = 2_000_000
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def read(job: Path, name: str) -> str:
    return (job / "report" / name).read_text("utf-8")


def rows_of(job: Path, name: str) -> list[dict[str, str]]:
    with (job / "report" / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("which", ["job", "hostile_job"])
def test_the_page_asks_nothing_of_any_network(which: str, request: pytest.FixtureRequest) -> None:
    """Every address in the page is a data URI or an anchor; no inline handler or style exists."""
    tags = Tags(read(request.getfixturevalue(which), "report.html")).tags
    for tag, attributes in tags:
        assert tag not in ("iframe", "object", "embed", "base", "form")
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in ("src", "href", "srcset", "xlink:href", "action", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:image/", "data:,")), tag
    assert [tag for tag, _ in tags].count("script") == 2
    policy = next(a["content"] for t, a in tags if a.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_hostile_names_are_text_in_the_page(hostile_job: Path) -> None:
    """Names with markup, template code and terminal escapes are shown, not run."""
    text = read(hostile_job, "report.html")
    page = Tags(text)
    assert "\x1b" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>alert" not in text
    assert not any(tag == "img" and a.get("src") == "x" for tag, a in page.tags)
    shown = "".join(page.text)
    assert "<script>alert(1)</script>" in shown
    assert "{{ 7*7 }}" in shown


def test_hostile_names_in_markdown(hostile_job: Path) -> None:
    """Markdown has no raw tag, no escape, no live link, and every table row its columns."""
    text = read(hostile_job, "report.md")
    assert "\x1b" not in text
    assert not re.search(r"<[a-zA-Z/!]", text)
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    tables = re.findall(r"(?:^\|.*\n?)+", text, flags=re.MULTILINE)
    assert tables
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.strip().split("\n")}
        assert len(widths) == 1


@pytest.mark.parametrize("name", ["runs.csv", "per_class.csv", "curves.csv", "differences.csv"])
def test_no_cell_is_a_formula(hostile_job: Path, name: str) -> None:
    """No text cell starts as a formula does; numbers may be negative."""
    for row in rows_of(hostile_job, name):
        for cell in row.values():
            assert not any(ord(c) < 32 for c in cell)
            if cell.lstrip().startswith(FORMULA):
                float(cell)


def test_numbers_equal_the_runs_scores(job: Path) -> None:
    """scores.json repeats each run's file, and runs.csv holds the same numbers in full."""
    report = json.loads(read(job, "scores.json"))
    by_run = {row["run"]: row for row in rows_of(job, "runs.csv")}
    for name, scores in report["runs"].items():
        assert scores == json.loads((job / name / "scores.json").read_text())
        assert float(by_run[name]["last_val_accuracy"]) == scores["last"]["val"]["accuracy"]
    verdict = report["verdict"]
    assert verdict["epoch"] == "last"
    assert verdict["seeds"] == len(verdict["per_seed"]) == 3
    assert verdict["sentence"] in read(job, "report.md")


def test_differences_sum_to_the_accuracies(job: Path) -> None:
    """The image-by-image table adds up to each run's accuracy."""
    rows = rows_of(job, "differences.csv")
    for name, scores in json.loads(read(job, "scores.json"))["runs"].items():
        right = sum(int(row[name]) for row in rows)
        assert right / len(rows) == pytest.approx(scores["last"]["val"]["accuracy"])


def test_same_job_same_bytes(job: Path, tmp_path: Path) -> None:
    """A copy of the job elsewhere gives the same files, and none names its folder."""
    other = Path(shutil.copytree(job, tmp_path / "elsewhere"))
    shutil.rmtree(other / "report")
    write_report(other)
    for path in sorted((job / "report").rglob("*")):
        if path.is_file():
            content = (other / "report" / path.relative_to(job / "report")).read_bytes()
            assert content == path.read_bytes(), path.name
            assert str(tmp_path).encode() not in content


def test_random_teacher_is_said(job: Path) -> None:
    """A teacher without pretrained weights is named in the page and the Markdown."""
    said = "The teacher started from random weights: no pretrained weights were used."
    assert said in read(job, "report.html")
    assert said in read(job, "report.md")


def test_published_numbers_only_beside_the_published_networks(job: Path, tmp_path: Path) -> None:
    """ResNet-34 and ResNet-18 get the published rows and the note, other networks neither."""
    for text in (read(job, "report.html"), read(job, "report.md")):
        for fact in (
            "89.5",
            "83.3",
            "21.80",
            "7.36",
            "89.0",
            "43.8",
            "11.69",
            "3.66",
            "PaddleClas",
        ):
            assert fact in text
    other = make_job(tmp_path / "other", seeds=0, count=300, epochs=2, model=("vgg16", "vgg11"))
    for path in other.glob("*/scores.json"):
        path.write_text(path.read_text().replace("ResNet-18", "VGG-16"))
        reseal(path.parent)
    write_report(other)
    assert "PaddleClas" not in read(other, "report.html") + read(other, "report.md")


@pytest.mark.parametrize("kinds", [2, 30, 1000])
def test_any_number_of_classes(tmp_path: Path, kinds: int) -> None:
    """Two, thirty and a thousand classes give a page below the limit; latency may be missing."""
    job = make_job(
        tmp_path / "job", seeds=1, count=700, epochs=3, kinds=kinds, latency=False,
        teacher_weights="resnet34.tv_in1k",
    )  # fmt: skip
    page = write_report(job).read_text("utf-8")
    assert len(page.encode()) < LIMIT
    assert ("Confusion matrix" in page) == (kinds <= 30)
    assert "Most confused pairs" in page
    assert "Latency," not in page
    assert "random weights: no" not in page
    assert ("confusion" in read(job, "scores.json")) == (kinds <= 100)


def test_reports_of_lesser_jobs(job: Path, tmp_path: Path) -> None:
    """No control, no pack, and single runs each still give a page."""
    lone = make_job(tmp_path / "lone", seeds=2, count=400, epochs=3, controls=False)
    shutil.rmtree(lone / "pack")
    assert "No control was trained" in write_report(lone).read_text("utf-8")
    single = write_record(read_runs([job / "control-0"]), tmp_path / "single")
    assert "There is no distilled student" in single.read_text("utf-8")


def test_the_page_is_small(job: Path, hostile_job: Path) -> None:
    """A whole page with images is below 2 MB."""
    for made in (job, hostile_job):
        assert (made / "report" / "report.html").stat().st_size < LIMIT


def test_test_split_is_used_where_labelled(hostile_job: Path, job: Path) -> None:
    """A labelled test split carries the verdict, else validation does."""
    assert json.loads(read(hostile_job, "scores.json"))["verdict"]["split"] == "test"
    assert json.loads(read(job, "scores.json"))["verdict"]["split"] == "val"
    assert read_job(hostile_job).split() == "test"


def test_the_method_is_named(job: Path, tmp_path: Path) -> None:
    """The page says which method it was and what that stands for; every method has such a label."""
    assert set(METHOD_LABELS) == set(get_args(MethodName))
    record = replace(read_job(job), settings={"method": "dml"})
    assert "method dml (deep mutual learning)" in write_record(record, tmp_path).read_text("utf-8")
