"""Combine a generalist and its specialists: the distribution closest to all of them.

Hinton, Vinyals and Dean 2015, arXiv:1503.02531, sections 5.2 to 5.4. A specialist distinguishes a group of
classes and has one dustbin class for all others. It is trained on as many images of its group as of all
others, so that its dustbin probability is too small and has to be corrected.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tutelage.errors import InputError
from tutelage.teachers.teacher import Teacher
from tutelage.types import START, Batch, Progress, TeacherOutput

ROUNDS = 50
"""Fixed-point iterations; each at least halves the error if two specialists share a class."""


class SpecialistOutput(NamedTuple):
    """The corrected output of a specialist."""

    logits: Tensor
    """Logits of its group's classes and, last, its dustbin, [B, G + 1]."""

    group: tuple[int, ...]
    """Numbers of its G classes."""


def specialist_output(logits: Tensor, group: Sequence[int], correction: float) -> SpecialistOutput:
    """Correct the dustbin of a specialist's output.

    Args:
        logits: output of the network, [B, G + 1].
        group: numbers of its G classes.
        correction: added to the dustbin's logit, from `dustbin_correction`.
    """
    lacking = torch.zeros(logits.shape[1], dtype=logits.dtype, device=logits.device)
    lacking[-1] = correction
    return SpecialistOutput(logits + lacking, tuple(group))


def dustbin_correction(own: int, others: int) -> float:
    """Return what to add to the dustbin's logit of a specialist trained on balanced halves.

    Relative to the rest, its group was (others / own) times as frequent in training as in the data: the
    correction is the logarithm of that (section 5.2). With fewer others than images of the group, all of
    them were used and the correction is 0.

    Args:
        own: number of training images of the group's classes, above 0.
        others: number of training images of all other classes, above 0.

    >>> round(dustbin_correction(200, 800), 4), dustbin_correction(800, 200)
    (1.3863, 0.0)
    """
    return math.log(max(others / own, 1))


def combine_outputs(
    generalist: Tensor, outputs: Sequence[SpecialistOutput], *, active: int = 1
) -> Tensor:
    """Return the logarithm of the distribution q closest to the generalist and the active specialists.

        q = argmin KL(p_g || q) + sum_{m in A} KL(p_m || q_m)          (eq. 5)

    p_g is the generalist's distribution, p_m that of specialist m, and q_m is q with the mass outside its
    group summed in its dustbin. A are the specialists whose group has one of the generalist's `active` most
    probable classes of an image; if there are none, q = p_g.

    The paper finds the logits of q by gradient descent. Its gradient is zero where

        (1 + |A|) q = p_g + sum_m r_m(q)
        r_m(q)_c = p_m(c) in the group,   p_m(dustbin) q_c / q_m(dustbin) outside

    and iterating this is the EM algorithm for this likelihood (Dempster, Laird and Rubin 1977), which never
    diverges and needs no step size. The objective is convex in q. With at most one active specialist for an
    image, the first iteration is the minimum: outside its group q keeps the proportions of p_g.

    Args:
        generalist: logits [B, C].
        outputs: outputs of all specialists for the same images.
        active: n, at least 1.

    Returns:
        log q [B, C], float32 (float64 for float64 logits).

    Raises:
        InputError: logits of a specialist that do not fit its group.
    """
    for output in outputs:
        expected = (len(generalist), len(output.group) + 1)
        if tuple(output.logits.shape) != expected:
            raise InputError(
                "a specialist's logits do not fit its group",
                found=list(output.logits.shape),
                expected=list(expected),
            )
    given = generalist.dtype
    p = generalist.double().softmax(1)
    chosen = p.topk(min(active, p.shape[1]), dim=1).indices
    experts = []
    for output in outputs:
        inside = torch.zeros(p.shape[1], dtype=torch.bool, device=p.device)
        inside[list(output.group)] = True
        probabilities = output.logits.double().softmax(1)
        within = torch.zeros_like(p)
        within[:, list(output.group)] = probabilities[:, :-1]
        active_here = inside[chosen].any(1, keepdim=True)
        experts.append((active_here.to(p), inside, within, probabilities[:, -1:]))
    count = 1 + sum((active_here for active_here, *_ in experts), torch.zeros_like(p[:, :1]))
    q = p
    known = [c for output in outputs for c in output.group]
    single = active == 1 and len(known) == len(set(known))
    for _ in range(0 if not experts else 1 if single else ROUNDS):
        total = p
        for active_here, inside, within, dustbin in experts:
            outside = q * ~inside
            rest = outside / outside.sum(1, keepdim=True).clamp(min=1e-300)
            total = total + active_here * (within + dustbin * rest)
        q = total / count
    return q.clamp(min=1e-300).log().to(torch.promote_types(given, torch.float32))


class Specialist(NamedTuple):
    """A specialist of an ensemble."""

    teacher: Teacher
    """Its network or cache."""

    group: tuple[int, ...]
    """Numbers of its classes."""

    correction: float
    """Added to the logit of its dustbin."""


class SpecialistEnsemble:
    """A generalist and its specialists as one teacher."""

    def __init__(
        self, generalist: Teacher, specialists: Sequence[Specialist], *, active: int
    ) -> None:
        self._generalist, self._specialists, self._active = generalist, tuple(specialists), active

    def __call__(self, batch: Batch, progress: Progress = START, /) -> TeacherOutput:
        """Return log q [B, C] of `combine_outputs` for a batch, without features."""
        general = self._generalist(batch, progress).logits
        assert general is not None
        outputs = []
        for teacher, group, correction in self._specialists:
            logits = teacher(batch, progress).logits
            assert logits is not None
            outputs.append(specialist_output(logits, group, correction))
        return TeacherOutput(combine_outputs(general, outputs, active=self._active), {})
