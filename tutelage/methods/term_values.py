"""A network compared with a teacher's word and the labels: one number for each term."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tutelage.losses.term import Needs, Term
from tutelage.methods.gather import Sharing, whole_batch, whole_mean
from tutelage.types import Batch, Output, Progress, Signal


def compare(
    terms: Mapping[str, Term],
    output: Output,
    signal: Signal,
    batch: Batch,
    progress: Progress,
    sharing: Sharing | None,
) -> dict[str, Tensor]:
    """The raw value of each term, over the whole batch of all processes.

    Terms that compare pictures with each other see those of all processes; the others are means over
    pictures, and each process computes its own.
    """
    points = {p for term in terms.values() if term.across_batch for p in points_of(term.needs)}
    whole = whole_batch(output, signal, batch, points, sharing)
    return {
        name: term(*whole, progress)
        if term.across_batch
        else whole_mean(term(output, signal, batch, progress), batch, sharing)
        for name, term in terms.items()
    }


def compare_with_each(
    lessons: Sequence[Mapping[str, Term]],
    output: Output,
    signals: Sequence[Signal],
    shares: Sequence[float],
    batch: Batch,
    progress: Progress,
    sharing: Sharing | None,
) -> dict[str, Tensor]:
    """Each term under several teachers: its values, by the teachers' shares, added up.

    Args:
        lessons: the terms under each teacher; those that hear no teacher stand in the first alone.
        output: of the network that learns.
        signals: each teacher's word.
        shares: each teacher's weight; they add up to 1.
        batch: the pictures.
        progress: where training stands.
        sharing: with other processes.
    """
    found: dict[str, list[Tensor]] = {}
    for terms, signal, share in zip(lessons, signals, shares, strict=True):
        for name, value in compare(terms, output, signal, batch, progress, sharing).items():
            found.setdefault(name, []).append(value * share if hears(terms[name]) else value)
    return {name: torch.stack(values).sum() for name, values in found.items()}


def hears(term: Term) -> bool:
    """Whether a term listens to a teacher, rather than to the labels alone."""
    needs = term.needs
    return bool(needs.teacher_logits or needs.teacher_points or needs.teacher_vectors)


def terms_in(holder: nn.ModuleDict) -> dict[str, Term]:
    """The terms that a module holds, by name."""
    return {name: term for name, term in holder.items() if isinstance(term, Term)}


def needs_of(terms: Iterable[Term]) -> Needs:
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


def points_of(needs: Needs) -> tuple[str, ...]:
    """Every point, of either network, that is looked at."""
    return (*needs.student_points, *needs.teacher_points, *needs.teacher_vectors)
