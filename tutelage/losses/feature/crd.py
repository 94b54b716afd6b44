"""Contrastive representation distillation: student and teacher embed an image alike, and others apart."""

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.config.loss_schedule import WeightedLossConfig
from tutelage.config.losses.feature import CRDConfig
from tutelage.errors import InputError
from tutelage.losses.checks import check_temperature
from tutelage.losses.embedding import Embedding
from tutelage.losses.feature.memory_bank import MemoryBank, cosines, with_gradients_now
from tutelage.losses.feature_term import FeatureTerm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.precision import in_full_precision
from tutelage.losses.response.logits import target_class
from tutelage.losses.term import BuildContext
from tutelage.types import Batch, ModelOutput, Progress, TeacherOutput


@in_full_precision
def crd_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    weights: Tensor,
    log_z: Tensor,
    noise: float,
) -> Tensor:
    """Compute the noise-contrastive loss: an image's own pair is distinguished from those with others.

        loss = L(student) + L(teacher)
        L(s) = -(1 / B) sum_i [log h_i0 / (h_i0 + c) + sum_k w_ik log c / (h_ik + c)]
        h_ik = exp(s_ik) / Z,   c = K / N

    s_i0 is the score of image i with its own row of the other network's memory, s_ik those with K rows of
    images of other classes among N: cosines over the temperature. In log space, with x = s - log Z - log c:

        L(s) = (1 / B) sum_i [softplus(-x_i0) + sum_k w_ik softplus(x_ik)]

    Both arguments get a gradient: the embeddings of both networks learn. (The term keeps it from the
    teacher's features.) Computed in fp32 (fp64 for fp64 scores).

    Tian, Krishnan, Isola 2020, Contrastive representation distillation, arXiv:1910.10699, section 3, with
    the memory and the fixed Z of Wu et al. 2018, arXiv:1805.01978. Where we differ: the authors' code adds
    1e-7 in the denominators, which log space does not need. It also knows all labels from the start; the
    term learns them from batches, so that in the first epoch a row that is still random may be drawn from
    the image's own class. Its draws are with replacement.

    Args:
        student: scores [B, 1 + M] of the student's embeddings with the teacher's memory, the own row first.
        teacher: exactly the same shape: the teacher's embeddings with the student's memory.
        weights: w [B, M], how often each row counts: 1 each for M = K draws.
        log_z: log Z [2] of student and teacher; see `log_normalizers`.
        noise: c, above 0.

    Returns:
        A scalar: summed over rows and both directions, averaged over the batch, in nats.

    Raises:
        InputError: the shapes do not fit.
    """
    _check(student, teacher, "scores", "both [B, 1 + M]")
    if weights.shape != student[:, 1:].shape or log_z.shape != (2,):
        raise InputError(
            "crd: weights or normalisers do not fit the scores",
            found=f"scores {list(student.shape)}, weights {list(weights.shape)}, "
            f"normalisers {list(log_z.shape)}",
            expected="[B, 1 + M], [B, M] and [2]",
        )
    losses = []
    for scores, log_one in zip((student, teacher), log_z.unbind(), strict=True):
        x = scores - log_one - math.log(noise)
        losses.append(F.softplus(-x[:, 0]) + (weights * F.softplus(x[:, 1:])).sum(1))
    return torch.stack(losses).sum(0).mean()


@in_full_precision
def log_normalizers(student: Tensor, teacher: Tensor, weights: Tensor, *, images: int) -> Tensor:
    """Compute log Z [2], Z = N times the mean of exp(score), over scores [B, 1 + M] weighted [B, M]."""
    every = F.pad(weights, (1, 0), value=1.0).to(student)
    size = math.log(images) - every.sum().log()
    log_weights = every.log()
    return torch.stack(
        [torch.logsumexp(s + log_weights, (0, 1)) + size for s in (student, teacher)]
    )


@in_full_precision
def crd_batch_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, *, temperature: float = 0.07
) -> Tensor:
    """Compute the loss without a memory: an image is distinguished from other classes in its batch.

        loss = -(1 / B) sum_i [log exp(s_ii) / sum_j exp(s_ij) + log exp(s_ii) / sum_j exp(s_ji)]
        s_ij = u_i . v_j / T,   j: i itself and all images of other classes

    This is InfoNCE (van den Oord et al. 2018, arXiv:1807.03748, eq. 4) in both directions, which needs no Z.
    Images of the same class are left out, as CRD does (arXiv:1910.10699). An image without a
    label is of another class than any other. An image that meets no other class adds 0.

    Both embeddings get a gradient, as in `crd_loss`.

    Args:
        student: u, unit vectors [B, D].
        teacher: v, exactly the same shape.
        labels: int64 [B], -1 where unknown.
        temperature: T, above 0.

    Returns:
        A scalar, averaged over the batch, summed over both directions, in nats.

    Raises:
        InputError: the shapes do not fit, or there is only one image.
        UsageError: the temperature is not a finite number above 0.
    """
    _check(student, teacher, "embeddings", "both [B, D]")
    check_temperature(temperature)
    if len(student) < 2 or labels.shape != student.shape[:1]:
        raise InputError(
            "crd without a memory compares the images of a batch",
            found=f"embeddings {list(student.shape)}, labels {list(labels.shape)}",
            expected="at least two images, and a label for each",
            fix="a larger --batch-size, or --losses.crd.memory",
        )
    own = torch.arange(len(labels), device=labels.device)
    same = (labels[:, None] == labels) & (labels >= 0) & (own[:, None] != own)
    scores = (student @ teacher.T / temperature).masked_fill(same, -math.inf)
    return F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)


def _check(student: Tensor, teacher: Tensor, what: str, expected: str) -> None:
    if student.ndim != 2 or student.shape != teacher.shape:
        raise InputError(
            f"crd: {what} of student and teacher differ in shape",
            found=f"student {list(student.shape)}, teacher {list(teacher.shape)}",
            expected=expected,
        )


def _places(images: int, ids: Tensor | None) -> Tensor:
    """Return the row of each image in the memory, by its id."""
    if ids is None:
        return torch.arange(images)
    places = torch.zeros(int(ids.max()) + 1, dtype=torch.int64)
    places[ids] = torch.arange(images)
    return places


class CRDTerm(FeatureTerm):
    """`crd_loss` with a memory bank of all images, or `crd_batch_loss` without, summed over pairs of points.

    Both networks' features pass through linear layers that are trained; Z is that of the first batch. A row
    of the memory keeps `momentum` of itself and takes the rest from the image it has just been compared with,
    in training only. A view made of two images counts as the image whose row it has.
    """

    places: Tensor
    name = "crd"
    settings: CRDConfig = CRDConfig()
    wants = "vector"
    across_batch = True

    def __init__(
        self,
        pairs: Sequence[LayerPair],
        settings: WeightedLossConfig | None = None,
        *,
        images: int,
        ids: Tensor | None = None,
    ) -> None:
        super().__init__(pairs, settings)
        memory, width = self.settings.memory, self.settings.width
        self.needs = self.needs._replace(labels=True, ids=memory)
        self.images = images
        if memory:
            self.register_buffer("places", _places(images, ids), persistent=False)
        self.student = nn.ModuleList(Embedding(pair.student, width) for pair in pairs)
        self.teacher = nn.ModuleList(Embedding(pair.teacher, width) for pair in pairs)
        count = len(self.pairs) if memory else 0
        self.memories = nn.ModuleList(
            MemoryBank(images, width, momentum=self.settings.momentum) for _ in range(count)
        )

    @classmethod
    def build(cls, settings: WeightedLossConfig, context: BuildContext) -> Self:
        """Build the term; its memory bank has a row for each training image."""
        pairs = cls.find_pairs(settings, context)
        return cls(pairs, settings, images=context.images, ids=context.ids)

    def forward(
        self, student: ModelOutput, teacher: TeacherOutput, batch: Batch, progress: Progress
    ) -> Tensor:
        """Return the sum over the pairs of points.

        Raises:
            InputError: one image only, and no memory bank.
        """
        losses = []
        for number, (mine, theirs) in enumerate(self.features(student, teacher)):
            u, v = self.student[number](mine), self.teacher[number](theirs)
            if self.memories:
                memory = self.memories[number]
                assert isinstance(memory, MemoryBank)
                losses.append(self._against_memory(u, v, memory, batch, seed=progress.step))
            else:
                labels, temperature = target_class(batch), self.settings.temperature
                losses.append(crd_batch_loss(u, v, labels, temperature=temperature))
        return torch.stack(losses).sum()

    @in_full_precision
    def _against_memory(
        self, student: Tensor, teacher: Tensor, memory: MemoryBank, batch: Batch, *, seed: int
    ) -> Tensor:
        """Return the loss of unit vectors [B, width] against the memory, then store them in it."""
        temperature, negatives = self.settings.temperature, self.settings.negatives
        places = self.places[batch.ids]
        memory.learn(places, batch.labels)
        rows, weights = memory.draw(places, negatives, seed=seed)

        def loss(u: Tensor, v: Tensor) -> Tensor:
            mine = cosines(u, memory.teacher, places, rows) / temperature
            theirs = cosines(v, memory.student, places, rows) / temperature
            now = log_normalizers(mine.detach(), theirs.detach(), weights, images=self.images)
            noise = negatives / self.images
            return crd_loss(mine, theirs, weights=weights, log_z=memory.first(now), noise=noise)

        found = with_gradients_now(loss, student, teacher)
        memory.remember(places, student, teacher)
        return found
