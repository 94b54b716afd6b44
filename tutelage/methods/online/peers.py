"""Networks that learn side by side, in one step: what mutual learning, ensembles and joint training share.

Each network is taught by what others say at that moment. A word is detached before it teaches: no gradient
flows from a network into the one that teaches it.
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
    """One of several networks.

    name: before its terms, empty for the student; look: calls the network and records what terms look at in
    it; lessons: its terms under each of its teachers, those that hear none in the first alone.
    """

    name: str
    network: Classifier
    look: Look
    lessons: Sequence[Mapping[str, Term]]


def term_name(learner: str, term: str) -> str:
    """A term among those of all networks.

    >>> term_name("peer1", "kd"), term_name("", "kd")
    ('peer1.kd', 'kd')
    """
    return f"{learner}.{term}" if learner else term


def for_each(weights: Mapping[str, float], learners: Sequence[str]) -> dict[str, float]:
    """The weights of one network's terms, for each of several."""
    return {term_name(n, term): weight for n in learners for term, weight in weights.items()}


def teacher_output_of(output: ModelOutput) -> TeacherOutput:
    """What a network says, as a teacher: in fp32 or fp64, and with no way back into it."""
    logits = output.logits.detach()
    return TeacherOutput(
        logits.to(torch.promote_types(logits.dtype, torch.float32)),
        {point: features.detach() for point, features in output.features.items()},
    )


def observed(
    network: Classifier, own: Sequence[Mapping[str, Term]], taught: Sequence[Mapping[str, Term]]
) -> Look:
    """What calls a network and records what its own terms, and those it teaches by, look at in it."""
    points = [p for terms in own for term in terms.values() for p in term.needs.student_points]
    for term in (term for terms in taught for term in terms.values()):
        points += [*term.needs.teacher_points, *term.needs.teacher_vectors]
    return FeatureExtractor(network, points) if points else network


@contextmanager
def keep_running_stats(network: nn.Module) -> Iterator[None]:
    """A network is only asked: no graph is built, and its running statistics stay what they were.

    It answers as in training, by the statistics of the batch.
    """
    kept = [(buffer, buffer.clone()) for buffer in network.buffers()]
    with torch.no_grad():
        yield
        for buffer, before in kept:
            buffer.copy_(before)


class PeerMethod(Method):
    """A student and its companions. Subclasses write `forward`."""

    def __init__(
        self,
        learners: Sequence[Peer],
        weights: Mapping[str, float],
        *,
        weighing: LossWeighting | None = None,
    ) -> None:
        """Put a method together.

        Args:
            learners: the student first.
            weights: of every term of all of them.
            weighing: how the weights change in training.
        """
        super().__init__()
        self.student = learners[0].network
        self.peers = nn.ModuleList(learner.network for learner in learners[1:])
        self.lessons = nn.ModuleList(
            nn.ModuleList(nn.ModuleDict(dict(terms)) for terms in learner.lessons)
            for learner in learners
        )
        self.names = tuple(learner.name for learner in learners)
        self.weights = dict(weights)
        self.weighing = weighing
        # No modules: they would give what they look at a second name.
        self._looks = [learner.look for learner in learners]

    @property
    def terms(self) -> Mapping[str, Term]:
        """The student's, under its first teacher."""
        return self.lessons_of(0)[0]

    @property
    def needs(self) -> Needs:
        """Labels and ids; everything a term hears of a teacher comes from within."""
        needs = combined_needs(self._all_terms())
        return Needs(labels=needs.labels, ids=needs.ids, student_points=needs.student_points)

    @property
    def partial(self) -> bool:
        """Stages of a term leave some of its parameters alone; features alone, what comes after them."""
        if super().partial or any(term.staged for term in self._all_terms()):
            return True
        each = [[*lessons[0].values()] for lessons in map(self.lessons_of, range(len(self.names)))]
        return any(all(isinstance(term, FeatureTerm) for term in terms) for terms in each)

    @property
    def learners(self) -> Sequence[nn.Module]:
        """Each network with its own adapters."""
        networks = [self.student, *self.peers]
        return [nn.ModuleList(pair) for pair in zip(networks, self.lessons, strict=True)]

    @property
    def companions(self) -> Sequence[nn.Module]:
        """All networks but the student."""
        return list(self.peers)

    def lessons_of(self, number: int) -> list[dict[str, Term]]:
        """The terms of one network, under each of its teachers."""
        own = self.lessons[number]
        assert isinstance(own, nn.ModuleList)
        return [terms_of(terms) for terms in own if isinstance(terms, nn.ModuleDict)]

    def say(self, number: int, images: Tensor) -> ModelOutput:
        """What one network says about images, with all that terms look at in it."""
        return self._looks[number](images)

    def compared(
        self,
        number: int,
        output: ModelOutput,
        words: Sequence[TeacherOutput],
        batch: Batch,
        progress: Progress,
    ) -> dict[str, Tensor]:
        """The terms of one network under its teachers' words, each of which counts the same."""
        lessons = self.lessons_of(number)
        heard = list(words) or [NO_TEACHER_OUTPUT]
        shares = [1 / len(heard)] * len(heard)
        found = term_losses_of_each(lessons, output, heard, shares, batch, progress, self.sharing)
        return {term_name(self.names[number], term): value for term, value in found.items()}

    def _all_terms(self) -> list[Term]:
        each = [self.lessons_of(number) for number in range(len(self.names))]
        return [term for lessons in each for terms in lessons for term in terms.values()]
