"""A network compared with a teacher's word and the labels: one number for each term."""

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
    """The raw value of each term, over the whole batch of all processes.

    Terms that compare images with each other see those of all processes; the others are means over
    images, and each process computes its own.
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
    lessons: Sequence[Mapping[str, Term]],
    output: ModelOutput,
    signals: Sequence[TeacherOutput],
    shares: Sequence[float],
    batch: Batch,
    progress: Progress,
    sharing: BatchGather | None,
) -> dict[str, Tensor]:
    """Each term under several teachers: its values, by the teachers' shares, added up.

    Args:
        lessons: the terms under each teacher; those that hear no teacher stand in the first alone.
        output: of the network that learns.
        signals: each teacher's word.
        shares: each teacher's weight; they add up to 1.
        batch: the images.
        progress: where training stands.
        sharing: with other processes.
    """
    found: dict[str, list[Tensor]] = {}
    for terms, signal, share in zip(lessons, signals, shares, strict=True):
        for name, value in term_losses(terms, output, signal, batch, progress, sharing).items():
            found.setdefault(name, []).append(
                value * share if reads_teacher(terms[name]) else value
            )
    return {name: torch.stack(values).sum() for name, values in found.items()}


def reads_teacher(term: Term) -> bool:
    """Whether a term listens to a teacher, rather than to the labels alone."""
    needs = term.needs
    return bool(needs.teacher_logits or needs.teacher_points or needs.teacher_vectors)


def terms_of(holder: nn.ModuleDict) -> dict[str, Term]:
    """The terms that a module holds, by name."""
    return {name: term for name, term in holder.items() if isinstance(term, Term)}


def combined_needs(terms: Iterable[Term]) -> Needs:
    """The union of what terms want."""
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
    """Every point, of either network, that is looked at."""
    return (*needs.student_points, *needs.teacher_points, *needs.teacher_vectors)
