"""Online ensemble: networks trained side by side, each distilled from the ensemble of all."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.config.loss_weights import loss_weights
from tutelage.config.methods import MethodConfig
from tutelage.losses.cross_entropy import UNLABELLED, LabelTerm
from tutelage.losses.precision import in_full_precision
from tutelage.methods.factory import TrainingFacts, build_terms_between, loss_weighting
from tutelage.methods.method import LossWeighting
from tutelage.methods.online.peers import Peer, PeerMethod, for_each, teacher_output_of
from tutelage.methods.term_values import term_losses
from tutelage.models.preprocess import Classifier
from tutelage.types import (
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
def gated_logits(logits: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Combine the logits of K networks, weighted for each image by a gate that reads all of them.

        g_i = softmax(W [z_i1, ..., z_iK] + b),   e_i = sum_k g_ik z_ik

    W = 0 and b = 0, the initial values, give the mean. Computed in fp32 (fp64 for fp64 logits); gradients go
    to W and b, and to logits that require them.

    Lan, Zhu, Gong 2018, Knowledge distillation by on-the-fly native ensemble (ONE), arXiv:1806.04606,
    section 3. Where we differ: ONE's networks are branches of one trunk, and its gate reads the trunk's
    features through a linear layer, BatchNorm and ReLU; ours share nothing but the image, so the gate reads
    their logits through a linear layer alone.

    Args:
        logits: [K, B, C] logits.
        weight: [K, K * C], W.
        bias: [K], b.

    Returns:
        [B, C].
    """
    shares = F.linear(logits.transpose(0, 1).flatten(1), weight, bias).softmax(1)
    return torch.einsum("bk,kbc->bc", shares, logits)


@in_full_precision
def least_loss_logits(logits: Tensor, labels: Tensor, mixed: MixedLabels | None = None) -> Tensor:
    """Pick for each image the logits of the network whose cross-entropy with the label is least.

        e_i = z_ik,   k = argmin_k -log softmax(z_ik)[y_i]

    Ties go to the first network. A mixed view counts both labels by their shares. An image with an unknown
    label gets the mean over the networks.

    Guo et al. 2020, Online knowledge distillation via collaborative learning (KDCL), CVPR 2020, where it is
    called KDCL-Naive. Where we differ: there each network sees a view of its own, here all see the same;
    there every image has a label.

    Args:
        logits: [K, B, C] logits.
        labels: [B] int64, -1 where unknown.
        mixed: the second labels and the shares of the first, each [B].

    Returns:
        [B, C].
    """
    losses, known = _losses(logits, labels), labels != UNLABELLED
    if mixed is not None:
        share = mixed.share.to(losses.dtype)
        losses = share * losses + (1 - share) * _losses(logits, mixed.labels)
        known = known & (mixed.labels != UNLABELLED)
    best = losses.argmin(0)
    picked = logits.gather(0, best[None, :, None].expand(1, *logits.shape[1:]))[0]
    return torch.where(known[:, None], picked, logits.mean(0))


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy [K, B]; 0 for unknown labels."""
    return torch.stack(
        [F.cross_entropy(one, labels, ignore_index=UNLABELLED, reduction="none") for one in logits]
    )


class EnsembleGate(nn.Module):
    """`gated_logits` with a trained weight [K, K * C] and bias [K]; initially the mean."""

    def __init__(self, networks: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(networks, networks * classes))
        self.bias = nn.Parameter(torch.zeros(networks))

    def forward(self, logits: Tensor) -> Tensor:
        """Combine logits: [K, B, C] -> [B, C]."""
        found: Tensor = gated_logits(logits, self.weight, self.bias)
        return found


class OnlineEnsemble(PeerMethod):
    """K networks, each of which minimises its terms for the logits e of their ensemble.

        L_i = label_i + KL(softmax(e / T) || softmax(z_i / T)) T^2

    with any terms on logits in place of KL. e is detached: no network is trained to improve the ensemble.
    `mean`: e is the mean of the logits; `least-loss`: see `least_loss_logits`; `gate`: see `gated_logits`;
    the gate itself minimises the cross-entropy of e with the labels, the term `ensemble.label` of weight 1.

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
        """Initialize the method.

        Args:
            learners: the networks, the student first.
            weights: weights of the terms of all networks.
            combine: how their logits are combined.
            classes: C.
            label_smoothing: smoothing of the gate's label term.
            weighing: schedule of the weights.
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
        signal: TeacherOutput,  # noqa: ARG002  all teachers are inside
        progress: Progress,
        *,
        phase: int = 0,  # noqa: ARG002  only one phase
    ) -> LossOutput:
        """Run all networks once and compare each with their ensemble."""
        outputs = [self.say(number, batch.images) for number in range(len(self.names))]
        together = self.together([teacher_output_of(output) for output in outputs], batch)
        ensemble = teacher_output_of(ModelOutput(together, {}))
        terms: dict[str, Tensor] = {}
        for number, output in enumerate(outputs):
            terms |= self.compared(number, output, [ensemble], batch, progress)
        if self.gate is not None:
            own, gated = {GATE_TERM: self.gate_term}, ModelOutput(together, {})
            terms |= term_losses(own, gated, NO_TEACHER_OUTPUT, batch, progress, self.sharing)
        return self.outcome(outputs[0], terms, batch)

    def together(self, outputs: Sequence[TeacherOutput], batch: Batch) -> Tensor:
        """Return the ensemble's logits [B, C] for this process's images; only the gate has a graph."""
        logits = torch.stack([one.logits for one in outputs if one.logits is not None])
        if self.gate is not None:
            found: Tensor = self.gate(logits)
            return found
        if self.combine == "mean":
            return logits.mean(0)
        return least_loss_logits(logits, batch.labels, batch.mixed)


def build_one_kdcl(
    settings: MethodConfig, student: Classifier, others: Sequence[Classifier], facts: TrainingFacts
) -> OnlineEnsemble:
    """Build the method from settings; each network has its own terms."""
    networks = [student, *others]
    names = ["", *(f"peer{number}" for number in range(1, len(networks)))]
    learners = [
        Peer(
            name, network, network, [build_terms_between(network, network, settings, facts, salt=n)]
        )
        for n, (name, network) in enumerate(zip(names, networks, strict=True))
    ]
    now = loss_weighting(settings, facts.epochs)
    combine = settings.methods.one.combine
    own = {GATE_TERM: 1.0} if combine == "gate" else {}
    return OnlineEnsemble(
        learners,
        for_each(loss_weights(settings), names),
        combine=combine,
        classes=facts.classes,
        label_smoothing=facts.label_smoothing,
        weighing=lambda progress: {**for_each(now(progress), names), **own},
    )
