"""The HTML page: one file, no request to any network, every name escaped by the template engine."""

import base64
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tutelage.reports.record.fields import strict
from tutelage.reports.record.types import SPLIT_WORDS, JobRecord, Split
from tutelage.reports.render.environment import data_lines, run_details
from tutelage.reports.render.figures import Figure
from tutelage.reports.render.gallery import (
    Change,
    Shown,
    find_changes,
    find_disagreements,
    find_mistakes,
)
from tutelage.reports.render.html_sections import (
    class_lines,
    confusions,
    panels,
    plateau_sentences,
    tiles,
)
from tutelage.reports.render.loss_terms import loss_term_table
from tutelage.reports.render.peers import peer_lines, peer_note
from tutelage.reports.render.published import NOTE, has_published
from tutelage.reports.render.svg_charts import draw_whisker
from tutelage.reports.render.tables import (
    accuracy_with_interval,
    chosen_note,
    comparison_table,
    published_form,
    roles_of,
)
from tutelage.reports.render.thumbnails import Thumbnails
from tutelage.reports.statistics.secondary import secondary_sentences
from tutelage.reports.statistics.specialists import specialists_summary
from tutelage.reports.statistics.verdict import Verdict
from tutelage.reports.wording import count_of, number, percent, points, short, spell_duration

FOLDER = Path(__file__).parent
IMAGES_EACH = 12
IMAGE_BUDGET = 600_000


class Images(NamedTuple):
    """The galleries, each empty where its runs do not exist."""

    change: Change | None
    mistakes: tuple[Shown, ...]
    mistaken_run: str
    disagreements: tuple[Shown, ...]


def render_page(record: JobRecord, verdict: Verdict, figures: list[Figure]) -> str:
    """The whole page as text; the same record gives the same bytes."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent, points=points, number=number, short=short, minus=_minus
    )
    environment.globals.update(count_of=count_of, duration=spell_duration)
    style = _read("vendor/uPlot.min.css") + _read("templates/report.css")
    notice = f"/*! uPlot\n{_read('vendor/uPlot.LICENSE')}\n*/\n"
    script = notice + _read("vendor/uPlot.iife.min.js") + "\n" + _read("templates/report.js")
    lines, classes_cut = class_lines(record)
    split = record.split()
    return environment.get_template("report.html.j2").render(
        record=record,
        verdict=verdict,
        split=split,
        split_word=SPLIT_WORDS[split],
        further=secondary_sentences(record),
        whisker=draw_whisker(verdict),
        tiles=tiles(record),
        roles=roles_of(record),
        published=published_form(record),
        published_note=NOTE if has_published(record) else "",
        comparison=comparison_table(record, verdict),
        chosen_note=chosen_note(split),
        accuracy=accuracy_with_interval,
        plateaus=plateau_sentences(record),
        class_lines=lines,
        classes_cut=classes_cut,
        panels=panels(record),
        confusions=confusions(record),
        figures=[(figure, _svg_uri(figure.svg), _svg_uri(figure.dark_svg)) for figure in figures],
        images=_images(record, verdict, split),
        thumbnails=Thumbnails(record.data, IMAGE_BUDGET),
        data=data_lines(record),
        details=run_details(record),
        lesson=loss_term_table(record),
        sides=peer_lines(record),
        sides_note=peer_note(split),
        council=specialists_summary(record),
        random_teacher=any(run.weights == "none" for run in record.of("teacher")),
        curves=Markup(curve_data(record)),
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def curve_data(record: JobRecord) -> str:
    r"""Every run's journal as JSON for a script element: `<`, `>` and `&` as \u escapes."""
    length = max((len(run.journal) for run in record.runs), default=0)
    keys = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")
    series = [
        {
            "name": run.name,
            "role": run.role,
            **{
                key: [round(float(getattr(epoch, key)), 5) for epoch in run.journal]
                + [None] * (length - len(run.journal))
                for key in keys
            },
        }
        for run in record.runs
        if run.journal
    ]
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


def _read(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()


def _svg_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _minus(text: str) -> str:
    """A typographic minus before numbers."""
    return "".join(
        "\u2212" if c == "-" and text[i + 1 : i + 2].isdigit() and text[i - 1 : i] in "( " else c
        for i, c in enumerate(text)
    )
