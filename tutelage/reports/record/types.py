"""The records of a report: what was read from finished run folders, as frozen values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from tutelage.config.image_size import ImageSize
from tutelage.config.roles import Role
from tutelage.storage.scores import Latency, Metrics

Split = Literal["val", "test"]
ROLES: tuple[Role, ...] = get_args(Role)
SPLIT_WORDS: dict[Split, str] = {"val": "validation", "test": "test"}


class ScoredRecord(NamedTuple):
    """The metrics of a network, or of an ensemble, after one epoch."""

    val: Metrics
    test: Metrics | None = None
    """None without labelled test images."""
    epoch: int = 0

    def on(self, split: Split) -> Metrics | None:
        """Return the metrics on one split."""
        return self.val if split == "val" else self.test


class CostRecord(NamedTuple):
    """The cost of a network. FLOPs are of one image; a multiply and an add count as two."""

    parameters: int
    flops: int
    size_bytes: int
    input_size: ImageSize
    """Height and width of its input in pixels."""
    parameters_1000: int | None = None
    """Of the same network with 1000 classes."""
    flops_1000_224: int | None = None
    """Of the same network with 1000 classes on images of 224 x 224."""


class PhaseRecord(NamedTuple):
    """One epoch on one split; NaN where the journal has null."""

    loss: float = math.nan
    accuracy: float = math.nan
    terms: Mapping[str, float | None] = {}
    """Mean of each loss term, unweighted."""
    shares: Mapping[str, float | None] = {}
    """Share of each weighted loss term in the loss."""


class EpochRecord(NamedTuple):
    """One epoch of the journal."""

    epoch: int
    train: PhaseRecord
    val: PhaseRecord
    lr: float = 0.0


class PullRecord(NamedTuple):
    """A loss term in one epoch."""

    value: float | None
    """Mean over the training images, unweighted."""
    share: float | None
    """Share of the weighted term in the loss."""
    gradient: float | None
    """Norm of the weighted term's gradient, in the epochs in which it was measured."""


class PointRecord(NamedTuple):
    """Two feature points that a loss term compares, with shapes without the batch."""

    student: str
    student_shape: tuple[int, ...]
    teacher: str
    teacher_shape: tuple[int, ...]


class TermRecord(NamedTuple):
    """One loss term of a run."""

    name: str
    weight: float
    points: tuple[PointRecord, ...]
    adapters: tuple[str, ...]
    parameters: int
    """Of the term's own weights, adapters included."""
    pulls: tuple[PullRecord, ...] = ()
    """One for each epoch."""


class TimingsRecord(NamedTuple):
    """Wall-clock times of a run."""

    total_seconds: float
    images_per_second: float | None
    """Median over epochs."""
    data_wait: float | None
    """Mean share of the time spent waiting for data."""
    teacher_pass_seconds: float | None
    """Time for computing the teacher's outputs in advance; None where they were cached."""
    latency: tuple[Latency, ...]


class PredictionsRecord(NamedTuple):
    """The predictions of the last epoch on N images."""

    ids: NDArray[np.int64]
    """int64 [N], rows of the pack."""
    labels: NDArray[np.int64]
    """int64 [N], -1 where unlabelled."""
    logits: NDArray[np.float32]
    """float32 [N, C]."""

    def labelled(self) -> "PredictionsRecord":
        """Select the images with a label, in order of id."""
        keep = np.flatnonzero(self.labels >= 0)
        return self.rows(keep[np.argsort(self.ids[keep], kind="stable")])

    def rows(self, index: NDArray[np.int64] | slice) -> "PredictionsRecord":
        """Select some rows."""
        return PredictionsRecord(self.ids[index], self.labels[index], self.logits[index])

    def predicted(self) -> NDArray[np.int64]:
        """Return the predicted class of each image, int64 [N]."""
        return np.asarray(np.argmax(self.logits, axis=1), dtype=np.int64)

    def correct(self) -> NDArray[np.bool_]:
        """Return whether each prediction equals its label, bool [N]."""
        return np.equal(self.predicted(), self.labels)

    def probabilities(self) -> NDArray[np.float64]:
        """Return the softmax of the logits at temperature 1, float64 [N, C]."""
        logits = self.logits.astype(np.float64)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One finished run folder."""

    name: str
    role: Role
    seed: int
    model: str
    published_name: str
    """The network's name in its paper; may be empty."""
    weights: str
    """Where the initial weights came from; "none" if they were random."""
    epochs: int
    last: ScoredRecord
    best: ScoredRecord
    """The epoch that was best on validation."""
    cost: CostRecord
    journal: tuple[EpochRecord, ...]
    terms: tuple[TermRecord, ...]
    notes: tuple[str, ...]
    timings: TimingsRecord
    settings: Mapping[str, str]
    environment: Mapping[str, str]
    predictions: Mapping[Split, PredictionsRecord]
    scores: Mapping[str, object]
    """scores.json as it was read."""
    peers: Mapping[str, Mapping[Split, PredictionsRecord]] = field(default_factory=dict)
    """Predictions of the networks trained in the same run, by peer name."""

    @property
    def network(self) -> str:
        """The network's published name, or else its model name."""
        return self.published_name or self.model


@dataclass(frozen=True, slots=True)
class DataRecord:
    """The images of a job, as its pack describes them."""

    classes: tuple[str, ...]
    image_size: ImageSize
    count: int
    source: Mapping[str, str]
    settings: Mapping[str, str]
    notes: Mapping[str, str]
    quarantine: tuple[tuple[str, str], ...]
    """File and reason."""
    fingerprint: str
    class_counts: NDArray[np.int64] | None
    """[C + 1, 3] images by class (last row unlabelled) and split (train, val, test)."""
    leaks: Mapping[str, int]
    """By split: how many of its images have the pixels of a training image."""
    keys: NDArray[np.int64] | None
    """[N], a hash of each image's pixels, checked before the image is shown."""
    pixels: NDArray[np.uint8] | None
    """[N, S, S, 3], memory-mapped."""
    files: Mapping[int, str]
    """File name by image id."""


@dataclass(frozen=True, slots=True)
class JobRecord:
    """Everything a report is made of."""

    title: str
    recipe: str
    temperature: float | None
    alpha: float | None
    """Weight of the teacher's loss term."""
    classes: tuple[str, ...]
    runs: tuple[RunRecord, ...]
    data: DataRecord | None
    """None for runs without a job."""
    settings: Mapping[str, str]
    specialists: tuple[RunRecord, ...] = ()
    """Kept apart from `runs`: they have other classes, so nothing of theirs can be compared."""
    ensembles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By student: the runs of its born-again ensemble, the student last."""

    def of(self, role: Role) -> tuple[RunRecord, ...]:
        """Return the runs of one role, by seed."""
        chosen = [run for run in self.runs if run.role == role]
        return tuple(sorted(chosen, key=lambda run: (run.seed, run.name)))

    def alike(self, role: Role) -> tuple[RunRecord, ...]:
        """Return the runs of a role with the network of its first: those to average over."""
        runs = self.of(role)
        return tuple(run for run in runs if run.model == runs[0].model)

    def metrics(self, role: Role) -> list[Metrics]:
        """Return the last epoch's metrics of the runs `alike`, on the split of the report."""
        split = self.split()
        return [found for run in self.alike(role) if (found := run.last.on(split)) is not None]

    def split(self) -> Split:
        """Return the test split if it is labelled in every run, else validation."""
        return "test" if all(run.last.test is not None for run in self.runs) else "val"
