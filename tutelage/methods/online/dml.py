"""Deep mutual learning: networks trained side by side, each distilled from all others (Zhang 2018)."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from tutelage.config.loss_weights import loss_weights
from tutelage.config.methods import MethodConfig
from tutelage.config.training import OptimizationConfig
from tutelage.errors import UsageError
from tutelage.losses.term import Term
from tutelage.methods.factory import TrainingFacts, build_terms_between, loss_weighting
from tutelage.methods.method import LossWeighting
from tutelage.methods.online.peers import (
    Look,
    Peer,
    PeerMethod,
    for_each,
    keep_running_stats,
    observed,
    teacher_output_of,
)
from tutelage.methods.term_values import reads_teacher
from tutelage.models.preprocess import Classifier
from tutelage.types import Batch, LossOutput, ModelOutput, Progress, TeacherOutput

Pairs = dict[tuple[int, int], dict[str, Term]]


class DeepMutualLearning(PeerMethod):
    """K networks, each of which minimises its label loss and the divergence from the others' outputs.

        L_i = label_i + (1 / (K - 1)) sum_{j != i} KL(p_j || p_i)

    p_j is detached. Any terms may take the place of KL, also on features; terms that use no teacher count
    once, the others are averaged over the peers. With one network this is plain training.

    By default all networks are updated at once, from outputs before the step. `alternate` is the paper's
    algorithm 1: outputs are computed again after each update, so that later networks see the newer ones. A
    phase updates one network; the others run in training mode, with the statistics of the batch, but their
    running statistics change in their own phase alone.

    Zhang, Xiang, Hospedales, Lu 2018, Deep mutual learning, arXiv:1706.00384, section 3, algorithm 1; T = 1
    and all weights are 1 there. Where we differ: any terms and weights; one optimizer serves all networks,
    which with these settings is the same as one for each, since it works weight by weight. Terms of peers
    are called `peer1.label`, `peer1.kd` and so on.
    """

    def __init__(
        self,
        learners: Sequence[Peer],
        weights: Mapping[str, float],
        *,
        alternate: bool = False,
        weighing: LossWeighting | None = None,
    ) -> None:
        """Initialize the method; `alternate` updates one network after the other."""
        super().__init__(learners, weights, weighing=weighing)
        self.alternate = alternate
        self.phases = len(learners) if alternate else 1

    def forward(
        self,
        batch: Batch,
        signal: TeacherOutput,  # noqa: ARG002  all teachers are inside
        progress: Progress,
        *,
        phase: int = 0,
    ) -> LossOutput:
        """Run all networks once and compare those trained in this phase with each of the others."""
        everyone = range(len(self.names))
        learning = [phase] if self.alternate else everyone
        outputs = [self._run(number, batch, learns=number in learning) for number in everyone]
        signals = [teacher_output_of(output) for output in outputs]
        terms: dict[str, Tensor] = {}
        for number in learning:
            others = [signal for other, signal in enumerate(signals) if other != number]
            terms |= self.compared(number, outputs[number], others, batch, progress)
        return self.outcome(outputs[0], terms, batch)

    def _run(self, number: int, batch: Batch, *, learns: bool) -> ModelOutput:
        if learns:
            return self.say(number, batch.images)
        with keep_running_stats([self.student, *self.peers][number]):
            return self.say(number, batch.images)


def build_dml(
    settings: MethodConfig, student: Classifier, others: Sequence[Classifier], facts: TrainingFacts
) -> DeepMutualLearning:
    """Build the method from settings; every ordered pair of networks has its own terms.

    Raises:
        UsageError: `alternate` with gradient accumulation, points that do not exist, or a term that does not
            fit these networks.
    """
    alternate = settings.methods.dml.alternate
    if alternate and isinstance(settings, OptimizationConfig) and settings.grad_accum_steps > 1:
        raise UsageError(
            "networks that are updated one after the other cannot gather gradients over several batches: "
            "each needs the others' outputs after their update",
            found=f"grad_accum_steps = {settings.grad_accum_steps} and methods.dml.alternate",
            fix="--grad-accum-steps 1, or without --methods.dml.alternate",
        )
    networks = [student, *others]
    names = ["", *(f"peer{number}" for number in range(1, len(networks)))]
    pairs = _pairs(networks, settings, facts)
    learners = [
        Peer(name, network, _look(number, network, pairs), _terms_of(number, pairs))
        for number, (name, network) in enumerate(zip(names, networks, strict=True))
    ]
    kept = learners[0].terms[0]
    each = {name: weight for name, weight in loss_weights(settings).items() if name in kept}
    now = loss_weighting(settings, facts.epochs)
    return DeepMutualLearning(
        learners,
        for_each(each, names),
        alternate=alternate,
        weighing=lambda progress: for_each(
            {name: weight for name, weight in now(progress).items() if name in kept}, names
        ),
    )


def _pairs(networks: Sequence[Classifier], settings: MethodConfig, facts: TrainingFacts) -> Pairs:
    """Build terms by (learner, teacher); a single network keeps those that use no teacher."""
    count = len(networks)
    if count == 1:
        terms = build_terms_between(networks[0], networks[0], settings, facts)
        return {(0, 0): {name: term for name, term in terms.items() if not reads_teacher(term)}}
    return {
        (i, j): build_terms_between(networks[i], networks[j], settings, facts, salt=i * count + j)
        for i in range(count)
        for j in range(count)
        if i != j
    }


def _terms_of(number: int, pairs: Pairs) -> list[dict[str, Term]]:
    first, *rest = [terms for (learns, _), terms in pairs.items() if learns == number]
    return [first, *({n: t for n, t in terms.items() if reads_teacher(t)} for terms in rest)]


def _look(number: int, network: Classifier, pairs: Pairs) -> Look:
    own = [terms for (learns, _), terms in pairs.items() if learns == number]
    taught = [terms for (_, teaches), terms in pairs.items() if teaches == number]
    return observed(network, own, taught)
