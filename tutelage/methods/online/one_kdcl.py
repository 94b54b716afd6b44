"""Online ensemble: networks that learn side by side, each from what all of them say together."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.config.loss_weights import loss_weights
from tutelage.config.methods import MethodConfig
from tutelage.losses.cross_entropy import UNLABELLED, LabelTerm
from tutelage.losses.precision import in_full_precision
from tutelage.losses.registry import build_terms
from tutelage.losses.term import BuildContext
from tutelage.methods.factory import TrainingFacts, loss_weighting
from tutelage.methods.method import LossWeighting
from tutelage.methods.online.peers import Peer, PeerMethod, for_each, teacher_output_of
from tutelage.methods.term_values import term_losses
from tutelage.models.preprocess import Classifier
from tutelage.types import (
    NO_NETWORK_INFO,
    NO_TEACHER_OUTPUT,
    Batch,
    LossOutput,
    MixedLabels,
    ModelOutput,
    Progress,
    TeacherOutput,
)

GATE_TERM = "ensemble.label"
Combine = Literal["gate", "mean", "least-loss"]


@in_full_precision
def gated_logits(said: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The logits of K networks, weighted for each image by a gate that reads all of them.

        g_i = softmax(W [z_i1, ..., z_iK] + b),   e_i = sum_k g_ik z_ik

    W = 0 and b = 0, with which training begins, give the mean. Computed in fp32 (fp64 for fp64 logits); the
    gradient goes to W and b, and to the logits where they ask for one.

    Lan, Zhu, Gong 2018, Knowledge distillation by on-the-fly native ensemble (ONE), arXiv:1806.04606,
    section 3. Where we differ: ONE's networks are branches of one trunk, and its gate reads the trunk's
    features through a linear layer, BatchNorm and ReLU; ours share nothing but the image, so the gate reads
    their logits through a linear layer alone.

    Args:
        said: [K, B, C] logits.
        weight: [K, K * C], W.
        bias: [K], b.

    Returns:
        [B, C].
    """
    shares = F.linear(said.transpose(0, 1).flatten(1), weight, bias).softmax(1)
    return torch.einsum("bk,kbc->bc", shares, said)


@in_full_precision
def least_loss_logits(said: Tensor, labels: Tensor, mixed: MixedLabels | None = None) -> Tensor:
    """For each image the logits of that of K networks whose cross-entropy with the label is least.

        e_i = z_ik,   k = argmin_k -log softmax(z_ik)[y_i]

    The first of equals. A view made of two images counts both labels by their shares. An image with an
    unknown label has the mean over the networks.

    Guo et al. 2020, Online knowledge distillation via collaborative learning (KDCL), CVPR 2020, where it is
    called KDCL-Naive. Where we differ: there each network sees a view of its own, here all see the same;
    there every image has a label.

    Args:
        said: [K, B, C] logits.
        labels: [B] int64, -1 where unknown.
        mixed: the second labels and the shares of the first, each [B].

    Returns:
        [B, C].
    """
    losses, known = _losses(said, labels), labels != UNLABELLED
    if mixed is not None:
        share = mixed.share.to(losses.dtype)
        losses = share * losses + (1 - share) * _losses(said, mixed.labels)
        known = known & (mixed.labels != UNLABELLED)
    best = losses.argmin(0)
    picked = said.gather(0, best[None, :, None].expand(1, *said.shape[1:]))[0]
    return torch.where(known[:, None], picked, said.mean(0))


def _losses(said: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy [K, B]; 0 where the label is unknown."""
    return torch.stack(
        [
            F.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="none")
            for logits in said
        ]
    )


class EnsembleGate(nn.Module):
    """`gated_logits` with a weight [K, K * C] and a bias [K] that learn; it begins as the mean."""

    def __init__(self, networks: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(networks, networks * classes))
        self.bias = nn.Parameter(torch.zeros(networks))

    def forward(self, said: Tensor) -> Tensor:
        """[K, B, C] -> [B, C]."""
        found: Tensor = gated_logits(said, self.weight, self.bias)
        return found


class OnlineEnsemble(PeerMethod):
    """K networks, each of which minimises its terms against the logits e that all of them make together.

        L_i = label_i + KL(softmax(e / T) || softmax(z_i / T)) T^2

    with any terms on logits in the place of KL. e is detached: a network is not moved to make a better
    ensemble. `mean`: e is the mean of the logits; `least-loss`: see `least_loss_logits`; `gate`: see
    `gated_logits`; the gate itself minimises the cross-entropy of e with the labels, the term
    `ensemble.label` of weight 1.

    Lan et al. 2018 (ONE), arXiv:1806.04606, section 3, where T = 3 and all weights are 1; Guo et al. 2020
    (KDCL). Where we differ: in ONE the ensemble's own cross-entropy trains the branches as well; here it
    trains the gate alone. Terms of peers are called `peer1.label` and so on.
    """

    def __init__(
        self,
        learners: Sequence[Peer],
        weights: Mapping[str, float],
        *,
        combine: Combine,
        classes: int,
        label_smoothing: float = 0.0,
        weighing: LossWeighting | None = None,
    ) -> None:
        """Put a method together.

        Args:
            learners: the student first.
            weights: of every term of all of them.
            combine: how their logits become one.
            classes: C.
            label_smoothing: of the gate's term, as of the others.
            weighing: how the weights change in training.
        """
        own = {GATE_TERM: 1.0} if combine == "gate" else {}
        super().__init__(learners, {**weights, **own}, weighing=weighing)
        self.combine: Combine = combine
        self.gate = EnsembleGate(len(learners), classes) if combine == "gate" else None
        self.gate_term = LabelTerm(smoothing=label_smoothing)

    @property
    def learners(self) -> Sequence[nn.Module]:
        """Each network, and the gate."""
        return [*super().learners, *([self.gate] if self.gate is not None else [])]

    def forward(
        self,
        batch: Batch,
        signal: TeacherOutput,  # noqa: ARG002  all teachers are within
        progress: Progress,
        *,
        phase: int = 0,  # noqa: ARG002  there is one
    ) -> LossOutput:
        """Run all networks once and compare each with what they say together."""
        outputs = [self.say(number, batch.images) for number in range(len(self.names))]
        together = self.together([teacher_output_of(output) for output in outputs], batch)
        word = teacher_output_of(ModelOutput(together, {}))
        terms: dict[str, Tensor] = {}
        for number, output in enumerate(outputs):
            terms |= self.compared(number, output, [word], batch, progress)
        if self.gate is not None:
            own, gated = {GATE_TERM: self.gate_term}, ModelOutput(together, {})
            terms |= term_losses(own, gated, NO_TEACHER_OUTPUT, batch, progress, self.sharing)
        return self.outcome(outputs[0], terms, batch)

    def together(self, words: Sequence[TeacherOutput], batch: Batch) -> Tensor:
        """The ensemble's logits [B, C] for this process's images; with a graph for the gate alone."""
        said = torch.stack([word.logits for word in words if word.logits is not None])
        if self.gate is not None:
            found: Tensor = self.gate(said)
            return found
        if self.combine == "mean":
            return said.mean(0)
        return least_loss_logits(said, batch.labels, batch.mixed)


def build_one_kdcl(
    settings: MethodConfig, student: Classifier, others: Sequence[Classifier], lesson: TrainingFacts
) -> OnlineEnsemble:
    """The method of some settings; each network has terms of its own."""
    networks = [student, *others]
    names = ["", *(f"peer{number}" for number in range(1, len(networks)))]
    ground = BuildContext(
        NO_NETWORK_INFO,
        NO_NETWORK_INFO,
        classes=lesson.classes,
        images=len(lesson.ids),
        ids=lesson.ids,
        label_smoothing=lesson.label_smoothing,
    )
    learners = [
        Peer(name, network, network, [build_terms(settings, ground, seed=lesson.seed + number)])
        for number, (name, network) in enumerate(zip(names, networks, strict=True))
    ]
    now = loss_weighting(settings, lesson.epochs)
    combine = settings.methods.one.combine
    own = {GATE_TERM: 1.0} if combine == "gate" else {}
    return OnlineEnsemble(
        learners,
        for_each(loss_weights(settings), names),
        combine=combine,
        classes=lesson.classes,
        label_smoothing=lesson.label_smoothing,
        weighing=lambda progress: {**for_each(now(progress), names), **own},
    )
