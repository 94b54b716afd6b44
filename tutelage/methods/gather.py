"""Gather a batch that is split over several processes."""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from torch import Tensor

from tutelage.types import Batch, ModelOutput, TeacherOutput


class BatchGather(NamedTuple):
    """Operations that combine the parts of a batch held by several processes."""

    gather: Callable[[Tensor, int], Tensor]
    """(rows of this process [b, ...], B) -> rows of all [B, ...], by rank; gradients flow back."""

    average: Callable[[Tensor, float], Tensor]
    """(mean over this process's images, their share of the batch) -> the mean over all images."""


def gather_rows(rows: Tensor, batch: Batch, sharing: BatchGather | None) -> Tensor:
    """Gather one row per image: [b, ...] in this process -> [B, ...] for the whole batch."""
    if sharing is None or batch.whole is None:
        return rows
    return sharing.gather(rows, batch.whole)


def gather_mean(value: Tensor, batch: Batch, sharing: BatchGather | None) -> Tensor:
    """Average over all processes a mean over this process's images."""
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
    """Gather logits, labels, and features at `points`, of the whole batch.

    Terms then average over the whole batch and every process has the same loss, so several processes train
    as one would. Images and other features are not gathered.
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
