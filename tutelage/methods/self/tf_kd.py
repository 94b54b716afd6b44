"""Tf-KD: a virtual teacher gives a fixed probability to the right class and the rest to all others."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tutelage.config.loss_weights import loss_weights
from tutelage.config.methods import MethodConfig
from tutelage.losses.cross_entropy import UNLABELLED
from tutelage.losses.term import Term
from tutelage.methods.factory import TrainingFacts, build_terms_between, loss_weighting
from tutelage.methods.method import LossWeighting
from tutelage.methods.self.self_student import SelfStudentMethod
from tutelage.models.preprocess import Classifier
from tutelage.types import Batch, LossOutput, MixedLabels, Progress, TeacherOutput


def build_tf_kd(
    settings: MethodConfig,
    student: Classifier,
    others: Sequence[Classifier],  # noqa: ARG001  no other network
    facts: TrainingFacts,
) -> "TeacherFreeKD":
    """Build the method from settings."""
    return TeacherFreeKD(
        student,
        build_terms_between(student, student, settings, facts),
        loss_weights(settings),
        loss_weighting(settings, facts.epochs),
        correct=settings.methods.tf_kd.correct,
    )


def virtual_logits(
    labels: Tensor,
    classes: int,
    *,
    correct: float,
    mixed: MixedLabels | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return the virtual teacher's logits: log u, so that softmax(log u / T) is its softened output.

        u_k = a where k = y,   (1 - a) / (C - 1) elsewhere;   1 / C where the label is unknown

    a is `correct`. For a view mixed of two images, the first with share w, it is w u(y) + (1 - w) u(y').

    Args:
        labels: int64 [B] in 0 .. C - 1, or -1 if unknown.
        classes: C.
        correct: probability of the right class, above 0 and below 1.
        mixed: the second labels [B] and the shares [B] of the first.
        dtype: dtype of the result.

    Returns:
        [B, C].
    """
    own = _log_target(labels, classes, correct, dtype)
    if mixed is None:
        return own
    share = mixed.share.to(dtype)[:, None]
    other = _log_target(mixed.labels, classes, correct, dtype)
    return (share * own.exp() + (1 - share) * other.exp()).log()


def _log_target(labels: Tensor, classes: int, correct: float, dtype: torch.dtype) -> Tensor:
    rest = math.log((1 - correct) / max(1, classes - 1))
    numbers = torch.arange(classes, device=labels.device)
    found = torch.full((len(labels), classes), rest, dtype=dtype, device=labels.device)
    found = found.masked_fill(numbers == labels[:, None], math.log(correct))
    return found.masked_fill((labels == UNLABELLED)[:, None], -math.log(classes))


class TeacherFreeKD(SelfStudentMethod):
    """Teacher-free distillation by a designed teacher (Tf-KD_reg).

        loss = (1 - alpha) CE(y, q) + alpha KL(u^T || q),   u^T = softmax(log u / T)

    u is from `virtual_logits`; correct = 0.99 in the paper. For an image without a label u is uniform. With
    the term kd at T = 1 this is label smoothing: the gradients are those of cross-entropy with smoothing s
    where alpha (1 - correct) / (C - 1) = s / C. In the paper T softens the teacher alone, which is the term
    `ttm`; `kd` softens both.

    Yuan, Tay, Li, Wang, Feng 2020, arXiv:1909.11723 (teacher-free regularisation). Where we differ: the
    authors' code takes softmax(u / T) of the probabilities instead of their logarithms. At T = 20 and C = 100
    that is 0.0105 for the right class, all but uniform; the formula gives 0.0157. Their code also divides by
    B C and multiplies by a factor of its own (100 for ResNet-18 on CIFAR-100, which undoes C).
    """

    def __init__(
        self,
        student: nn.Module,
        terms: Mapping[str, Term],
        weights: Mapping[str, float],
        weighing: LossWeighting | None = None,
        *,
        correct: float,
    ) -> None:
        """Initialize the method; `correct` is the teacher's probability of the right class."""
        super().__init__(student, terms, weights, weighing=weighing)
        self.correct = correct

    def forward(
        self,
        batch: Batch,
        signal: TeacherOutput,  # noqa: ARG002  no outside teacher
        progress: Progress,
        *,
        phase: int = 0,  # noqa: ARG002  only one phase
    ) -> LossOutput:
        """Compare the student with the virtual teacher and the labels."""
        output = self.say(batch.images)
        target = virtual_logits(
            batch.labels,
            output.logits.shape[1],
            correct=self.correct,
            mixed=batch.mixed,
            dtype=torch.promote_types(output.logits.dtype, torch.float32),
        )
        return self.judged(output, TeacherOutput(target, {}), batch, progress)
