"""The published result that the canonical job reproduces, and how its numbers were counted."""

from typing import NamedTuple

from tutelage.config.roles import Role
from tutelage.reports.record.types import JobRecord, RunRecord


class Published(NamedTuple):
    """One row of the published table."""

    network: str
    best_accuracy_percent: float
    size_mb: float
    epochs: int
    parameters_million: float
    gflops: float


TABLE: dict[tuple[Role, str], Published] = {
    ("teacher", "resnet34"): Published("ResNet-34", 89.5, 83.3, 5, 21.80, 7.36),
    ("student", "resnet18"): Published("ResNet-18", 89.0, 43.8, 50, 11.69, 3.66),
}

NOTE = (
    "The published 11.69 and 21.80 M parameters and 3.66 and 7.36 GFLOPs belong to the 1000-class networks "
    "in the table that the published report cites (PaddleClas); its 43.8 and 83.3 MB belong to the 10-class "
    "files (43.75 and 83.30 in KiB / 1000)."
)


def published_row(run: RunRecord) -> Published | None:
    """Return the published row of a run's role and network, if there is one."""
    names = (run.published_name, run.model.split(".")[0])
    keys = ["".join(c for c in name.lower() if c.isalnum()) for name in names]
    return next((TABLE[run.role, key] for key in keys if (run.role, key) in TABLE), None)


def has_published(record: JobRecord) -> bool:
    """Return whether the report shows any published row."""
    return any(published_row(run) for run in record.runs)
