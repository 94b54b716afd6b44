"""Render report.md: the verdict and the tables as plain Markdown, every name escaped."""

from collections.abc import Iterable, Sequence

from tutelage.reports.record.types import SPLIT_WORDS, DataRecord, JobRecord
from tutelage.reports.render import environment, tables
from tutelage.reports.render.figures import Figure
from tutelage.reports.render.html_sections import class_lines, extra_sections, plateau_sentences
from tutelage.reports.render.published import NOTE, has_published
from tutelage.reports.render.section import Section
from tutelage.reports.statistics.secondary import secondary_sentences
from tutelage.reports.statistics.verdict import Verdict
from tutelage.reports.wording import count_of, markdown_cell, percent, points, role_label


def render_markdown(record: JobRecord, verdict: Verdict, figures: Sequence[Figure]) -> str:
    """Render the whole file; the same record gives the same bytes."""
    split = record.split()
    parts = [f"# {markdown_cell(record.title)}", verdict.sentence]
    parts += map(markdown_cell, secondary_sentences(record))
    if any(run.weights == "none" for run in record.of("teacher")):
        parts.append("The teacher started from random weights: no pretrained weights were used.")
    parts += [
        "## Results in the published form",
        markdown_table(
            tables.PUBLISHED_HEAD, [line.cells for line in tables.published_form(record)]
        ),
    ]
    if has_published(record):
        parts.append(NOTE)
    parts += ["## Comparison", _comparison(record, verdict), tables.chosen_note(split)]
    parts += ["### Every run", _runs(record)]
    if verdict.pairs:
        parts += ["### Seed by seed", _pairs(verdict)]
    for section in extra_sections(record):
        parts += [f"## {section.title}", _table(section), markdown_cell(section.note)]
    parts += ["## Curves", *plateau_sentences(record)]
    parts += [f"![{markdown_cell(f.caption)}](figures/{f.name}.png)" for f in figures]
    parts += [f"## Class by class ({SPLIT_WORDS[split]})", _classes(record)]
    parts += _data(record.data) if record.data is not None else []
    rows = [[run.name, *environment.timings_of(run)] for run in (*record.runs, *record.specialists)]
    parts += ["## Time", markdown_table(["Run", *environment.TIMING_HEAD], rows)]
    if notes := environment.training_notes(record):
        parts += ["## Notes from training", markdown_table(["Run", "Note"], notes)]
    return "\n\n".join(parts) + "\n"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Render a Markdown table, the first column to the left and the others to the right."""
    rule = [":--", *["--:"] * (len(head) - 1)]
    lines = [head, rule, *(list(map(markdown_cell, row)) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _table(section: Section) -> str:
    rows = [[cell.replace("\n", "; ") for cell in row] for row in section.rows.values()]
    return markdown_table(section.head, rows)


def _comparison(record: JobRecord, verdict: Verdict) -> str:
    roles = tables.roles_of(record)
    rows = []
    for line in tables.comparison_table(record, verdict):
        note = f" ({line.difference.note})" if line.difference.note else ""
        cells = [line.cells[role].text for role in roles]
        rows.append([line.label, *cells, line.difference.text + note])
    return markdown_table(["", *map(role_label, roles), "Student - control"], rows)


def _runs(record: JobRecord) -> str:
    split = record.split()
    rows = []
    for run in record.runs:
        last = tables.accuracy_with_interval(run.last.on(split))
        best = tables.accuracy_with_interval(run.best.on(split))
        rows.append(
            [run.name, run.network, str(run.seed), last.text, last.note,
             best.text, f"{run.best.epoch} of {run.epochs}"]
        )  # fmt: skip
    head = ["Run", "Network", "Seed", "Accuracy, last (%)", "95 % interval", "Accuracy, best (%)",
            "Best epoch"]  # fmt: skip
    return markdown_table(head, rows)


def _pairs(verdict: Verdict) -> str:
    return markdown_table(
        ["Seed", "Student (%)", "Control (%)", "Difference", "Images gained", "Images lost"],
        [
            [str(p.seed), percent(p.student_accuracy, 2), percent(p.control_accuracy, 2),
             points(p.difference, 2), str(p.gained), str(p.lost)]
            for p in verdict.pairs
        ],
    )  # fmt: skip


def _classes(record: JobRecord) -> str:
    roles = tables.roles_of(record)
    lines, cut = class_lines(record)
    head = ["Class", "Images", *(f"{role_label(role)}: recall (%)" for role in roles)]
    shown = markdown_table(
        [*head, "Student - control"],
        [
            [line.name, str(line.images), *(line.recalls[role].text for role in roles),
             line.difference.text]
            for line in lines
        ],
    )  # fmt: skip
    return shown + (
        "\n\nThe widest differences only; per_class.csv has all classes." if cut else ""
    )


def _data(data: DataRecord) -> list[str]:
    parts = ["## Data", markdown_table(["", ""], environment.data_facts(data))]
    if counts := environment.class_counts(data)[: environment.ROWS_SHOWN]:
        rows = [[name, *map(str, images)] for name, *images in counts]
        parts.append(markdown_table(["Class", "Training", "Validation", "Test"], rows))
    parts += environment.missing_classes(data)
    parts += [
        f"{count_of(leaked, 'image')} of the {name} split with exactly the pixels of a training image."
        for name, leaked in data.leaks.items()
    ]
    if data.quarantine:
        rows = [list(row) for row in data.quarantine[: environment.ROWS_SHOWN]]
        parts += ["### Left out", markdown_table(["File", "Reason"], rows)]
    return parts
