"""Every term of the loss table on logits and features of ordinary sizes, forward and backward."""

from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import torch
from torch import Tensor

from tutelage.losses.settings import Terms
from tutelage.losses.table import TERMS
from tutelage.losses.term import Term
from tutelage.nouns import Batch, Output, Signal
from tutelage.timing.rounds import Way, interleave

REPEATED = 20
"""How often a term is computed in one round: once would be too short to time."""

_MAP = (64, 7, 7)
"""Channels, height and width of the features that a term is given."""


def time_terms(
    *, classes: int, batch_size: int, device: torch.device, rounds: int, settle: Callable[[], None]
) -> dict[str, list[float]]:
    """Seconds of one forward and backward pass of each term, by name, in each round.

    Args:
        classes: of the logits.
        batch_size: images.
        device: where to compute.
        rounds: how often each is timed.
        settle: waits for work still in flight.
    """
    ways = {
        name: _way(_made(name).to(device), classes, batch_size, device, seed)
        for seed, name in enumerate(TERMS)
    }
    seconds = interleave(ways, rounds=rounds, settle=settle)
    return {name: [value / REPEATED for value in values] for name, values in seconds.items()}


def _made(name: str) -> Term:
    """A term of the table with its default settings."""
    hint: Any = get_type_hints(Terms)[name]
    settings = next(part for part in (*get_args(hint), hint) if part is not type(None))
    return TERMS[name](settings(), 0.0)


def _way(term: Term, classes: int, batch_size: int, device: torch.device, seed: int) -> Way:
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(batch_size, *shape, generator=generator).to(device)

    needs = term.needs
    student = Output(
        numbers(classes).requires_grad_(),
        {point: numbers(*_MAP).requires_grad_() for point in needs.student_points},
    )
    maps = {point: numbers(*_MAP) for point in needs.teacher_points}
    pooled = {point: numbers(_MAP[0]) for point in needs.teacher_pooled}
    signal = Signal(numbers(classes), {**maps, **pooled})
    labels = torch.randint(0, classes, (batch_size,), generator=generator).to(device)
    images = torch.zeros(batch_size, 3, 1, 1, dtype=torch.uint8, device=device)
    batch = Batch(images, labels, torch.arange(batch_size, device=device), view=0)
    leaves = [student.logits, *student.features.values(), *term.parameters()]

    def way() -> None:
        for _ in range(REPEATED):
            torch.autograd.backward(term(student, signal, batch))
            for leaf in leaves:
                leaf.grad = None

    return way
