"""A generalist and its specialists: the classes of each, and the accuracy of their ensemble."""

from pathlib import Path
from typing import NamedTuple

from tutelage.reports.record.files import to_record
from tutelage.reports.record.types import SPLIT_WORDS, JobRecord, RunRecord, Split
from tutelage.reports.wording import count_of, percent
from tutelage.storage.scores import Metrics


class GroupAccuracy(NamedTuple):
    """The accuracy on the images of some classes; None if there are no images."""

    images: int
    generalist: float | None
    together: float | None
    """Of the ensemble of the generalist and its specialists."""


class SplitAccuracy(NamedTuple):
    """The accuracies on one split."""

    generalist: float
    together: Metrics
    by_group: tuple[GroupAccuracy, ...]
    in_groups: GroupAccuracy
    """On the images of all groups."""


class EnsembleScores(NamedTuple):
    """The generalist and specialists that taught a student."""

    groups: tuple[tuple[str, ...], ...]
    """The classes of each specialist."""
    active: int
    """A specialist is used for an image if it knows one of this many likeliest classes."""
    val: SplitAccuracy
    test: SplitAccuracy | None = None

    def on(self, split: Split) -> SplitAccuracy:
        """Return the accuracies on one split; on validation if the test split has no labels."""
        return self.test if split == "test" and self.test is not None else self.val


class SpecialistScores(NamedTuple):
    """The training data of a specialist."""

    classes: tuple[str, ...]
    own: int
    """Images of its classes."""
    drawn: int
    """Images of other classes that each epoch draws."""
    others: int
    """Images of other classes that it draws from."""


class RunScores(NamedTuple):
    """The parts of scores.json that only specialists, and students of specialists, have."""

    council: EnsembleScores | None = None
    specialist: SpecialistScores | None = None


def run_scores(run: RunRecord) -> RunScores:
    """Read these parts of a run's scores.json; InputError if a field is missing or mistyped."""
    return to_record(RunScores, run.scores, Path(run.name) / "scores.json")


def ensemble_scores(record: JobRecord) -> EnsembleScores | None:
    """Return the ensemble of the first student, which is that of all; None without specialists."""
    found = (run_scores(run).council for run in record.runs)
    return next((scores for scores in found if scores is not None), None)


def specialist_sentences(record: JobRecord) -> list[str]:
    """State the accuracy of a generalist and its specialists together; nothing without them."""
    found, split = ensemble_scores(record), record.split()
    if found is None:
        return []
    scores, specialists = found.on(split), count_of(len(found.groups), "specialist")
    together, groups = scores.together["accuracy"], scores.in_groups
    return [
        f"Together, the generalist and its {specialists} classify {percent(together)} % of the "
        f"{SPLIT_WORDS[split]} images correctly, the generalist alone {percent(scores.generalist)} %; on the "
        f"classes of the specialists {percent(groups.together)} % and {percent(groups.generalist)} %."
    ]
