"""Compute the value of each loss term for a network, its teachers and the labels."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tutelage.losses.term import Needs, Term
from tutelage.methods.gather import BatchGather, gather_batch, gather_mean
from tutelage.types import Batch, ModelOutput, Progress, TeacherOutput


def term_losses(
    terms: Mapping[str, Term],
    output: ModelOutput,
    signal: TeacherOutput,
    batch: Batch,
    progress: Progress,
    sharing: BatchGather | None,
) -> dict[str, Tensor]:
    """Compute the unweighted value of each term over the whole batch of all processes.

    Terms that compare images with each other get the gathered batch; the others are means over images,
    computed in each process and averaged.
    """
    points = {
        p for term in terms.values() if term.across_batch for p in student_points_of(term.needs)
    }
    whole = gather_batch(output, signal, batch, points, sharing)
    return {
        name: term(*whole, progress)
        if term.across_batch
        else gather_mean(term(output, signal, batch, progress), batch, sharing)
        for name, term in terms.items()
    }


def term_losses_of_each(
    by_teacher: Sequence[Mapping[str, Term]],
    output: ModelOutput,
    signals: Sequence[TeacherOutput],
    shares: Sequence[float],
    batch: Batch,
    progress: Progress,
    sharing: BatchGather | None,
) -> dict[str, Tensor]:
    """Compute each term for several teachers and sum it by the teachers' shares.

    Args:
        by_teacher: the terms for each teacher; terms that use no teacher are in the first alone.
        output: output of the trained network.
        signals: output of each teacher.
        shares: weight of each teacher; they add up to 1.
        batch: the images.
        progress: training progress.
        sharing: see `Method.sharing`.
    """
    found: dict[str, list[Tensor]] = {}
    for terms, signal, share in zip(by_teacher, signals, shares, strict=True):
        for name, value in term_losses(terms, output, signal, batch, progress, sharing).items():
            found.setdefault(name, []).append(
                value * share if reads_teacher(terms[name]) else value
            )
    return {name: torch.stack(values).sum() for name, values in found.items()}


def reads_teacher(term: Term) -> bool:
    """Return whether a term uses a teacher's output, not only the labels."""
    needs = term.needs
    return bool(needs.teacher_logits or needs.teacher_points or needs.teacher_vectors)


def terms_of(holder: nn.ModuleDict) -> dict[str, Term]:
    """Return the terms in a module, by name."""
    return {name: term for name, term in holder.items() if isinstance(term, Term)}


def combined_needs(terms: Iterable[Term]) -> Needs:
    """Return the union of the needs of some terms."""
    needs = [term.needs for term in terms]
    return Needs(
        teacher_logits=any(n.teacher_logits for n in needs),
        labels=any(n.labels for n in needs),
        student_points=tuple(p for n in needs for p in n.student_points),
        teacher_points=tuple(p for n in needs for p in n.teacher_points),
        teacher_vectors=tuple(p for n in needs for p in n.teacher_vectors),
        ids=any(n.ids for n in needs),
    )


def student_points_of(needs: Needs) -> tuple[str, ...]:
    """Return all points needed of either network."""
    return (*needs.student_points, *needs.teacher_points, *needs.teacher_vectors)
