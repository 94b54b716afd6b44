"""Mean teacher: the teacher is a moving average of the student's weights."""

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
    others: Sequence[Classifier],  # noqa: ARG001  no other network
    facts: TrainingFacts,
) -> "MeanTeacher":
    """Build the method from settings.

    Raises:
        UsageError: points that do not exist, or a term that does not fit the network.
    """
    average = copy.deepcopy(student).eval().requires_grad_(False)
    terms = build_terms_between(student, average, settings, facts)
    needs = combined_needs(terms.values())
    points = (*needs.teacher_points, *needs.teacher_vectors)
    return MeanTeacher(
        student,
        average,
        terms,
        loss_weights(settings),
        loss_weighting(settings, facts.epochs),
        look=feature_extractor(student, [terms]),
        look_average=FeatureExtractor(average, points) if points else None,
        momentum=settings.methods.mean_teacher.momentum,
    )


class MeanTeacher(SelfStudentMethod):
    """A student whose teacher is the average of its own weights over its steps (mean teacher).

        a_0 = student,   a_n = m_n a_(n-1) + (1 - m_n) w_n,   m_n = min(momentum, 1 - 1 / n)

    w_n are the student's weights after step n (from 1). In the first 1 / (1 - momentum) steps the average is
    thus the plain mean of w_1 ... w_n, without the initial weights. At momentum 0 it is the student itself.
    Terms compare the two, features as well as logits; the average is in eval mode and gets no gradient. The
    student is evaluated and saved; `ema` evaluates an average instead.

    Tarvainen, Valpola 2017, arXiv:1703.01780, section 2; the mean in the first steps is that of the authors'
    code. Where we differ: their consistency is the squared distance of probabilities between two noisy
    views, ours the chosen terms on one view for both; their average uses BatchNorm in training mode, ours the
    student's running statistics, copied after each step.
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
        look_average: Callable[[Tensor], ModelOutput] | None = None,
    ) -> None:
        """Initialize the method.

        Args:
            student: maps images to a `ModelOutput`.
            average: a copy of the student, without gradients.
            terms: terms by name.
            weights: weight of each term.
            weighing: schedule of the weights.
            momentum: share of the average that is kept at each step, in [0, 1).
            look: calls the student and records its features; None if no term needs any.
            look_average: the same for the average.
        """
        super().__init__(student, terms, weights, look=look, weighing=weighing)
        self.average = average
        self.momentum = momentum
        self._look_average = look_average

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the student; the average stays in eval mode."""
        super().train(mode)
        self.average.eval()
        return self

    def forward(
        self,
        batch: Batch,
        signal: TeacherOutput,  # noqa: ARG002  no outside teacher
        progress: Progress,
        *,
        phase: int = 0,  # noqa: ARG002  only one phase
    ) -> LossOutput:
        """Compare the student with its average."""
        with torch.no_grad():
            average: ModelOutput = (self._look_average or self.average)(batch.images)
        return self.judged(
            self.say(batch.images), TeacherOutput(average.logits, average.features), batch, progress
        )

    @torch.no_grad()
    def after_step(self, progress: Progress, taken: Tensor) -> None:
        """Update the average. It depends on the step alone, so a resume needs nothing but the weights."""
        keep = min(self.momentum, progress.step / (progress.step + 1))
        ema_update(self.average.parameters(), self.student.parameters(), (1 - keep) * taken)
        for mean, buffer in zip(self.average.buffers(), self.student.buffers(), strict=True):
            mean.copy_(buffer)
