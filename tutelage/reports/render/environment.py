"""The data, settings, environment and timings of a report as rows of text."""

from collections.abc import Mapping, Sequence

from tutelage.config.image_size import spell_size
from tutelage.reports.record.types import DataRecord, JobRecord, RunRecord
from tutelage.reports.wording import NONE, number, percent, spell_duration

ROWS_SHOWN = 40
TIMING_HEAD = ("Total", "Images per second", "Waiting for data", "Teacher pass")
Rows = list[tuple[str, str]]


def data_facts(data: DataRecord) -> Rows:
    """List what is known of the data as a whole."""
    return [
        ("images", f"{data.count:,}"),
        ("stored at", f"{spell_size(data.image_size)} pixels"),
        ("classes", f"{len(data.classes):,}"),
        ("fingerprint", data.fingerprint),
        *((f"source: {key}", value) for key, value in data.source.items()),
        *((f"packed with: {key}", value) for key, value in data.settings.items()),
    ]


def class_counts(data: DataRecord) -> list[tuple[str, int, int, int]]:
    """List the images of each class in train, val and test; empty without the pack."""
    if data.class_counts is None:
        return []
    names = [*data.classes, "without a label"]
    rows = [(name, *row) for name, row in zip(names, data.class_counts.tolist(), strict=True)]
    return rows if any(rows[-1][1:]) else rows[:-1]


def missing_classes(data: DataRecord) -> list[str]:
    """Say which classes a split that measures has no image of; empty without the pack."""
    if data.class_counts is None:
        return []
    counts = data.class_counts[: len(data.classes)]
    said = []
    for name, column in (("validation", 1), ("test", 2)):
        names = [data.classes[row] for row in (counts[:, column] == 0).nonzero()[0]]
        if names and counts[:, column].any():
            more = f" and {len(names) - ROWS_SHOWN} more" if len(names) > ROWS_SHOWN else ""
            said.append(f"No {name} image of {', '.join(names[:ROWS_SHOWN])}{more}.")
    return said


def timings_of(run: RunRecord) -> list[str]:
    """Format the timings of one run, under `TIMING_HEAD`."""
    timings = run.timings
    waiting = NONE if timings.data_wait is None else percent(timings.data_wait) + " %"
    return [
        spell_duration(timings.total_seconds),
        number(timings.images_per_second, 0),
        waiting,
        spell_duration(timings.teacher_pass_seconds),
    ]


def training_notes(record: JobRecord) -> Rows:
    """List the notes from training with the run of each."""
    return [(run.name, note) for run in record.runs for note in run.notes][:ROWS_SHOWN]


def split_shared(
    tables: Sequence[Mapping[str, str]],
) -> tuple[Rows, list[tuple[str, list[str]]]]:
    """Split keys into those with one value everywhere, and those that differ, with each table's value."""
    shared, different = [], []
    for key in dict.fromkeys(key for table in tables for key in table):
        values = [table.get(key, NONE) for table in tables]
        if len(set(values)) == 1:
            shared.append((key, values[0]))
        else:
            different.append((key, values))
    return shared, different
