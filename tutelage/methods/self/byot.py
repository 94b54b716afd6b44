"""Be your own teacher: early exits of a network, distilled from its last one."""

import itertools
import zlib
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tutelage.config.image_size import ImageSize, spell_size
from tutelage.config.loss_weights import loss_weights
from tutelage.config.methods import MethodConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.cross_entropy import LabelTerm
from tutelage.losses.feature.hint import hint_loss
from tutelage.losses.shapes import as_map, same_size
from tutelage.losses.term import Needs, Term
from tutelage.methods.factory import TrainingFacts, build_terms_between, loss_weighting
from tutelage.methods.method import LossWeighting, Method
from tutelage.methods.term_values import term_losses, terms_of
from tutelage.models.feature_hooks import FeatureExtractor
from tutelage.models.introspect import inspect_network
from tutelage.models.preprocess import Classifier
from tutelage.types import Batch, FeaturePoint, LossOutput, ModelOutput, Progress, TeacherOutput


def build_byot(
    settings: MethodConfig,
    student: Classifier,
    others: Sequence[Classifier],  # noqa: ARG001  no other network
    facts: TrainingFacts,
) -> "BeYourOwnTeacher":
    """Build the method from settings.

    Raises:
        UsageError: a network without earlier stages, or with stages that are no maps; a custom term with the
            name of the feature distance.
    """
    if "features" in loss_weights(settings):
        raise UsageError(
            "own.features is the name of a term of the method byot", fix="another name"
        )
    ends = stage_ends(student, facts.size)
    shapes = [map_shape(end) for end in ends]
    exits = {}
    for number, end in enumerate(ends[:-1]):
        terms = build_terms_between(student, student, settings, facts, salt=number)
        if settings.methods.byot.features:
            terms["features"] = FeatureDistance()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(facts.seed + zlib.crc32(end.path.encode()))
            exits[end.path] = EarlyExit(shapes[number:], facts.classes, terms)
    return BeYourOwnTeacher(
        student,
        exits,
        LabelTerm(facts.label_smoothing),
        loss_weights(settings),
        loss_weighting(settings, facts.epochs),
        look=FeatureExtractor(student, [end.path for end in ends]),
        last=ends[-1].path,
        features=settings.methods.byot.features,
    )


def stage_ends(student: Classifier, size: ImageSize) -> list[FeaturePoint]:
    """Return the end of each stage of a network, including the last.

    Raises:
        UsageError: there is only one stage, or the output of one is overwritten in place.
    """
    anatomy = inspect_network(student, size)
    ends = [stage.end for stage in anatomy.stages]
    if len(ends) < 2:
        raise UsageError(
            f"the method byot needs stages before the last, and {anatomy.family} has none",
            found=f"{len(ends)} stages at {spell_size(size)} pixels",
            expected="a network that makes maps smaller in stages, such as a ResNet",
        )
    for end in ends:
        if end.path in anatomy.overwritten:
            raise UsageError(
                f"no exit can stand at {end.path}: what it returns is overwritten further on"
            )
    return ends


def map_shape(point: FeaturePoint) -> tuple[int, int, int]:
    """Return channels, height and width of a point: a map, or tokens that form a square.

    Raises:
        UsageError: it is neither.
    """
    try:
        _, channels, height, width = as_map(torch.empty(1, *point.shape), term="byot").shape
    except InputError as error:
        raise UsageError(
            f"no exit can stand at {point.path}: it is no map",
            found=list(point.shape),
            expected="[C, H, W], or tokens [N, C] that form a square",
        ) from error
    return channels, height, width


class FeatureDistance(Term):
    """The mean squared difference of an exit's and the last features, both [B, C, H, W] at `last`."""

    across_batch = False
    needs = Needs(student_points=("last",), teacher_points=("last",))

    def forward(
        self,
        student: ModelOutput,
        signal: TeacherOutput,
        batch: Batch,  # noqa: ARG002  compares features alone
        progress: Progress,  # noqa: ARG002
    ) -> Tensor:
        """Compute `hint_loss`; the larger map is pooled first."""
        return hint_loss(*same_size(student.features["last"], signal.features["last"]))


class EarlyExit(nn.Module):
    """An early exit: a small bottleneck for each stage left out, average pooling and a linear layer."""

    def __init__(
        self, shapes: Sequence[tuple[int, int, int]], classes: int, terms: Mapping[str, Term]
    ) -> None:
        """Build the layers.

        Args:
            shapes: [C, H, W] at the exit and at the end of each later stage.
            classes: C of the logits.
            terms: its terms, by name.
        """
        super().__init__()
        self.bottleneck = nn.Sequential(*(_separable(*pair) for pair in itertools.pairwise(shapes)))
        self.head = nn.Linear(shapes[-1][0], classes)
        self.terms = nn.ModuleDict(dict(terms))

    def forward(self, features: Tensor) -> ModelOutput:
        """Map features of its stage to logits [B, C], and the features before them as point `last`."""
        found = self.bottleneck(as_map(features, term="byot"))
        return ModelOutput(self.head(found.mean((2, 3))), {"last": found})


class _Depthwise(nn.Conv2d):
    """A depthwise convolution, in fp32 on a CPU, where bf16 takes a hundred times as long."""

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu":
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.to(self.weight.dtype))


def _separable(have: tuple[int, int, int], want: tuple[int, int, int]) -> nn.Sequential:
    """Build a separable convolution from one stage's shape to the channels and about the size of the next."""
    stride = max(1, round(have[1] / want[1])), max(1, round(have[2] / want[2]))
    return nn.Sequential(
        _Depthwise(have[0], have[0], 3, stride, padding=1, groups=have[0], bias=False),
        nn.BatchNorm2d(have[0]),
        nn.ReLU(),
        nn.Conv2d(have[0], want[0], 1, bias=False),
        nn.BatchNorm2d(want[0]),
        nn.ReLU(),
    )


class BeYourOwnTeacher(Method):
    """Be your own teacher (BYOT): early exits of a network are distilled from its last one.

        loss = CE(y, q) + sum_i [(1 - alpha) CE(y, q_i) + alpha T^2 KL(q || q_i) + features d(F_i, F)]

    q is the output of the whole network, q_i that of exit i, F_i and F [B, C, H, W] the features just before
    each, d the mean squared difference; no gradient of KL or d goes to q or F. The network itself is trained
    on the labels with weight 1, whatever the settings of `label`, and by the gradients of the exits in its
    earlier stages. Other terms on logits may be used beside or instead of kd. Exits exist in training only:
    the plain network is evaluated and saved.

    Zhang, Song, Gao, Chen, Bao, Ma 2019, arXiv:1905.08094, section 3 (published with alpha 0.3 and features
    0.03). Where we differ: bottlenecks are separable convolutions, one for each stage left out; the distance
    is a mean over numbers rather than a sum, and of maps rather than of their means; T^2 is part of kd.
    """

    def __init__(
        self,
        student: nn.Module,
        exits: Mapping[str, EarlyExit],
        label: Term,
        weights: Mapping[str, float],
        weighing: LossWeighting,
        *,
        look: Callable[[Tensor], ModelOutput],
        last: str,
        features: float,
    ) -> None:
        """Initialize the method.

        Args:
            student: maps images to a `ModelOutput`.
            exits: exits by their point in the student, from the first stage on.
            label: label term of the last exit.
            weights: weights of the terms of each exit.
            weighing: schedule of the weights.
            look: calls the student and records its features at the exits and at `last`.
            last: the end of the last stage.
            features: weight of the feature distance; at 0 it is not computed.
        """
        super().__init__()
        self.student = student
        self.exits = nn.ModuleList(exits.values())
        self.label = label
        self.features = features
        self._points = tuple(exits)
        self._last = last
        self._look = look
        self._exit_weighing = weighing
        self.weights = self._for_all_exits(weights)

    @property
    def needs(self) -> Needs:
        """Nothing: there is no outside teacher."""
        return Needs()

    @property
    def terms(self) -> Mapping[str, Term]:
        """The terms of the whole network and of each exit."""
        named = {
            f"exit{number}.{name}": term
            for number, end in enumerate(self._ends(), 1)
            for name, term in terms_of(end.terms).items()
        }
        return {"label": self.label, **named}

    @property
    def attachments(self) -> Sequence[nn.Module]:
        """The bottlenecks of the exits."""
        return [end.bottleneck for end in self._ends()]

    def weights_at(self, progress: Progress) -> Mapping[str, float]:
        """Return the weight of each term of the network and its exits."""
        return self._for_all_exits(self._exit_weighing(progress))

    def forward(
        self,
        batch: Batch,
        signal: TeacherOutput,  # noqa: ARG002  no outside teacher
        progress: Progress,
        *,
        phase: int = 0,  # noqa: ARG002  only one phase
    ) -> LossOutput:
        """Run the network once, and each exit on the features of its stage."""
        output = self._look(batch.images)
        last = as_map(output.features[self._last], term="byot")
        target = TeacherOutput(output.logits.detach(), {"last": last.detach()})
        label = {"label": self.label}
        found = term_losses(label, output, target, batch, progress, self.sharing)
        for number, (point, end) in enumerate(zip(self._points, self._ends(), strict=True), 1):
            early: ModelOutput = end(output.features[point])
            own = term_losses(terms_of(end.terms), early, target, batch, progress, self.sharing)
            found |= {f"exit{number}.{name}": value for name, value in own.items()}
        return self.outcome(output, found, batch)

    def _ends(self) -> list[EarlyExit]:
        return [end for end in self.exits if isinstance(end, EarlyExit)]

    def _for_all_exits(self, one: Mapping[str, float]) -> dict[str, float]:
        one = {**one, "features": self.features} if self.features else one
        numbers = range(1, len(self.exits) + 1)
        own = {f"exit{number}.{name}": w for number in numbers for name, w in one.items()}
        return {"label": 1.0, **own}
