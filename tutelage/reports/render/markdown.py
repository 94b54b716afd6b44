"""report.md: the verdict and the tables as plain Markdown, every name escaped."""

from collections.abc import Iterable, Sequence

from tutelage.reports.record.types import SPLIT_WORDS, JobRecord
from tutelage.reports.render.environment import data_lines, run_details
from tutelage.reports.render.figures import Figure
from tutelage.reports.render.html_sections import class_lines, plateau_sentences
from tutelage.reports.render.loss_terms import loss_term_table
from tutelage.reports.render.peers import peer_lines, peer_note
from tutelage.reports.render.published import NOTE, has_published
from tutelage.reports.render.tables import (
    accuracy_with_interval,
    chosen_note,
    comparison_table,
    published_form,
    roles_of,
)
from tutelage.reports.statistics.secondary import secondary_sentences
from tutelage.reports.statistics.specialists import specialists_summary
from tutelage.reports.statistics.verdict import Verdict
from tutelage.reports.wording import NONE, count_of, markdown_cell, percent, points


def render_markdown(record: JobRecord, verdict: Verdict, figures: Sequence[Figure]) -> str:
    """The whole file; the same record gives the same bytes."""
    split = record.split()
    parts = [f"# {markdown_cell(record.title)}", verdict.sentence, *secondary_sentences(record)]
    if any(run.weights == "none" for run in record.of("teacher")):
        parts.append("The teacher started from random weights: no pretrained weights were used.")
    parts += ["## Results in the published form", _published(record)]
    if has_published(record):
        parts.append(NOTE)
    parts += ["## Comparison", _comparison(record, verdict), chosen_note(split)]
    parts += ["### Every run", _runs(record)]
    if verdict.pairs:
        parts += ["### Seed by seed", _pairs(verdict)]
    parts += _sides(record)
    parts += _council(record)
    parts += _lesson(record)
    parts += ["## Curves", *plateau_sentences(record)]
    parts += [f"![{markdown_cell(f.caption)}](figures/{f.name}.png)" for f in figures]
    parts += [f"## Class by class ({SPLIT_WORDS[split]})", _classes(record)]
    parts += _data(record)
    parts += ["## Time", _timings(record)]
    if notes := run_details(record).notes:
        parts += ["## Notes from training", markdown_table(["Run", "Note"], notes)]
    return "\n\n".join(parts) + "\n"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    lines = [
        head,
        [":--", *["--:"] * (len(head) - 1)],
        *[list(map(markdown_cell, r)) for r in rows],
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _published(record: JobRecord) -> str:
    head = ["Network", "", "Best accuracy (%)", "Size (MB)", "Size (KiB / 1000)", "Epochs",
            "Parameters (M)", "FLOPs (G)"]  # fmt: skip
    return markdown_table(
        head,
        [
            [f"{line.role.capitalize()}, {line.network}", line.kind, line.accuracy.text,
             line.size_mb, line.size_kib, line.epochs, line.parameters, line.flops]
            for line in published_form(record)
        ],
    )  # fmt: skip


def _comparison(record: JobRecord, verdict: Verdict) -> str:
    roles = roles_of(record)
    rows = []
    for line in comparison_table(record, verdict):
        note = f" ({line.difference.note})" if line.difference.note else ""
        cells = [line.cells[role].text for role in roles]
        rows.append([line.label, *cells, line.difference.text + note])
    return markdown_table(["", *(role.capitalize() for role in roles), "Student - control"], rows)


def _runs(record: JobRecord) -> str:
    split = record.split()
    rows = []
    for run in record.runs:
        last = accuracy_with_interval(run.last.on(split))
        best = accuracy_with_interval(run.best.on(split))
        rows.append(
            [run.name, run.published_name or run.model, str(run.seed), last.text, last.note,
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


def _sides(record: JobRecord) -> list[str]:
    found = peer_lines(record)
    if not found:
        return []
    head = ["Run", "Who", "Network", "Accuracy (%)", "95 % interval", "Validation (%)",
            "Negative log-likelihood", "Parameters (M)", "Alone (%)", "Gain (points)",
            "Best on validation"]  # fmt: skip
    rows = [[*side[:-1], "yes" if side.best else ""] for side in found]
    return ["## Learned side by side", markdown_table(head, rows), peer_note(record.split())]


def _council(record: JobRecord) -> list[str]:
    found = specialists_summary(record)
    if found is None:
        return []
    head = ["Classes", "Images", "Generalist (%)", "Together (%)", "Difference"]
    parts = ["## A generalist and its specialists", markdown_table(head, found.seats), found.note]
    if found.trained:
        head = ["Run", "Network", "Classes", "Own images", "Others an epoch", "Epochs", "Total"]
        parts += ["### The specialists", markdown_table(head, found.trained)]
    return parts


def _lesson(record: JobRecord) -> list[str]:
    found = loss_term_table(record)
    if found is None:
        return []
    head = [
        "Term",
        "Weight",
        "Value",
        "Share of the loss (%)",
        "Gradient",
        "Student / teacher",
        "Adapters",
    ]
    rows = [
        [line.name, line.weight, line.value, line.share, line.gradient,
         "; ".join(line.where).replace(" | ", " / ") or NONE, line.adapters]
        for line in found.lines
    ]  # fmt: skip
    note = (
        f"{found.run}, from the first epoch to the last. Gradient: its norm, of the weighted term by the "
        "student's weights, on the first batch of these epochs."
    )
    return ["## What the student was taught", markdown_table(head, rows), note]


def _classes(record: JobRecord) -> str:
    roles = roles_of(record)
    lines, cut = class_lines(record)
    head = ["Class", "Images", *(f"{role.capitalize()} right (%)" for role in roles)]
    shown = markdown_table(
        [*head, "Student - control"],
        [
            [line.name, str(line.images), *(line.recalls[role].text for role in roles),
             line.difference.text]
            for line in lines
        ],
    )  # fmt: skip
    return shown + ("\n\nThe widest differences only; per_class.csv has all." if cut else "")


def _data(record: JobRecord) -> list[str]:
    data = data_lines(record)
    if data is None:
        return []
    parts = ["## Data", markdown_table(["", ""], data.facts)]
    if data.counts:
        rows = [[name, str(train), str(val), str(test)] for name, train, val, test in data.counts]
        parts.append(markdown_table(["Class", "Training", "Validation", "Test"], rows))
    parts += [
        f"{count_of(leaked, 'image')} of the {name} split with the pixels of a training image."
        for name, leaked in data.leaks
    ]
    if data.quarantine:
        parts += ["### Left out", markdown_table(["File", "Reason"], data.quarantine)]
    return parts


def _timings(record: JobRecord) -> str:
    return markdown_table(
        ["Run", "Total", "Images a second", "Waiting for data", "Teacher pass"],
        [
            [line.run.name, line.total, line.speed, line.waiting, line.teacher_pass]
            for line in run_details(record).timings
        ],
    )
