"""A batch that several processes share: what each term needs to see of the others' parts."""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from torch import Tensor

from tutelage.types import Batch, ModelOutput, TeacherOutput


class BatchGather(NamedTuple):
    """How parts of a batch in several processes become one.

    gather: (rows of this process [b, ...], B) -> rows of all [B, ...], by rank; gradients flow back.
    average: (mean over this process's images, their share of the batch) -> the mean over all of them.
    """

    gather: Callable[[Tensor, int], Tensor]
    average: Callable[[Tensor, float], Tensor]


def gather_labels(batch: Batch, sharing: BatchGather | None) -> Tensor:
    """The labels [B] of the whole batch, from this process's part of it."""
    return gather_rows(batch.labels, batch, sharing)


def gather_rows(rows: Tensor, batch: Batch, sharing: BatchGather | None) -> Tensor:
    """One row an image of this process [b, ...] -> one an image of the whole batch [B, ...]."""
    if sharing is None or batch.whole is None:
        return rows
    return sharing.gather(rows, batch.whole)


def gather_mean(value: Tensor, batch: Batch, sharing: BatchGather | None) -> Tensor:
    """A mean over this process's images -> over those of all."""
    if sharing is None or batch.whole is None:
        return value
    return sharing.average(value, len(batch.ids) / batch.whole)


def gather_batch(
    output: ModelOutput,
    signal: TeacherOutput,
    batch: Batch,
    points: Collection[str],
    sharing: BatchGather | None,
) -> tuple[ModelOutput, TeacherOutput, Batch]:
    """The whole batch's logits, labels and features, from this process's part of it.

    Terms then mean over the whole batch, whatever they compare, and every process has the same loss: that
    is why several processes train as one would. Images stay where they are, and so do features of
    other points.
    """
    if sharing is None or batch.whole is None:
        return output, signal, batch

    def all_of(tensor: Tensor) -> Tensor:
        return gather_rows(tensor, batch, sharing)

    def all_at(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: all_of(found) for name, found in features.items() if name in points}

    mixed = batch.mixed and type(batch.mixed)(*(all_of(part) for part in batch.mixed))
    return (
        ModelOutput(all_of(output.logits), all_at(output.features)),
        TeacherOutput(
            None if signal.logits is None else all_of(signal.logits), all_at(signal.features)
        ),
        batch._replace(labels=all_of(batch.labels), ids=all_of(batch.ids), mixed=mixed),
    )
