"""A generalist and its specialists: one distribution that contradicts all of them the least.

Hinton, Vinyals and Dean 2015, arXiv:1503.02531, sections 5.2 to 5.4. A specialist knows a group of classes
and calls all others "other" (its dustbin). It is trained on as many images of its group as of all others,
so that its dustbin is too small and has to be corrected.
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
"""Of the fixed point below; each halves the error at least where two speak of a class."""


class SpecialistOutput(NamedTuple):
    """What a specialist says: logits [B, G + 1], those of its group's classes and of its dustbin, corrected;
    group: its G classes.
    """

    logits: Tensor
    group: tuple[int, ...]


def specialist_output(logits: Tensor, group: Sequence[int], correction: float) -> SpecialistOutput:
    """What a specialist says, its dustbin corrected.

    Args:
        logits: [B, G + 1], as the network says them.
        group: its G classes.
        correction: of its dustbin's logit, from `dustbin_correction`.
    """
    lacking = torch.zeros(logits.shape[1], dtype=logits.dtype, device=logits.device)
    lacking[-1] = correction
    return SpecialistOutput(logits + lacking, tuple(group))


def dustbin_correction(own: int, others: int) -> float:
    """What is added to the dustbin's logit of a specialist that saw as many images of its group as others.

    Its group came up (others / own) times as often, against the rest, as it does in the data: the logarithm
    of that is what the dustbin lacks (section 5.2). Where there are fewer others than images of the group,
    all of them were shown, as often as they come up, and nothing is lacking.

    Args:
        own: training images of the group's classes, above 0.
        others: of all other classes, above 0.

    >>> round(dustbin_correction(200, 800), 4), dustbin_correction(800, 200)
    (1.3863, 0.0)
    """
    return math.log(max(others / own, 1))


def combine_outputs(
    generalist: Tensor, opinions: Sequence[SpecialistOutput], *, active: int = 1
) -> Tensor:
    """The logarithm of the distribution q that minimises what it differs from all that are asked.

        q = argmin KL(p_g || q) + sum_{m in A} KL(p_m || q_m)          (eq. 5)

    p_g is the generalist's distribution, p_m that of specialist m, and q_m is q with the mass outside its
    group added up in its dustbin. A are the specialists that know one of the generalist's `active` most
    probable classes of an image; where there are none, q = p_g.

    The paper finds the logits of q by gradient descent. Its gradient is zero where

        (1 + |A|) q = p_g + sum_m r_m(q)
        r_m(q)_c = p_m(c) in the group,   p_m(dustbin) q_c / q_m(dustbin) outside

    and putting q in on the right and taking it out on the left is the EM algorithm for this likelihood
    (Dempster, Laird and Rubin 1977), which never moves away and needs no step size. It is convex in q.
    Where one specialist at most speaks of an image, the first round is the minimum: outside its group q
    keeps the proportions of p_g.

    Args:
        generalist: logits [B, C].
        opinions: of all specialists about the same images.
        active: n, at least 1.

    Returns:
        log q [B, C], float32 (float64 for float64 logits).

    Raises:
        InputError: a specialist whose logits do not fit its group.
    """
    for opinion in opinions:
        expected = (len(generalist), len(opinion.group) + 1)
        if tuple(opinion.logits.shape) != expected:
            raise InputError(
                "a specialist's logits do not fit its group",
                found=list(opinion.logits.shape),
                expected=list(expected),
            )
    given = generalist.dtype
    p = generalist.double().softmax(1)
    chosen = p.topk(min(active, p.shape[1]), dim=1).indices
    speakers = []
    for opinion in opinions:
        inside = torch.zeros(p.shape[1], dtype=torch.bool, device=p.device)
        inside[list(opinion.group)] = True
        said = opinion.logits.double().softmax(1)
        within = torch.zeros_like(p)
        within[:, list(opinion.group)] = said[:, :-1]
        asked = inside[chosen].any(1, keepdim=True)
        speakers.append((asked.to(p), inside, within, said[:, -1:]))
    count = 1 + sum((asked for asked, *_ in speakers), torch.zeros_like(p[:, :1]))
    q = p
    known = [c for opinion in opinions for c in opinion.group]
    one_speaks = active == 1 and len(known) == len(set(known))
    for _ in range(0 if not speakers else 1 if one_speaks else ROUNDS):
        total = p
        for asked, inside, within, dustbin in speakers:
            outside = q * ~inside
            rest = outside / outside.sum(1, keepdim=True).clamp(min=1e-300)
            total = total + asked * (within + dustbin * rest)
        q = total / count
    return q.clamp(min=1e-300).log().to(torch.promote_types(given, torch.float32))


class Specialist(NamedTuple):
    """A specialist of a council: who it is, the classes of its group, what its dustbin's logit lacks."""

    teacher: Teacher
    group: tuple[int, ...]
    correction: float


class SpecialistEnsemble:
    """A generalist and its specialists, who become one word."""

    def __init__(self, generalist: Teacher, members: Sequence[Specialist], *, active: int) -> None:
        self._generalist, self._members, self._active = generalist, tuple(members), active

    def __call__(self, batch: Batch, progress: Progress = START, /) -> TeacherOutput:
        """What they say about a batch: log q [B, C] of `combine_outputs`, no features."""
        said = self._generalist(batch, progress).logits
        assert said is not None
        opinions = []
        for teacher, group, correction in self._members:
            logits = teacher(batch, progress).logits
            assert logits is not None
            opinions.append(specialist_output(logits, group, correction))
        return TeacherOutput(combine_outputs(said, opinions, active=self._active), {})
