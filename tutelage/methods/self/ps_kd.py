"""PS-KD: the targets are the network's own outputs of the previous epoch, with growing weight."""

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
    others: Sequence[Classifier],  # noqa: ARG001  no other network
    facts: TrainingFacts,
) -> "ProgressiveSelfKD":
    """Build the method from settings.

    Raises:
        UsageError: MixUp or CutMix, for whose views there are no previous outputs.
    """
    if isinstance(settings, AugmentationConfig):
        check_mixtures(settings.method, settings)
    terms = build_terms_between(student, student, settings, facts)
    base = loss_weighting(settings, facts.epochs)
    given = loss_weights(settings)
    if "label" not in terms:
        # At alpha = 1, too, the labels take the weight that the past does not have yet.
        terms = {"label": LabelTerm(facts.label_smoothing), **terms}
        given = {"label": 0.0, **given}
    past_terms = [name for name, term in terms.items() if reads_teacher(term)]
    growing = growing_alpha(base, past_terms, facts.epochs)
    return ProgressiveSelfKD(student, terms, given, growing, ids=facts.ids, classes=facts.classes)


def growing_alpha(base: LossWeighting, past_terms: Collection[str], epochs: int) -> LossWeighting:
    """Return weights that grow with the epochs for `past_terms`; `label` takes the rest.

        w_k(e) = w_k e / E,   w_label(e) = w_label + sum_k w_k (1 - e / E)

    e counts epochs from 1 to E; in the first one, without previous outputs, e / E is 0.
    """

    def weights_now(progress: Progress) -> Mapping[str, float]:
        share = (progress.epoch + 1) / epochs if progress.epoch else 0.0
        now = dict(base(progress))
        given_up = sum(now[name] * (1 - share) for name in past_terms)
        kept = {name: w * share if name in past_terms else w for name, w in now.items()}
        return kept | {"label": now.get("label", 0.0) + given_up}

    return weights_now


class ProgressiveSelfKD(SelfStudentMethod, PerSampleBuffer):
    """Self-knowledge distillation with progressive refinement of targets (PS-KD).

        loss_e = (1 - a_e) CE(y, q) + a_e T^2 KL(p_(e-1) || q),   a_e = alpha e / E

    q is the network's output for an image in epoch e of E (from 1), p_(e-1) its output for the same image in
    the previous epoch. In the first epoch there is none and a_1 is 0. With other terms than kd, the weight of
    each term that uses the past is scaled by e / E, and the rest goes to the labels. Published with alpha 0.8
    and T = 1.

    The logits of all N images are kept in fp32 [N, C], on the device and in each checkpoint: 20 MB for
    CIFAR-100, 5 GB for ImageNet.

    Kim, Ji, Yoon, Hwang 2021, arXiv:2006.12000, section 3. Where we differ: the paper writes the
    cross-entropy with the soft target (1 - a) y + a p, whose gradient is the same at T = 1; its value is more
    by a times the entropy of p. As in the authors' code, the past outputs are those for that epoch's view of
    the image in training, not for the stored image.
    """

    by_row = ("said",)
    ids: Tensor
    """Rows of the training images, sorted, int64 [N]."""

    said: Tensor
    """Logits of the last epoch, [N, C]."""

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
        """Initialize the method.

        Args:
            student: maps images to a `ModelOutput`.
            terms: terms by name, `label` among them.
            weights: weight of each term at the end of training.
            weighing: schedule of the weights.
            ids: rows of the training images, int64 [N].
            classes: C.
        """
        super().__init__(student, terms, weights, weighing=weighing)
        self.register_buffer("ids", ids.sort().values, persistent=False)
        self.register_buffer("said", torch.zeros(len(ids), classes))

    def forward(
        self,
        batch: Batch,
        signal: TeacherOutput,  # noqa: ARG002  no outside teacher
        progress: Progress,
        *,
        phase: int = 0,  # noqa: ARG002  only one phase
    ) -> LossOutput:
        """Compare with the previous epoch's outputs, then store these for the next."""
        output = self.say(batch.images)
        # In the first epoch the past has no weight: use the present, for a term of 0.
        before = output.logits.detach()
        if progress.epoch:
            before = self.said[self._places(batch.ids)]
        outcome = self.judged(output, TeacherOutput(before, {}), batch, progress)
        if self.training:
            # Of all processes: in the next epoch another one may get the image.
            places = self._places(gather_rows(batch.ids, batch, self.sharing))
            self.overwrite(self.said, places, outcome.logits)
        return outcome

    def _places(self, ids: Tensor) -> Tensor:
        return torch.searchsorted(self.ids, ids)
