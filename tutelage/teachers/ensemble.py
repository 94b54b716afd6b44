"""Combine the outputs of several teachers."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.losses.cross_entropy import UNLABELLED
from tutelage.losses.precision import in_full_precision
from tutelage.teachers.teacher import Teacher
from tutelage.types import START, Batch, Progress, TeacherOutput

Shares = Sequence[float] | Tensor
"""Weights of J teachers: J numbers, or [J, B] with one for each image; they add up to 1."""


@in_full_precision
def mean_probability_logits(logits: Tensor, shares: Shares, *, temperature: float) -> Tensor:
    """Return logits whose softened probabilities are the teachers' mean.

        z_ik = T log sum_j w_j softmax(z_j / T)_ik,    so that   softmax(z / T) = sum_j w_j softmax(z_j / T)

    A term at temperature T gets exactly this mean, a term at another one gets it sharpened or softened.
    Computed in log space, in fp32 (fp64 for fp64 logits).

    You et al. 2017, Learning from multiple teacher networks (KDD), the term on softened outputs: the same
    with equal weights. With the forward KL its gradient is that of the weighted sum of the divergences,
    (T / B) (q - sum_j w_j p_j), since

        sum_j w_j KL(p_j || q) = KL(sum_j w_j p_j || q) + what does not depend on q

    Args:
        logits: [J, B, C].
        shares: of the teachers, adding up to 1.
        temperature: T, above 0.

    Returns:
        [B, C]; a constant within a row has no meaning.
    """
    logs = F.log_softmax(logits / temperature, dim=2)
    if isinstance(shares, Tensor):
        return temperature * torch.logsumexp(logs + shares.log().unsqueeze(2), dim=0)
    parts = [one + math.log(share) for one, share in zip(logs, shares, strict=True) if share > 0]
    return temperature * torch.logsumexp(torch.stack(parts), dim=0)


@in_full_precision
def mean_logits(logits: Tensor, shares: Shares) -> Tensor:
    """Return the teachers' mean logits, each row of each teacher first shifted to a mean of 0.

        z_ik = sum_j w_j (z_jik - (1 / C) sum_l z_jil)

    In probabilities that is the geometric mean, normalised. A constant added to a row has no meaning but
    would count in terms that compare logits themselves. Computed in fp32 (fp64 for fp64 logits).

    Args:
        logits: [J, B, C].
        shares: of the teachers, adding up to 1.

    Returns:
        [B, C].
    """
    centred = logits - logits.mean(dim=2, keepdim=True)
    if isinstance(shares, Tensor):
        return (shares.unsqueeze(2) * centred).sum(dim=0)
    return torch.stack([w * z for w, z in zip(shares, centred, strict=True)]).sum(dim=0)


@in_full_precision
def confidence(logits: Tensor, batch: Batch, *, sharpness: float) -> Tensor:
    """Return the weight of each teacher for each image, by its loss on the label.

        w_ji = exp(-s l_ji) / sum_k exp(-s l_ki),    l_ji = -log softmax(z_ji)_{y_i}

    Weights are equal if the label is unknown. The loss of a mixed view is that of its two labels, by their
    shares.

    After Zhang, Chen and Wang 2022, Confidence-aware multi-teacher knowledge distillation,
    arXiv:2201.00007. Where we differ: there w_j = (1 - exp(l_j) / sum_k exp(l_k)) / (J - 1), which is not
    defined for one teacher, and has no sharpness.

    Args:
        logits: [J, B, C].
        batch: the images, for their labels.
        sharpness: s, above 0.

    Returns:
        [J, B], adding up to 1 for each image.
    """
    logs = F.log_softmax(logits, dim=2)
    losses, known = -_at_labels(logs, batch.labels), batch.labels != UNLABELLED
    if batch.mixed is not None:
        share = batch.mixed.share.to(losses)
        losses = share * losses - (1 - share) * _at_labels(logs, batch.mixed.labels)
        known = known & (batch.mixed.labels != UNLABELLED)
    return F.softmax(torch.where(known, -sharpness * losses, 0.0), dim=0)


def _at_labels(logs: Tensor, labels: Tensor) -> Tensor:
    """Pick each teacher's value for the label: [J, B, C] -> [J, B]; for class 0 if it is unknown."""
    rows = labels.clamp(min=0).expand(len(logs), -1).unsqueeze(2)
    return logs.gather(2, rows).squeeze(2)


class EnsembleTeacher:
    """Several teachers whose logits are combined; a single one is passed through."""

    def __init__(
        self,
        teachers: Sequence[Teacher],
        shares: Sequence[float],
        *,
        temperature: float | None,
        sharpness: float | None = None,
    ) -> None:
        """Initialize the ensemble.

        Args:
            teachers: the teachers.
            shares: weight of each; they add up to 1.
            temperature: temperature at which probabilities are averaged; None averages logits.
            sharpness: of `confidence` weights, which replace the shares; None uses the shares.
        """
        self._teachers = tuple(teachers)
        self._shares = tuple(shares)
        self._temperature = temperature
        self._sharpness = sharpness

    def __call__(self, batch: Batch, progress: Progress = START, /) -> TeacherOutput:
        """Return the combined logits [B, C] in fp32 for a batch, without features."""
        outputs = [teacher(batch, progress) for teacher in self._teachers]
        found = [output.logits for output in outputs if output.logits is not None]
        if len(found) == 1:
            return TeacherOutput(found[0], {})
        logits = torch.stack(found)
        shares: Shares = self._shares
        if self._sharpness is not None:
            shares = confidence(logits, batch, sharpness=self._sharpness)
        if self._temperature is None:
            return TeacherOutput(mean_logits(logits, shares), {})
        return TeacherOutput(
            mean_probability_logits(logits, shares, temperature=self._temperature), {}
        )


class TeacherList:
    """Several teachers whose outputs are kept apart."""

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        self._teachers = tuple(teachers)

    def __call__(self, batch: Batch, progress: Progress = START, /) -> TeacherOutput:
        """Return the first teacher's output, with those of the rest in `others`."""
        first, *others = (teacher(batch, progress) for teacher in self._teachers)
        return first._replace(others=tuple(others))
