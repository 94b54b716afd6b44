"""CS-KD: the target of an image is the network's own output for another image of its class."""

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
    others: Sequence[Classifier],  # noqa: ARG001  no other network
    facts: TrainingFacts,
) -> "ClassWiseSelfKD":
    """Build the method from settings.

    Raises:
        UsageError: MixUp or CutMix, whose views have no single class.
    """
    if isinstance(settings, AugmentationConfig):
        check_mixtures(settings.method, settings)
    return ClassWiseSelfKD(
        student,
        build_terms_between(student, student, settings, facts),
        loss_weights(settings),
        weighing=loss_weighting(settings, facts.epochs),
    )


class ClassWiseSelfKD(SelfStudentMethod):
    """Class-wise self-knowledge distillation (CS-KD).

        loss = CE(y, q(x)) + lambda T^2 KL(p(x') || q(x))

    x' is another image of the class of x, p the network's current output for it, without a gradient.
    Published with lambda 1 and T = 4, each beside the full weight of the label.

    Each epoch draws a new x' for each image (`data/loading/same_class.py`), in its own view. An image without
    a label, or alone in its class, is its own partner.

    Yun, Park, Lee, Shin 2020, arXiv:2003.13964, section 2. As in the authors' code, the network is in
    training mode for x': BatchNorm normalises partners by their own batch and counts them in its running
    statistics. Where we differ: the authors may draw x itself.
    """

    wants_partners = True

    def forward(
        self,
        batch: Batch,
        signal: TeacherOutput,  # noqa: ARG002  no outside teacher
        progress: Progress,
        *,
        phase: int = 0,  # noqa: ARG002  only one phase
    ) -> LossOutput:
        """Compare the output for each image with that for its partner.

        Raises:
            UsageError: a batch without partners.
        """
        if batch.partners is None:
            raise UsageError(
                "the method cs-kd needs another image of each class, and the batch has none",
                fix="training_loader(..., partners=True)",
            )
        output = self.say(batch.images)
        # In this order: autocast caches its copies of the weights, and those made here have no gradient.
        with torch.no_grad():
            partner = self.say(batch.partners).logits
        return self.judged(output, TeacherOutput(partner, {}), batch, progress)
