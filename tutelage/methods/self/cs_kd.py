"""CS-KD: what a network says about another picture of the same class teaches it."""

from collections.abc import Sequence

import torch

from tutelage.config.augmentation import Views
from tutelage.config.loss_weights import weights
from tutelage.config.methods import Teaching
from tutelage.errors import UsageError
from tutelage.methods.factory import Lesson, terms_between, weighing
from tutelage.methods.registry import refuse_mixtures
from tutelage.methods.self.self_student import SelfTaught
from tutelage.models.preprocess import Classifier
from tutelage.types import Batch, Outcome, Progress, Signal


def build(
    settings: Teaching,
    student: Classifier,
    others: Sequence[Classifier],  # noqa: ARG001  nobody else takes part
    lesson: Lesson,
) -> "ClassWise":
    """The method of some settings.

    Raises:
        UsageError: views of two pictures, which have no one class.
    """
    if isinstance(settings, Views):
        refuse_mixtures(settings.method, settings)
    return ClassWise(
        student,
        terms_between(student, student, settings, lesson),
        weights(settings),
        weighing=weighing(settings, lesson.epochs),
    )


class ClassWise(SelfTaught):
    """Class-wise self-knowledge distillation (CS-KD).

        loss = CE(y, q(x)) + lambda T^2 KL(p(x') || q(x))

    x' is another picture of the class of x, p what the network says about it at this moment: no gradient goes
    there. Published with lambda 1 and T = 4, each beside the full weight of the label.

    Each epoch draws x' anew for each picture (`data/loading/same_class.py`) and shows it in its own view. A picture
    without a label, or alone in its class, is its own partner: it then hears almost what it says.

    Yun, Park, Lee, Shin 2020, arXiv:2003.13964, section 2. As in the authors' code, the network is in
    training while it speaks about x': BatchNorm normalises partners by their own batch, and its running
    statistics see them, too. Where we differ: the authors may draw x itself.
    """

    wants_partners = True

    def forward(
        self,
        batch: Batch,
        signal: Signal,  # noqa: ARG002  nobody outside is listened to
        progress: Progress,
        *,
        phase: int = 0,  # noqa: ARG002  there is one
    ) -> Outcome:
        """Compare what is said about each picture with what is said about its partner.

        Raises:
            UsageError: a batch without partners.
        """
        if batch.partners is None:
            raise UsageError(
                "the method class-wise hears about another picture of each class, and the batch has none",
                fix="training_loader(..., partners=True)",
            )
        output = self.say(batch.images)
        # In this order: autocast keeps its copies of the weights, and those made here would have no gradient.
        with torch.no_grad():
            partner = self.say(batch.partners).logits
        return self.judged(output, Signal(partner, {}), batch, progress)
