"""The sections about a generalist and its specialists: their accuracy by group, and their training."""

from tutelage.reports.record.types import SPLIT_WORDS, JobRecord, Split
from tutelage.reports.render.section import Section
from tutelage.reports.statistics.specialists import (
    EnsembleScores,
    GroupAccuracy,
    ensemble_scores,
    run_scores,
)
from tutelage.reports.wording import number, percent, points, spell_duration


def specialist_sections(record: JobRecord) -> list[Section]:
    """Describe the ensemble that taught the students; empty without specialists."""
    scores = ensemble_scores(record)
    if scores is None:
        return []
    trained = ((run, run_scores(run).specialist) for run in record.specialists)
    return [
        Section(
            id="group",
            title="A generalist and its specialists",
            head=("Classes", "Images", "Generalist (%)", "Together (%)", "Difference (points)"),
            align="lrrrr",
            rows=_group_rows(scores, record.split()),
            note=_note(scores.active, record.split()),
        ),
        Section(
            id="specialist",
            title="The specialists",
            head=("Run", "Network", "Classes", "Own images", "Others per epoch", "Epochs", "Total"),
            align="lllrrrr",
            rows={
                run.name: [run.name, run.network, ", ".join(own.classes), number(own.own, 0),
                           f"{own.drawn:,} of {own.others:,}", str(run.epochs),
                           spell_duration(run.timings.total_seconds)]
                for run, own in trained if own is not None
            },
            note="Own images: training images of the specialist's classes. Others per epoch: training images "
            "of other classes that each epoch draws.",
        ),
    ]  # fmt: skip


def _group_rows(scores: EnsembleScores, split: Split) -> dict[str, list[str]]:
    found = scores.on(split)
    rows = dict(zip(map(", ".join, scores.groups), found.by_group, strict=False))
    if len(scores.groups) > 1:
        rows["all of these"] = found.in_groups
    whole = found.together
    rows["all classes"] = GroupAccuracy(whole["images"], found.generalist, whole["accuracy"])
    return {name: [name, *_cells(*group)] for name, group in rows.items()}


def _cells(images: int, alone: float | None, both: float | None) -> list[str]:
    gain = None if alone is None or both is None else both - alone
    return [number(images, 0), percent(alone), percent(both), points(gain)]


def _note(active: int, split: Split) -> str:
    known = "the class" if active == 1 else f"one of the {active} classes"
    chosen = " The groups were chosen on these images too." if split == "val" else ""
    return (
        f"Accuracy (%) on the {SPLIT_WORDS[split]} images after the last epoch. A specialist has a class for "
        f"each of its group and one for all others; it is used for an image if it knows {known} that the "
        "generalist finds most likely. Together: the distribution with the smallest sum of KL divergences "
        f"from the networks used, which is what the student was taught.{chosen}"
    )
