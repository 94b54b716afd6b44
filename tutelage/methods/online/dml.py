"""Deep mutual learning: networks that learn side by side, each taught by all others (Zhang 2018)."""

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
    """K networks, each of which minimises its label and the distance from what the others say.

        L_i = label_i + (1 / (K - 1)) sum_{j != i} KL(p_j || p_i)

    p_j is only heard: its gradient stops. Any terms may stand in the place of KL, those of features too;
    terms that hear no teacher count once, the others are averaged over the peers. With one network it is
    plain training.

    All at once (the default), every network is updated by what all said before the step. `alternate` is the
    paper's algorithm 1: after each update the predictions are made anew, so that later networks hear the
    newer word. A phase updates one network; the others are asked as in training, by the statistics of
    the batch, but their running statistics move in their own phase alone.

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
        """Put a method together; `alternate`: one network is updated after the other."""
        super().__init__(learners, weights, weighing=weighing)
        self.alternate = alternate
        self.phases = len(learners) if alternate else 1

    def forward(
        self,
        batch: Batch,
        signal: TeacherOutput,  # noqa: ARG002  all teachers are within
        progress: Progress,
        *,
        phase: int = 0,
    ) -> LossOutput:
        """Run all networks once and compare those that learn in this phase with each of the others."""
        everyone = range(len(self.names))
        learning = [phase] if self.alternate else everyone
        outputs = [self._ask(number, batch, learns=number in learning) for number in everyone]
        words = [teacher_output_of(output) for output in outputs]
        terms: dict[str, Tensor] = {}
        for number in learning:
            others = [word for other, word in enumerate(words) if other != number]
            terms |= self.compared(number, outputs[number], others, batch, progress)
        return self.outcome(outputs[0], terms, batch)

    def _ask(self, number: int, batch: Batch, *, learns: bool) -> ModelOutput:
        if learns:
            return self.say(number, batch.images)
        with keep_running_stats([self.student, *self.peers][number]):
            return self.say(number, batch.images)


def build_dml(
    settings: MethodConfig, student: Classifier, others: Sequence[Classifier], lesson: TrainingFacts
) -> DeepMutualLearning:
    """The method of some settings; every ordered pair of networks has terms of its own.

    Raises:
        UsageError: `alternate` with gradients gathered over several batches, points that do not exist, or an
            idea that does not fit these networks.
    """
    alternate = settings.methods.dml.alternate
    if alternate and isinstance(settings, OptimizationConfig) and settings.grad_accum_steps > 1:
        raise UsageError(
            "networks that are updated one after the other cannot gather gradients over several batches: "
            "each has to hear what the others say after their update",
            found=f"accumulate = {settings.grad_accum_steps} and methods.dml.alternate",
            fix="--grad-accum-steps 1, or without --methods.dml.alternate",
        )
    networks = [student, *others]
    names = ["", *(f"peer{number}" for number in range(1, len(networks)))]
    pairs = _pairs(networks, settings, lesson)
    learners = [
        Peer(name, network, _look(number, network, pairs), _lessons(number, pairs))
        for number, (name, network) in enumerate(zip(names, networks, strict=True))
    ]
    kept = learners[0].lessons[0]
    each = {name: weight for name, weight in loss_weights(settings).items() if name in kept}
    now = loss_weighting(settings, lesson.epochs)
    return DeepMutualLearning(
        learners,
        for_each(each, names),
        alternate=alternate,
        weighing=lambda progress: for_each(
            {name: weight for name, weight in now(progress).items() if name in kept}, names
        ),
    )


def _pairs(networks: Sequence[Classifier], settings: MethodConfig, lesson: TrainingFacts) -> Pairs:
    """The terms by (who learns, who teaches); alone, a network keeps those that hear nobody."""
    count = len(networks)
    if count == 1:
        terms = build_terms_between(networks[0], networks[0], settings, lesson)
        return {(0, 0): {name: term for name, term in terms.items() if not reads_teacher(term)}}
    return {
        (i, j): build_terms_between(networks[i], networks[j], settings, lesson, salt=i * count + j)
        for i in range(count)
        for j in range(count)
        if i != j
    }


def _lessons(number: int, pairs: Pairs) -> list[dict[str, Term]]:
    first, *rest = [terms for (learns, _), terms in pairs.items() if learns == number]
    return [first, *({n: t for n, t in terms.items() if reads_teacher(t)} for terms in rest)]


def _look(number: int, network: Classifier, pairs: Pairs) -> Look:
    own = [terms for (learns, _), terms in pairs.items() if learns == number]
    taught = [terms for (_, teaches), terms in pairs.items() if teaches == number]
    return observed(network, own, taught)
