"""The data, settings, environment and timings of a report as rows of text."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tutelage.reports.record.types import JobRecord, RunRecord
from tutelage.reports.wording import NONE, number, percent, spell_duration

ROWS_SHOWN = 40


class DataLines(NamedTuple):
    """The data section."""

    facts: list[tuple[str, str]]
    counts: list[tuple[str, int, int, int]]
    """Class, and its images in train, val and test."""
    counts_left_out: int
    notes: list[tuple[str, str]]
    quarantine: list[tuple[str, str]]
    quarantine_left_out: int
    leaks: list[tuple[str, int]]
    """Split, and its images with the pixels of a training image."""


class RunLine(NamedTuple):
    """Timings of one run."""

    run: RunRecord
    total: str
    speed: str
    waiting: str
    teacher_pass: str


class EnvironmentDetails(NamedTuple):
    """Settings, environment and timings of all runs."""

    timings: list[RunLine]
    job: list[tuple[str, str]]
    """Settings of the job."""
    shared: list[tuple[str, str]]
    """Settings that are equal in all runs."""
    different: list[tuple[str, list[str]]]
    """Other settings, with a value for each run."""
    environment: list[tuple[str, str]]
    environment_different: list[tuple[str, list[str]]]
    notes: list[tuple[str, str]]


def data_lines(record: JobRecord) -> DataLines | None:
    """Describe the data; None for runs without a job."""
    data = record.data
    if data is None:
        return None
    counts = []
    if data.class_counts is not None:
        names = [*record.classes, "without a label"]
        for name, (train, val, test) in zip(names, data.class_counts.tolist(), strict=True):
            if name != names[-1] or train + val + test:
                counts.append((name, train, val, test))
    facts = [
        ("images", f"{data.count:,}"),
        ("stored at", f"{data.image_size} x {data.image_size} pixels"),
        ("classes", f"{len(record.classes):,}"),
        ("fingerprint", data.fingerprint),
    ]
    facts += [(f"source: {key}", value) for key, value in data.source.items()]
    facts += [(f"packed with: {key}", value) for key, value in data.settings.items()]
    return DataLines(
        facts=facts,
        counts=counts[:ROWS_SHOWN],
        counts_left_out=max(0, len(counts) - ROWS_SHOWN),
        notes=[(key, value) for key, value in data.notes.items() if value != "0"],
        quarantine=list(data.quarantine[:ROWS_SHOWN]),
        quarantine_left_out=max(0, len(data.quarantine) - ROWS_SHOWN),
        leaks=list(data.leaks.items()),
    )


def run_details(record: JobRecord) -> EnvironmentDetails:
    """Describe settings, environment and timings of every run."""
    shared, different = split_shared([run.settings for run in record.runs])
    environment, environment_different = split_shared([run.environment for run in record.runs])
    return EnvironmentDetails(
        timings=[_timing(run) for run in (*record.runs, *record.specialists)],
        job=list(record.settings.items()),
        shared=shared,
        different=different,
        environment=environment,
        environment_different=environment_different,
        notes=[(run.name, note) for run in record.runs for note in run.notes][:ROWS_SHOWN],
    )


def split_shared(
    tables: Sequence[Mapping[str, str]],
) -> tuple[list[tuple[str, str]], list[tuple[str, list[str]]]]:
    """Split keys into those with one value everywhere, and those that differ, with each table's value."""
    shared, different = [], []
    for key in dict.fromkeys(key for table in tables for key in table):
        values = [table.get(key, NONE) for table in tables]
        if len(set(values)) == 1:
            shared.append((key, values[0]))
        else:
            different.append((key, values))
    return shared, different


def _timing(run: RunRecord) -> RunLine:
    timings = run.timings
    return RunLine(
        run=run,
        total=spell_duration(timings.total_seconds),
        speed=number(timings.images_per_second, 0),
        waiting=NONE if timings.data_wait is None else percent(timings.data_wait) + " %",
        teacher_pass=spell_duration(timings.teacher_pass_seconds),
    )
