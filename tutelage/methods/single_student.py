"""One network that learns, and its terms: what methods share in which nothing else does."""

from abc import ABC
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from tutelage.losses.feature_term import FeatureTerm
from tutelage.losses.term import Term
from tutelage.methods.method import LossWeighting, Method
from tutelage.methods.term_values import terms_of
from tutelage.types import ModelOutput


class SingleStudentMethod(Method, ABC):
    """Subclasses say who is listened to (`needs`), and compare what the student says with it (`forward`)."""

    def __init__(
        self,
        student: nn.Module,
        terms: Mapping[str, Term],
        weights: Mapping[str, float],
        *,
        look: Callable[[Tensor], ModelOutput] | None = None,
        weighing: LossWeighting | None = None,
    ) -> None:
        """Put a method together.

        Args:
            student: images -> Output.
            terms: by name.
            weights: of each of them.
            look: calls the student and records its features as well; None where no term asks for any.
            weighing: how the weights change in training.
        """
        super().__init__()
        self.student = student
        self.terms = nn.ModuleDict(dict(terms))
        self.weights = dict(weights)
        self.weighing = weighing
        self._look = look

    @property
    def partial(self) -> bool:
        """Stages of a term leave some of its parameters alone; features alone, what comes after them."""
        terms = [term for lesson in self._lessons() for term in lesson.values()]
        return any(t.staged for t in terms) or all(isinstance(t, FeatureTerm) for t in terms)

    def say(self, images: Tensor) -> ModelOutput:
        """What the student says about images, uint8 [b, 3, H, W], with the features that terms ask for."""
        found: ModelOutput = self.student(images) if self._look is None else self._look(images)
        return found

    def _lessons(self) -> Sequence[Mapping[str, Term]]:
        """The terms under each of those who are listened to."""
        return [terms_of(self.terms)]
