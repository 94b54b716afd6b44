"""A student and its terms, under a word that does not come from outside: what self-distillation shares."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from tutelage.losses.features import FeatureTerm
from tutelage.losses.term import Needs, Term
from tutelage.methods.comparing import compare, terms_in
from tutelage.methods.method import Method, Weighing
from tutelage.methods.sharing import whole_labels, whole_rows
from tutelage.nouns import Batch, Outcome, Output, Progress, Signal


class SelfTaught(Method):
    """Subclasses make a `Signal` of what they know, without a gradient, and hand it to `judged`.

    The signal that `forward` is given is not listened to.
    """

    def __init__(
        self,
        student: nn.Module,
        terms: Mapping[str, Term],
        weights: Mapping[str, float],
        *,
        look: Callable[[Tensor], Output] | None = None,
        weighing: Weighing | None = None,
    ) -> None:
        """Put a method together.

        Args:
            student: pictures -> Output.
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
    def needs(self) -> Needs:
        """Nothing: nobody outside is asked."""
        return Needs()

    @property
    def partial(self) -> bool:
        """Stages of a term leave some of its parameters alone; features alone, what comes after them."""
        terms = terms_in(self.terms).values()
        return any(t.staged for t in terms) or all(isinstance(t, FeatureTerm) for t in terms)

    def say(self, images: Tensor) -> Output:
        """What the student says about pictures, uint8 [b, 3, H, W], with the features that terms ask for."""
        found: Output = self.student(images) if self._look is None else self._look(images)
        return found

    def judged(self, output: Output, signal: Signal, batch: Batch, progress: Progress) -> Outcome:
        """What the student said, compared with a word and the labels, over the whole batch."""
        found = compare(terms_in(self.terms), output, signal, batch, progress, self.sharing)
        logits = whole_rows(output.logits.detach(), batch, self.sharing)
        return Outcome(logits=logits, labels=whole_labels(batch, self.sharing), terms=found)
