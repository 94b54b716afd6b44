"""CS-KD: what a network says about another image of the same class teaches it."""

from collections.abc import Sequence

import torch

from tutelage.config.augmentation import AugmentationConfig
from tutelage.config.loss_weights import loss_weights
from tutelage.config.methods import MethodConfig
from tutelage.errors import UsageError
from tutelage.methods.factory import TrainingFacts, build_terms_between, loss_weighting
from tutelage.methods.registry import check_mixtures
from tutelage.methods.self.self_student import SelfStudentMethod
from tutelage.models.preprocess import Classifier
from tutelage.types import Batch, LossOutput, Progress, TeacherOutput


def build_cs_kd(
    settings: MethodConfig,
    student: Classifier,
    others: Sequence[Classifier],  # noqa: ARG001  nobody else takes part
    lesson: TrainingFacts,
) -> "ClassWiseSelfKD":
    """The method of some settings.

    Raises:
        UsageError: views of two images, which have no one class.
    """
    if isinstance(settings, AugmentationConfig):
        check_mixtures(settings.method, settings)
    return ClassWiseSelfKD(
        student,
        build_terms_between(student, student, settings, lesson),
        loss_weights(settings),
        weighing=loss_weighting(settings, lesson.epochs),
    )


class ClassWiseSelfKD(SelfStudentMethod):
    """Class-wise self-knowledge distillation (CS-KD).

        loss = CE(y, q(x)) + lambda T^2 KL(p(x') || q(x))

    x' is another image of the class of x, p what the network says about it at this moment: no gradient goes
    there. Published with lambda 1 and T = 4, each beside the full weight of the label.

    Each epoch draws x' anew for each image (`data/loading/same_class.py`) and shows it in its own view. An image
    without a label, or alone in its class, is its own partner: it then hears almost what it says.

    Yun, Park, Lee, Shin 2020, arXiv:2003.13964, section 2. As in the authors' code, the network is in
    training while it speaks about x': BatchNorm normalises partners by their own batch, and its running
    statistics see them, too. Where we differ: the authors may draw x itself.
    """

    wants_partners = True

    def forward(
        self,
        batch: Batch,
        signal: TeacherOutput,  # noqa: ARG002  nobody outside is listened to
        progress: Progress,
        *,
        phase: int = 0,  # noqa: ARG002  there is one
    ) -> LossOutput:
        """Compare what is said about each image with what is said about its partner.

        Raises:
            UsageError: a batch without partners.
        """
        if batch.partners is None:
            raise UsageError(
                "the method class-wise hears about another image of each class, and the batch has none",
                fix="training_loader(..., partners=True)",
            )
        output = self.say(batch.images)
        # In this order: autocast keeps its copies of the weights, and those made here would have no gradient.
        with torch.no_grad():
            partner = self.say(batch.partners).logits
        return self.judged(output, TeacherOutput(partner, {}), batch, progress)
