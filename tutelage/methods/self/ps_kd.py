"""PS-KD: a network's own answers of the epoch before teach it, more and more."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from tutelage.config.augmentation import AugmentationConfig
from tutelage.config.loss_weights import loss_weights
from tutelage.config.methods import MethodConfig
from tutelage.losses.cross_entropy import LabelTerm
from tutelage.losses.per_sample_buffers import PerSampleBuffer
from tutelage.losses.term import Term
from tutelage.methods.factory import TrainingFacts, build_terms_between, loss_weighting
from tutelage.methods.gather import gather_rows
from tutelage.methods.method import LossWeighting
from tutelage.methods.registry import check_mixtures
from tutelage.methods.self.self_student import SelfStudentMethod
from tutelage.methods.term_values import reads_teacher
from tutelage.models.preprocess import Classifier
from tutelage.types import Batch, LossOutput, Progress, TeacherOutput


def build_ps_kd(
    settings: MethodConfig,
    student: Classifier,
    others: Sequence[Classifier],  # noqa: ARG001  nobody else takes part
    lesson: TrainingFacts,
) -> "ProgressiveSelfKD":
    """The method of some settings.

    Raises:
        UsageError: views of two images, about which no single image's past says anything.
    """
    if isinstance(settings, AugmentationConfig):
        check_mixtures(settings.method, settings)
    terms = build_terms_between(student, student, settings, lesson)
    base = loss_weighting(settings, lesson.epochs)
    given = loss_weights(settings)
    if "label" not in terms:
        # At alpha = 1, too, the labels have what the past has not yet.
        terms = {"label": LabelTerm(lesson.label_smoothing), **terms}
        given = {"label": 0.0, **given}
    heard = [name for name, term in terms.items() if reads_teacher(term)]
    grown = growing_alpha(base, heard, lesson.epochs)
    return ProgressiveSelfKD(student, terms, given, grown, ids=lesson.ids, classes=lesson.classes)


def growing_alpha(base: LossWeighting, heard: Collection[str], epochs: int) -> LossWeighting:
    """Weights that grow with the epochs for terms that hear the past, and what they give up for `label`.

        w_k(e) = w_k e / E,   w_label(e) = w_label + sum_k w_k (1 - e / E)

    e counts epochs from 1 to E; in the first one, without a past, e / E is 0.
    """

    def weights_now(progress: Progress) -> Mapping[str, float]:
        share = (progress.epoch + 1) / epochs if progress.epoch else 0.0
        now = dict(base(progress))
        given_up = sum(now[name] * (1 - share) for name in heard)
        kept = {name: w * share if name in heard else w for name, w in now.items()}
        return kept | {"label": now.get("label", 0.0) + given_up}

    return weights_now


class ProgressiveSelfKD(SelfStudentMethod, PerSampleBuffer):
    """Self-knowledge distillation with progressive refinement of targets (PS-KD).

        loss_e = (1 - a_e) CE(y, q) + a_e T^2 KL(p_(e-1) || q),   a_e = alpha e / E

    q is what the network says about an image in epoch e of E (from 1), p_(e-1) what it said about the same
    image in the epoch before, from its logits then. In the first epoch there is no past and a_1 is 0. With
    other terms than kd, each weight of a term that hears the past is scaled by e / E, and what it gives up
    goes to the labels. Published with alpha 0.8 and T = 1.

    The logits of all N images are kept in fp32 [N, C], on the device and in each checkpoint: 20 MB for
    CIFAR-100, 5 GB for ImageNet.

    Kim, Ji, Yoon, Hwang 2021, arXiv:2006.12000, section 3. Where we differ: the paper writes the
    cross-entropy with the soft target (1 - a) y + a p, whose gradient is the same at T = 1; its value is more
    by a times the entropy of p. As in the authors' code, the past is what was said in training about that
    epoch's view of the image, not about the image as stored.
    """

    by_row = ("said",)
    ids: Tensor
    said: Tensor

    def __init__(
        self,
        student: nn.Module,
        terms: Mapping[str, Term],
        weights: Mapping[str, float],
        weighing: LossWeighting,
        *,
        ids: Tensor,
        classes: int,
    ) -> None:
        """Put a method together.

        Args:
            student: images -> Output.
            terms: by name, `label` among them.
            weights: of each, at the end of training.
            weighing: how they grow.
            ids: int64 [N], the images that are taught with.
            classes: C.
        """
        super().__init__(student, terms, weights, weighing=weighing)
        self.register_buffer("ids", ids.sort().values, persistent=False)
        self.register_buffer("said", torch.zeros(len(ids), classes))

    def forward(
        self,
        batch: Batch,
        signal: TeacherOutput,  # noqa: ARG002  nobody outside is listened to
        progress: Progress,
        *,
        phase: int = 0,  # noqa: ARG002  there is one
    ) -> LossOutput:
        """Compare with the epoch before, then remember this one for the next."""
        output = self.say(batch.images)
        # In the first epoch, where it has no weight, the past is the present: a term of 0.
        before = output.logits.detach()
        if progress.epoch:
            before = self.said[self._places(batch.ids)]
        outcome = self.judged(output, TeacherOutput(before, {}), batch, progress)
        if self.training:
            # Of all processes, so that each knows the past of an image whoever is shown it next.
            places = self._places(gather_rows(batch.ids, batch, self.sharing))
            self.overwrite(self.said, places, outcome.logits)
        return outcome

    def _places(self, ids: Tensor) -> Tensor:
        return torch.searchsorted(self.ids, ids)
