"""Inputs and single checks that the tests of losses share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.term import Term
from tutelage.types import START, Batch, FeaturePoint, ModelOutput, TeacherOutput

Loss = Callable[[Tensor, Tensor], Tensor]


def numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    """Return normal numbers in float64."""
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


@contextmanager
def case(**what: object) -> Iterator[None]:
    """Name the case of a loop in the report of what fails in it."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"in the case {what}")
        raise


def gradient(loss: Loss, student: Tensor, teacher: Tensor) -> Tensor:
    """Return the gradient of a loss of (student, teacher) by the student."""
    leaf = student.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(leaf, teacher), leaf)
    return found


def gradcheck(loss: Loss, student: Tensor, teacher: Tensor) -> bool:
    """Return whether the gradient by the student equals finite differences."""
    leaf = student.detach().double().requires_grad_()
    return torch.autograd.gradcheck(lambda x: loss(x, teacher), (leaf,))


def finite_in_any_precision(loss: Loss, student: Tensor, teacher: Tensor) -> None:
    """Check that value (in fp32) and gradient are finite in fp32, bf16, fp16, with and without autocast."""
    for precision in (torch.float32, torch.bfloat16, torch.float16):
        low = torch.float16 if precision is torch.float16 else torch.bfloat16
        for enabled in (False, True):
            leaf = student.detach().to(precision).requires_grad_()
            with torch.autocast("cpu", dtype=low, enabled=enabled):
                value = loss(leaf, teacher.to(precision))
            assert value.dtype == torch.float32
            assert torch.isfinite(value), (precision, enabled)
            (found,) = torch.autograd.grad(value, leaf)
            assert found.dtype == precision
            assert torch.isfinite(found).all(), (precision, enabled)


def spares_the_teacher(loss: Loss, student: Tensor, teacher: Tensor) -> None:
    """Check that the student gets a gradient that is not 0, and a teacher that requires one gets none."""
    mine, theirs = student.clone().requires_grad_(), teacher.clone().requires_grad_()
    torch.autograd.backward(loss(mine, theirs))
    assert mine.grad is not None
    assert mine.grad.abs().max() > 0
    assert theirs.grad is None


def pair(
    student: Sequence[int], teacher: Sequence[int], *, name: str = "a", other: str = "b"
) -> LayerPair:
    """Return two points with the shapes [...] of one image."""
    return LayerPair(FeaturePoint(name, tuple(student)), FeaturePoint(other, tuple(teacher)))


def batch_of(count: int, *, classes: int = 4, seed: int = 0) -> Batch:
    """Return a batch of `count` labelled images (which terms never look at)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (count,), generator=generator)
    return Batch(torch.zeros(count, 3, 1, 1, dtype=torch.uint8), labels, torch.arange(count), 0)


def term_loss(term: Term, student: Tensor, teacher: Tensor, batch: Batch | None = None) -> Tensor:
    """Return a term's loss of one pair of features, at the points of `pair`; logits are all 0."""
    count = len(student)
    batch = batch_of(count) if batch is None else batch
    logits = torch.zeros(count, 4, dtype=student.dtype)
    output, signal = ModelOutput(logits, {"a": student}), TeacherOutput(logits, {"b": teacher})
    found: Tensor = term(output, signal, batch, START)
    return found
