"""Tf-KD: a teacher that is no network gives so much to the right class and the rest to all others."""

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
    others: Sequence[Classifier],  # noqa: ARG001  nobody else takes part
    lesson: TrainingFacts,
) -> "TeacherFreeKD":
    """The method of some settings."""
    return TeacherFreeKD(
        student,
        build_terms_between(student, student, settings, lesson),
        loss_weights(settings),
        loss_weighting(settings, lesson.epochs),
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
    """What the virtual teacher says: log u, so that softmax(log u / T) is its softened word.

        u_k = a where k = y,   (1 - a) / (C - 1) elsewhere;   1 / C where the label is unknown

    a is `correct`. About a view made of two images, of which the first has the share w, it says
    w u(y) + (1 - w) u(y').

    Args:
        labels: int64 [B] in 0 .. C - 1, or -1 where unknown.
        classes: C.
        correct: above 0 and below 1.
        mixed: the second labels [B] and the shares [B] of the first.
        dtype: of the result.

    Returns:
        [B, C].
    """
    own = _log_word(labels, classes, correct, dtype)
    if mixed is None:
        return own
    share = mixed.share.to(dtype)[:, None]
    other = _log_word(mixed.labels, classes, correct, dtype)
    return (share * own.exp() + (1 - share) * other.exp()).log()


def _log_word(labels: Tensor, classes: int, correct: float, dtype: torch.dtype) -> Tensor:
    rest = math.log((1 - correct) / max(1, classes - 1))
    numbers = torch.arange(classes, device=labels.device)
    word = torch.full((len(labels), classes), rest, dtype=dtype, device=labels.device)
    word = word.masked_fill(numbers == labels[:, None], math.log(correct))
    return word.masked_fill((labels == UNLABELLED)[:, None], -math.log(classes))


class TeacherFreeKD(SelfStudentMethod):
    """Teacher-free distillation by a designed teacher (Tf-KD_reg).

        loss = (1 - alpha) CE(y, q) + alpha KL(u^T || q),   u^T = softmax(log u / T)

    u is the word of `virtual_logits`; correct = 0.99 in the paper. An image without a label hears that all
    classes are alike. With the term kd at T = 1 this is label smoothing: the gradients are those of
    cross-entropy with smoothing s where alpha (1 - correct) / (C - 1) = s / C. In the paper T softens the
    teacher alone, which is the term `ttm`; `kd` softens both.

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
        """Put a method together; correct: the teacher's probability of the right class."""
        super().__init__(student, terms, weights, weighing=weighing)
        self.correct = correct

    def forward(
        self,
        batch: Batch,
        signal: TeacherOutput,  # noqa: ARG002  nobody outside is listened to
        progress: Progress,
        *,
        phase: int = 0,  # noqa: ARG002  there is one
    ) -> LossOutput:
        """Compare with what the virtual teacher says about the labels."""
        output = self.say(batch.images)
        word = virtual_logits(
            batch.labels,
            output.logits.shape[1],
            correct=self.correct,
            mixed=batch.mixed,
            dtype=torch.promote_types(output.logits.dtype, torch.float32),
        )
        return self.judged(output, TeacherOutput(word, {}), batch, progress)
