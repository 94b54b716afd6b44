"""Settings of asking a teacher: when, and where its answers are kept."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Asking:
    """When the teacher is asked about the pictures, and where its answers are kept."""

    ask: Literal["auto", "ahead", "live"] = "auto"
    """`ahead`: before training, once about every view, kept for later students; `live`: at every step.
    `auto`: ahead, unless the answers would take more than 4 GB.
    """

    cache: str | None = None
    """Folder in which teachers' answers are kept; unset: `teacher-cache` beside the run folder."""
