"""The base of methods that train one network."""

from abc import ABC
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from tutelage.losses.feature_term import FeatureTerm
from tutelage.losses.term import Term
from tutelage.methods.method import LossWeighting, Method
from tutelage.methods.term_values import terms_of
from tutelage.types import ModelOutput


class SingleStudentMethod(Method, ABC):
    """One student and its terms. Subclasses implement `needs` and `forward`."""

    def __init__(
        self,
        student: nn.Module,
        terms: Mapping[str, Term],
        weights: Mapping[str, float],
        *,
        look: Callable[[Tensor], ModelOutput] | None = None,
        weighing: LossWeighting | None = None,
    ) -> None:
        """Initialize the method.

        Args:
            student: maps images to a `ModelOutput`.
            terms: terms by name.
            weights: weight of each term.
            look: calls the student and records its features; None if no term needs any.
            weighing: schedule of the weights.
        """
        super().__init__()
        self.student = student
        self.terms = nn.ModuleDict(dict(terms))
        self.weights = dict(weights)
        self.weighing = weighing
        self._look = look

    @property
    def partial(self) -> bool:
        """True for staged terms, and for feature terms alone: layers after the features get no gradient."""
        terms = [term for terms in self._terms_by_teacher() for term in terms.values()]
        return any(t.staged for t in terms) or all(isinstance(t, FeatureTerm) for t in terms)

    def say(self, images: Tensor) -> ModelOutput:
        """Run the student on images, uint8 [b, 3, H, W]; returns logits and the features that terms need."""
        output: ModelOutput = self.student(images) if self._look is None else self._look(images)
        return output

    def _terms_by_teacher(self) -> Sequence[Mapping[str, Term]]:
        """Return the terms for each teacher."""
        return [terms_of(self.terms)]
