"""The nouns of a report: what was read from finished run folders, as plain frozen facts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

Role = Literal[
    "teacher",
    "specialist",
    "assistant",
    "generation",
    "student",
    "control",
    "control-equal-compute",
    "peer-control",
]
Split = Literal["val", "test"]
ROLES: tuple[Role, ...] = get_args(Role)
SPLIT_WORDS: dict[Split, str] = {"val": "validation", "test": "test"}


class ClassScoreRecord(NamedTuple):
    """One class: shares in 0..1, `images` with that label."""

    images: int
    precision: float
    recall: float
    f1: float


class BinRecord(NamedTuple):
    """One confidence bin: mean confidence and accuracy of the predictions in it."""

    lower: float
    upper: float
    images: int
    confidence: float
    accuracy: float


class FidelityRecord(NamedTuple):
    """Closeness to the teacher: share of equal predictions, and KL(teacher || this) in nats."""

    agreement: float
    kl: float


class MetricsRecord(NamedTuple):
    """One network on one split; shares in 0..1, `confusion` [C, C] with a row for each label."""

    images: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    top5: float | None
    macro_f1: float
    nll: float
    brier: float
    ece: float
    per_class: tuple[ClassScoreRecord, ...]
    confusion: NDArray[np.int64]
    reliability: tuple[BinRecord, ...]
    fidelity: FidelityRecord | None


class ScoredRecord(NamedTuple):
    """One epoch of a run, measured; `test` is None without labelled test images."""

    epoch: int
    val: MetricsRecord
    test: MetricsRecord | None

    def on(self, split: Split) -> MetricsRecord | None:
        """The metrics of one split."""
        return self.val if split == "val" else self.test


class CostRecord(NamedTuple):
    """What a network costs: FLOPs of one image, multiply and add counted separately."""

    parameters: int
    flops: int
    size_bytes: int
    input_size: int
    parameters_1000: int | None
    flops_1000_224: int | None


class EpochRecord(NamedTuple):
    """One line of the journal."""

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    terms: Mapping[str, float]


class PullRecord(NamedTuple):
    """A term in one epoch: raw value, share of the loss, norm of its weighted gradient where measured."""

    value: float | None
    share: float | None
    gradient: float | None


class TermRecord(NamedTuple):
    """One term of a run: `points` are those of student and teacher, `pulls` one for each epoch."""

    name: str
    weight: float
    points: tuple[str, ...]
    adapters: tuple[str, ...]
    parameters: int
    pulls: tuple[PullRecord, ...]


class LatencyRecord(NamedTuple):
    """Milliseconds for one batch."""

    batch: int
    p50_ms: float
    p95_ms: float
    device: str


class TimingsRecord(NamedTuple):
    """Wall-clock facts; median speed, and the mean share of time spent waiting for data."""

    total_seconds: float
    images_per_second: float | None
    data_wait: float | None
    teacher_pass_seconds: float | None
    latency: tuple[LatencyRecord, ...]


class PredictionsRecord(NamedTuple):
    """Last-epoch answers: `ids` and `labels` int64 [N] (-1 unlabelled), `logits` float32 [N, C]."""

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]

    def labelled(self) -> "PredictionsRecord":
        """Only the images with a label, in order of id."""
        keep = np.flatnonzero(self.labels >= 0)
        keep = keep[np.argsort(self.ids[keep], kind="stable")]
        return PredictionsRecord(self.ids[keep], self.labels[keep], self.logits[keep])

    def only(self, position: int) -> "PredictionsRecord":
        """One image as a table of one row."""
        row = slice(position, position + 1)
        return PredictionsRecord(self.ids[row], self.labels[row], self.logits[row])

    def predicted(self) -> NDArray[np.int64]:
        """The predicted class of each image, int64 [N]."""
        return np.asarray(np.argmax(self.logits, axis=1), dtype=np.int64)

    def correct(self) -> NDArray[np.bool_]:
        """Whether each prediction equals its label, bool [N]."""
        return np.equal(self.predicted(), self.labels)

    def probabilities(self) -> NDArray[np.float64]:
        """Softmax of the logits at temperature 1, float64 [N, C]."""
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
    weights: str
    epochs: int
    last: ScoredRecord
    best: ScoredRecord
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
    beside: Mapping[str, Mapping[Split, PredictionsRecord]] = field(default_factory=dict)
    """What the networks that learned in the same run said, by their names."""


@dataclass(frozen=True, slots=True)
class DataRecord:
    """What the pack says about the images."""

    image_size: int
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
    """Images whose pixels also stand in the training split, by split."""
    keys: NDArray[np.int64] | None
    """[N], a name for the pixels of each image, which they are held to when they are shown."""
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
    classes: tuple[str, ...]
    runs: tuple[RunRecord, ...]
    data: DataRecord | None
    settings: Mapping[str, str]
    specialists: tuple[RunRecord, ...] = ()
    """Apart from all other runs, because they know other classes and nothing of theirs can be compared."""
    ensembles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The runs that are asked together, by the name of the student they belong to, which is the last one."""

    def of(self, role: Role) -> tuple[RunRecord, ...]:
        """The runs of one role, by seed."""
        chosen = [run for run in self.runs if run.role == role]
        return tuple(sorted(chosen, key=lambda run: (run.seed, run.name)))

    def alike(self, role: Role) -> tuple[RunRecord, ...]:
        """Those of a role that have the network of its first: what a mean over seeds can be taken of."""
        runs = self.of(role)
        return tuple(run for run in runs if run.model == runs[0].model)

    def split(self) -> Split:
        """The labelled test split where every run has one, else validation."""
        return "test" if all(run.last.test is not None for run in self.runs) else "val"
