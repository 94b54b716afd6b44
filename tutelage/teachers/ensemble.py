"""What several teachers say about a batch, made one signal."""

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
"""How much each of J teachers counts: J numbers, or [J, B], one for each image; they add up to 1."""


@in_full_precision
def mean_probability_logits(logits: Tensor, shares: Shares, *, temperature: float) -> Tensor:
    """Logits whose softened probabilities are the teachers' mean.

        z_ik = T log sum_j w_j softmax(z_j / T)_ik,    so that   softmax(z / T) = sum_j w_j softmax(z_j / T)

    A term at temperature T sees the very mean. A term at another one sees that mean sharpened or softened.
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
    words = F.log_softmax(logits / temperature, dim=2)
    if isinstance(shares, Tensor):
        return temperature * torch.logsumexp(words + shares.log().unsqueeze(2), dim=0)
    parts = [word + math.log(share) for word, share in zip(words, shares, strict=True) if share > 0]
    return temperature * torch.logsumexp(torch.stack(parts), dim=0)


@in_full_precision
def mean_logits(logits: Tensor, shares: Shares) -> Tensor:
    """The teachers' mean logits, each row of each teacher first brought to a mean of 0.

        z_ik = sum_j w_j (z_jik - (1 / C) sum_l z_jil)

    In probabilities that is the geometric mean, normalised. What a teacher adds to a whole row means
    nothing, and would count in terms that compare logits themselves. Computed in fp32 (fp64 for fp64 logits).

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
    """How much each teacher counts for each image, by its loss on the image's label.

        w_ji = exp(-s l_ji) / sum_k exp(-s l_ki),    l_ji = -log softmax(z_ji)_{y_i}

    Equal weights where the label is unknown. The loss of a view made of two images is that of their two
    labels, by their shares.

    After Zhang, Chen and Wang 2022, Confidence-aware multi-teacher knowledge distillation,
    arXiv:2201.00007. Where we differ: there w_j = (1 - exp(l_j) / sum_k exp(l_k)) / (J - 1), which is not
    defined for one teacher, and has no sharpness.

    Args:
        logits: [J, B, C].
        batch: its labels are looked at.
        sharpness: s, above 0.

    Returns:
        [J, B], adding up to 1 for each image.
    """
    words = F.log_softmax(logits, dim=2)
    losses, known = -_of(words, batch.labels), batch.labels != UNLABELLED
    if batch.mixed is not None:
        share = batch.mixed.share.to(losses)
        losses = share * losses - (1 - share) * _of(words, batch.mixed.labels)
        known = known & (batch.mixed.labels != UNLABELLED)
    return F.softmax(torch.where(known, -sharpness * losses, 0.0), dim=0)


def _of(words: Tensor, labels: Tensor) -> Tensor:
    """What is said of a class [B] by each teacher: [J, B, C] -> [J, B]; of class 0 where it is unknown."""
    rows = labels.clamp(min=0).expand(len(words), -1).unsqueeze(2)
    return words.gather(2, rows).squeeze(2)


class EnsembleTeacher:
    """Several teachers whose logits become one word; one alone is heard as it is."""

    def __init__(
        self,
        teachers: Sequence[Teacher],
        shares: Sequence[float],
        *,
        temperature: float | None,
        sharpness: float | None = None,
    ) -> None:
        """Put teachers together.

        Args:
            teachers: each about its own view of the images.
            shares: of each; they add up to 1.
            temperature: at which probabilities are averaged; None: logits are.
            sharpness: of weights by image, which then take the place of the shares; None: no such weights.
        """
        self._teachers = tuple(teachers)
        self._shares = tuple(shares)
        self._temperature = temperature
        self._sharpness = sharpness

    def __call__(self, batch: Batch, progress: Progress = START, /) -> TeacherOutput:
        """What they say about a batch: logits [B, C] in fp32, no features."""
        said = [teacher(batch, progress).logits for teacher in self._teachers]
        found = [logits for logits in said if logits is not None]
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
    """Several teachers that are heard one by one: the first, and the others beside it."""

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        self._teachers = tuple(teachers)

    def __call__(self, batch: Batch, progress: Progress = START, /) -> TeacherOutput:
        """What each says about a batch."""
        first, *others = (teacher(batch, progress) for teacher in self._teachers)
        return first._replace(others=tuple(others))
