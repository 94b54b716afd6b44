"""Mean teacher: a moving average of the student's weights teaches the student."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from tutelage.config.loss_weights import loss_weights
from tutelage.config.methods import MethodConfig
from tutelage.losses.term import Term
from tutelage.methods.factory import (
    TrainingFacts,
    build_terms_between,
    feature_extractor,
    loss_weighting,
)
from tutelage.methods.method import LossWeighting
from tutelage.methods.self.self_student import SelfStudentMethod
from tutelage.methods.term_values import combined_needs
from tutelage.models.ema import ema_update
from tutelage.models.feature_hooks import FeatureExtractor
from tutelage.models.preprocess import Classifier
from tutelage.types import Batch, LossOutput, ModelOutput, Progress, TeacherOutput


def build_mean_teacher(
    settings: MethodConfig,
    student: Classifier,
    others: Sequence[Classifier],  # noqa: ARG001  nobody else takes part
    lesson: TrainingFacts,
) -> "MeanTeacher":
    """The method of some settings.

    Raises:
        UsageError: points that do not exist, or an idea that does not fit the network.
    """
    average = copy.deepcopy(student).eval().requires_grad_(False)
    terms = build_terms_between(student, average, settings, lesson)
    needs = combined_needs(terms.values())
    points = (*needs.teacher_points, *needs.teacher_vectors)
    return MeanTeacher(
        student,
        average,
        terms,
        loss_weights(settings),
        loss_weighting(settings, lesson.epochs),
        look=feature_extractor(student, [terms]),
        listen=FeatureExtractor(average, points) if points else None,
        momentum=settings.methods.mean_teacher.momentum,
    )


class MeanTeacher(SelfStudentMethod):
    """An average of the student's weights over its steps teaches it (mean teacher).

        a_0 = student,   a_n = m_n a_(n-1) + (1 - m_n) w_n,   m_n = min(momentum, 1 - 1 / n)

    w_n are the student's weights after step n (from 1). In the first 1 / (1 - momentum) steps the average is
    thus the plain mean of w_1 ... w_n, and what training began with is forgotten at once. At momentum 0 it is
    the student itself. Terms compare the two, features as well as logits; the average is in evaluation
    and gets no gradient. What is measured and saved is the student; `ema` measures an average.

    Tarvainen, Valpola 2017, arXiv:1703.01780, section 2; the mean in the first steps is that of the authors'
    code. Where we differ: their consistency is the squared distance of probabilities between two noisy
    views, ours whatever terms are chosen on one view, for both; their average has BatchNorm in training,
    ours has the student's running statistics, copied after each step.
    """

    def __init__(
        self,
        student: nn.Module,
        average: nn.Module,
        terms: Mapping[str, Term],
        weights: Mapping[str, float],
        weighing: LossWeighting | None = None,
        *,
        momentum: float,
        look: Callable[[Tensor], ModelOutput] | None = None,
        listen: Callable[[Tensor], ModelOutput] | None = None,
    ) -> None:
        """Put a method together.

        Args:
            student: images -> Output.
            average: a copy of it, which asks for no gradient.
            terms: by name.
            weights: of each of them.
            weighing: how the weights change in training.
            momentum: share of the average that is kept at each step, in [0, 1).
            look: calls the student and records its features; None where no term asks for any.
            listen: the same of the average.
        """
        super().__init__(student, terms, weights, look=look, weighing=weighing)
        self.average = average
        self.momentum = momentum
        self._listen = listen

    def train(self, mode: bool = True) -> Self:
        """Students train; the average never does."""
        super().train(mode)
        self.average.eval()
        return self

    def forward(
        self,
        batch: Batch,
        signal: TeacherOutput,  # noqa: ARG002  nobody outside is listened to
        progress: Progress,
        *,
        phase: int = 0,  # noqa: ARG002  there is one
    ) -> LossOutput:
        """Compare the student with its average."""
        with torch.no_grad():
            word: ModelOutput = (self._listen or self.average)(batch.images)
        return self.judged(
            self.say(batch.images), TeacherOutput(word.logits, word.features), batch, progress
        )

    @torch.no_grad()
    def after_step(self, progress: Progress, taken: Tensor) -> None:
        """Move the average on; a function of the step, so that a resume needs no more than the weights."""
        keep = min(self.momentum, progress.step / (progress.step + 1))
        ema_update(self.average.parameters(), self.student.parameters(), (1 - keep) * taken)
        for mean, buffer in zip(self.average.buffers(), self.student.buffers(), strict=True):
            mean.copy_(buffer)
