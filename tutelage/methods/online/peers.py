"""The base of online distillation: networks trained side by side, each with the others' current outputs.

Teacher outputs are detached: no gradient flows from a network into its teachers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tutelage.losses.feature_term import FeatureTerm
from tutelage.losses.term import Needs, Term
from tutelage.methods.method import LossWeighting, Method
from tutelage.methods.term_values import combined_needs, term_losses_of_each, terms_of
from tutelage.models.feature_hooks import FeatureExtractor
from tutelage.models.preprocess import Classifier
from tutelage.types import NO_TEACHER_OUTPUT, Batch, ModelOutput, Progress, TeacherOutput

Look = Callable[[Tensor], ModelOutput]


class Peer(NamedTuple):
    """One of the networks trained side by side."""

    name: str
    """Prefix of its terms; empty for the student."""

    network: Classifier
    """The network itself."""

    look: Look
    """Calls the network and records the features that terms need."""

    terms: Sequence[Mapping[str, Term]]
    """Its terms for each teacher; terms that use no teacher are in the first alone."""


def term_name(learner: str, term: str) -> str:
    """Name a term of one network among those of all.

    >>> term_name("peer1", "kd"), term_name("", "kd")
    ('peer1.kd', 'kd')
    """
    return f"{learner}.{term}" if learner else term


def for_each(weights: Mapping[str, float], learners: Sequence[str]) -> dict[str, float]:
    """Repeat the weights of one network's terms for each of several."""
    return {term_name(n, term): weight for n in learners for term, weight in weights.items()}


def teacher_output_of(output: ModelOutput) -> TeacherOutput:
    """Convert a network's output to a teacher output: detached, in fp32 or fp64."""
    logits = output.logits.detach()
    return TeacherOutput(
        logits.to(torch.promote_types(logits.dtype, torch.float32)),
        {point: features.detach() for point, features in output.features.items()},
    )


def observed(
    network: Classifier, own: Sequence[Mapping[str, Term]], taught: Sequence[Mapping[str, Term]]
) -> Look:
    """Return a callable that runs a network and records the features its own and its students' terms need."""
    points = [p for terms in own for term in terms.values() for p in term.needs.student_points]
    for term in (term for terms in taught for term in terms.values()):
        points += [*term.needs.teacher_points, *term.needs.teacher_vectors]
    return FeatureExtractor(network, points) if points else network


@contextmanager
def keep_running_stats(network: nn.Module) -> Iterator[None]:
    """Run a network in training mode without a graph, and restore its running statistics afterwards."""
    kept = [(buffer, buffer.clone()) for buffer in network.buffers()]
    with torch.no_grad():
        yield
        for buffer, before in kept:
            buffer.copy_(before)


class PeerMethod(Method):
    """A student and its peers. Subclasses implement `forward`."""

    def __init__(
        self,
        learners: Sequence[Peer],
        weights: Mapping[str, float],
        *,
        weighing: LossWeighting | None = None,
    ) -> None:
        """Initialize the method.

        Args:
            learners: the networks, the student first.
            weights: weights of the terms of all networks.
            weighing: schedule of the weights.
        """
        super().__init__()
        self.student = learners[0].network
        self.peers = nn.ModuleList(learner.network for learner in learners[1:])
        self.lessons = nn.ModuleList(
            nn.ModuleList(nn.ModuleDict(dict(terms)) for terms in learner.terms)
            for learner in learners
        )
        self.names = tuple(learner.name for learner in learners)
        self.weights = dict(weights)
        self.weighing = weighing
        # Not registered as modules: the networks would get a second name in the state.
        self._looks = [learner.look for learner in learners]

    @property
    def terms(self) -> Mapping[str, Term]:
        """The student's terms for its first teacher."""
        return self.lessons_of(0)[0]

    @property
    def needs(self) -> Needs:
        """Labels and ids; all teachers are inside."""
        needs = combined_needs(self._all_terms())
        return Needs(labels=needs.labels, ids=needs.ids, student_points=needs.student_points)

    @property
    def partial(self) -> bool:
        """True for staged terms, and for feature terms alone: layers after the features get no gradient."""
        if super().partial or any(term.staged for term in self._all_terms()):
            return True
        each = [self.lessons_of(number)[0].values() for number in range(len(self.names))]
        return any(all(isinstance(term, FeatureTerm) for term in terms) for terms in each)

    @property
    def learners(self) -> Sequence[nn.Module]:
        """Each network with its adapters."""
        networks = [self.student, *self.peers]
        return [nn.ModuleList(pair) for pair in zip(networks, self.lessons, strict=True)]

    @property
    def companions(self) -> Sequence[nn.Module]:
        """All networks but the student."""
        return list(self.peers)

    def lessons_of(self, number: int) -> list[dict[str, Term]]:
        """Return the terms of one network for each of its teachers."""
        own = self.lessons[number]
        assert isinstance(own, nn.ModuleList)
        return [terms_of(terms) for terms in own if isinstance(terms, nn.ModuleDict)]

    def say(self, number: int, images: Tensor) -> ModelOutput:
        """Run one network on images; returns logits and the features that terms need."""
        return self._looks[number](images)

    def compared(
        self,
        number: int,
        output: ModelOutput,
        teachers: Sequence[TeacherOutput],
        batch: Batch,
        progress: Progress,
    ) -> dict[str, Tensor]:
        """Compute the terms of one network for its teachers' outputs, with equal weights."""
        signals = list(teachers) or [NO_TEACHER_OUTPUT]
        shares = [1 / len(signals)] * len(signals)
        found = term_losses_of_each(
            self.lessons_of(number), output, signals, shares, batch, progress, self.sharing
        )
        return {term_name(self.names[number], term): value for term, value in found.items()}

    def _all_terms(self) -> list[Term]:
        each = [self.lessons_of(number) for number in range(len(self.names))]
        return [term for by_teacher in each for terms in by_teacher for term in terms.values()]
