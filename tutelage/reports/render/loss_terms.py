"""The section about the loss terms of a student: their points and adapters, values, shares and gradients."""

from collections.abc import Sequence

from tutelage.config.renamed import current_name
from tutelage.reports.record.types import JobRecord, TermRecord
from tutelage.reports.render.section import Section
from tutelage.reports.wording import NONE


def loss_sections(record: JobRecord) -> list[Section]:
    """Describe the loss terms of the first student; empty without distillation, or for older versions."""
    run = next((run for run in record.of("student") if run.terms), None)
    if run is None:
        return []
    inside = any(term.points for term in run.terms)
    head = ["Term", "Weight", "Value", "Share of the loss (%)", "Gradient"]
    return [
        Section(
            id="term",
            title="What the student was taught",
            head=[*head, *(["Student / teacher", "Adapters"] if inside else [])],
            align="lrrrrll" if inside else "lrrrr",
            rows={t.name: [*_numbers(t), *(_places(t) if inside else [])] for t in run.terms},
            note=f"{run.name}, from the first epoch to the last: the term's mean over the training images, "
            "its weighted share of the loss, and the norm of its weighted gradient with respect to the "
            "weights of the student, measured on the first batch of these two epochs."
            + (" Shapes are those of one image." if inside else ""),
        )
    ]


def _numbers(term: TermRecord) -> list[str]:
    return [
        current_name("losses", term.name).replace("_", "-"),
        f"{term.weight:.4g}",
        _first_to_last([pull.value for pull in term.pulls], "{:.3g}"),
        _first_to_last([pull.share for pull in term.pulls], "{:.1f}", 100),
        _first_to_last([pull.gradient for pull in term.pulls], "{:.2g}"),
    ]


def _places(term: TermRecord) -> list[str]:
    points = [
        f"{p.student} [{_shape(p.student_shape)}] / {p.teacher} [{_shape(p.teacher_shape)}]"
        for p in term.points
    ]
    adapters = ", ".join(term.adapters)
    if term.parameters:
        adapters = f"{adapters or 'own weights'} ({term.parameters:,} parameters)"
    return ["\n".join(points) or NONE, adapters or NONE]


def _shape(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))


def _first_to_last(values: Sequence[float | None], form: str, scale: float = 1.0) -> str:
    known = [form.format(scale * value) for value in values if value is not None]
    if not known:
        return NONE
    return known[0] if len(known) == 1 else f"{known[0]} to {known[-1]}"
