"""Render the HTML page: one file, no request to any network, every name escaped by the template engine."""

import base64
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tutelage.config.methods import METHOD_LABELS
from tutelage.reports.record.files import strict
from tutelage.reports.record.types import SPLIT_WORDS, JobRecord, Split
from tutelage.reports.render import environment, html_sections, tables
from tutelage.reports.render.figures import Figure
from tutelage.reports.render.gallery import (
    Change,
    Shown,
    find_changes,
    find_disagreements,
    find_mistakes,
)
from tutelage.reports.render.published import NOTE, has_published
from tutelage.reports.render.svg_charts import draw_whisker
from tutelage.reports.render.thumbnails import Thumbnails
from tutelage.reports.statistics.secondary import secondary_sentences
from tutelage.reports.statistics.verdict import Verdict
from tutelage.reports.wording import count_of, percent, points, role_label, short

FOLDER = Path(__file__).parent
IMAGES_EACH = 12
IMAGE_BUDGET = 600_000


class Images(NamedTuple):
    """The galleries; each is empty if its runs do not exist."""

    change: Change | None
    mistakes: tuple[Shown, ...]
    mistaken_run: str
    """The run of these mistakes."""
    disagreements: tuple[Shown, ...]


def render_page(record: JobRecord, verdict: Verdict, figures: list[Figure]) -> str:
    """Render the whole page; the same record gives the same bytes."""
    jinja = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters.update(
        percent=percent, points=points, short=short, minus=_minus, label=role_label
    )
    jinja.globals.update(count_of=count_of)
    style = _read("vendor/uPlot.min.css") + _read("templates/report.css")
    notice = f"/*! uPlot\n{_read('vendor/uPlot.LICENSE')}\n*/\n"
    script = notice + _read("vendor/uPlot.iife.min.js") + "\n" + _read("templates/report.js")
    split = record.split()
    return jinja.get_template("report.html.j2").render(
        record=record,
        verdict=verdict,
        split=split,
        split_word=SPLIT_WORDS[split],
        method=_method(record),
        secondary=secondary_sentences(record),
        whisker=draw_whisker(verdict),
        tables=tables,
        environment=environment,
        sections=html_sections,
        roles=tables.roles_of(record),
        published_note=NOTE if has_published(record) else "",
        panels=html_sections.panels(record),
        figures=[(figure, _svg_uri(figure.svg), _svg_uri(figure.dark_svg)) for figure in figures],
        images=_images(record, verdict, split),
        thumbnails=Thumbnails(record.data, IMAGE_BUDGET),
        data=record.data,
        random_teacher=any(run.weights == "none" for run in record.of("teacher")),
        curves=Markup(curve_data(record)),
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def curve_data(record: JobRecord) -> str:
    r"""Render every run's journal as JSON for a script element: `<`, `>` and `&` as \u escapes."""
    length = max((len(run.journal) for run in record.runs), default=0)
    series = []
    for run in (run for run in record.runs if run.journal):
        phases = {"val": [e.val for e in run.journal], "train": [e.train for e in run.journal]}
        missing = [None] * (length - len(run.journal))
        curves = {
            f"{part}_{quantity}": [round(float(getattr(p, quantity)), 5) for p in found] + missing
            for part, found in phases.items()
            for quantity in ("accuracy", "loss")
        }
        series.append({"name": run.name, "role": run.role, **curves})
    text = json.dumps(
        strict({"epochs": list(range(1, length + 1)), "series": series}), separators=(",", ":")
    )
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _images(record: JobRecord, verdict: Verdict, split: Split) -> Images:
    students, teachers = record.of("student"), record.of("teacher")
    change = None
    if verdict.pairs:
        seeds = tuple(pair.seed for pair in verdict.pairs)
        change = find_changes(record, seeds, split, IMAGES_EACH)
    main = (students or record.of("control") or record.runs)[0]
    return Images(
        change=change,
        mistakes=find_mistakes(main, split, IMAGES_EACH),
        mistaken_run=main.name,
        disagreements=find_disagreements(teachers[0], students[0], split, IMAGES_EACH)
        if teachers and students
        else (),
    )


def _method(record: JobRecord) -> str:
    """Name the job's method with what its name stands for."""
    name = record.settings.get("method", "")
    label = METHOD_LABELS.get(name)
    return f"{name} ({label})" if label else name


def _read(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()


def _svg_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _minus(text: str) -> str:
    """Put a typographic minus before numbers."""
    return "".join(
        "\u2212" if c == "-" and text[i + 1 : i + 2].isdigit() and text[i - 1 : i] in "( " else c
        for i, c in enumerate(text)
    )
