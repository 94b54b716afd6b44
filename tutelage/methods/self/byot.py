"""Be your own teacher: exits at the earlier stages of a network, taught by the last one."""

import itertools
import zlib
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

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
    others: Sequence[Classifier],  # noqa: ARG001  nobody else takes part
    lesson: TrainingFacts,
) -> "BeYourOwnTeacher":
    """The method of some settings.

    Raises:
        UsageError: a network without earlier stages, or with stages that are no maps; a term of one's own
            that is called as the distance of features is here.
    """
    if "features" in loss_weights(settings):
        raise UsageError(
            "own.features is the name of a term of the method exits", fix="another name"
        )
    ends = stage_ends(student, lesson.size)
    shapes = [map_shape(end) for end in ends]
    exits = {}
    for number, end in enumerate(ends[:-1]):
        terms = build_terms_between(student, student, settings, lesson, salt=number)
        if settings.methods.byot.features:
            terms["features"] = FeatureDistance()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(lesson.seed + zlib.crc32(end.path.encode()))
            exits[end.path] = EarlyExit(shapes[number:], lesson.classes, terms)
    return BeYourOwnTeacher(
        student,
        exits,
        LabelTerm(lesson.label_smoothing),
        loss_weights(settings),
        loss_weighting(settings, lesson.epochs),
        look=FeatureExtractor(student, [end.path for end in ends]),
        last=ends[-1].path,
        features=settings.methods.byot.features,
    )


def stage_ends(student: Classifier, size: int) -> list[FeaturePoint]:
    """Where each stage of a network ends, the last one included.

    Raises:
        UsageError: there is none before the last, or one whose tensor is overwritten later.
    """
    anatomy = inspect_network(student, size)
    ends = [stage.end for stage in anatomy.stages]
    if len(ends) < 2:
        raise UsageError(
            f"the method exits needs stages before the last, and {anatomy.family} has none",
            found=f"{len(ends)} stages at {size} pixels",
            expected="a network that makes maps smaller in stages, such as a ResNet",
        )
    for end in ends:
        if end.path in anatomy.overwritten:
            raise UsageError(
                f"no exit can stand at {end.path}: what it returns is overwritten further on"
            )
    return ends


def map_shape(point: FeaturePoint) -> tuple[int, int, int]:
    """Channels, height and width of a point, whether a map or tokens that form a square.

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
    """The mean squared difference of an exit's features and the last ones, both [B, C, H, W] at `last`."""

    across_batch = False
    needs = Needs(student_points=("last",), teacher_points=("last",))

    def forward(
        self,
        student: ModelOutput,
        signal: TeacherOutput,
        batch: Batch,  # noqa: ARG002  features say it all
        progress: Progress,  # noqa: ARG002
    ) -> Tensor:
        """As `hint_loss`; the larger map is pooled first."""
        return hint_loss(*same_size(student.features["last"], signal.features["last"]))


class EarlyExit(nn.Module):
    """An early end of a network: a small bottleneck for each stage it leaves out, a mean, a linear layer."""

    def __init__(
        self, shapes: Sequence[tuple[int, int, int]], classes: int, terms: Mapping[str, Term]
    ) -> None:
        """Build from shapes.

        Args:
            shapes: [C, H, W] where it stands and at the end of each later stage.
            classes: C of the logits.
            terms: that it learns by.
        """
        super().__init__()
        self.bottleneck = nn.Sequential(*(_separable(*pair) for pair in itertools.pairwise(shapes)))
        self.head = nn.Linear(shapes[-1][0], classes)
        self.terms = nn.ModuleDict(dict(terms))

    def forward(self, features: Tensor) -> ModelOutput:
        """Features of its stage -> logits [B, C], and the features they are made of as point `last`."""
        found = self.bottleneck(as_map(features, term="byot"))
        return ModelOutput(self.head(found.mean((2, 3))), {"last": found})


class _Depthwise(nn.Conv2d):
    """A convolution of each channel alone, in fp32 on a CPU: there bf16 takes a hundred times as long."""

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu":
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.to(self.weight.dtype))


def _separable(have: tuple[int, int, int], want: tuple[int, int, int]) -> nn.Sequential:
    """Maps of one stage -> the channels and about the size of the next."""
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
    """Be your own teacher (BYOT): the last exit teaches those at the earlier stages, in one network.

        loss = CE(y, q) + sum_i [(1 - alpha) CE(y, q_i) + alpha T^2 KL(q || q_i) + features d(F_i, F)]

    q is what the whole network says, q_i what exit i says, F_i and F [B, C, H, W] the features just before
    either answer, d the mean squared difference; no gradient of KL or d goes to q or F. The network itself
    learns by the labels with weight 1, whatever the settings say of `label`, and by what the exits send back
    through its earlier stages. Any other term on logits may stand beside or instead of kd. Exits are
    part of the training alone: what is measured and saved is the plain network.

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
        """Put a method together.

        Args:
            student: images -> Output.
            exits: by the point of the student at which each stands, from the first stage on.
            label: what the last one learns by.
            weights: of each exit's terms.
            weighing: how they change in training.
            look: calls the student and records its features at the exits and at `last`.
            last: the point where the last stage ends.
            features: weight of the distance of features; at 0 it is not computed.
        """
        super().__init__()
        self.student = student
        self.exits = nn.ModuleList(exits.values())
        self.label = label
        self.features = features
        self._points = tuple(exits)
        self._last = last
        self._look = look
        self._weighing_of_one = weighing
        self.weights = self._of_all(weights)

    @property
    def needs(self) -> Needs:
        """Nothing: nobody outside is asked."""
        return Needs()

    @property
    def terms(self) -> Mapping[str, Term]:
        """Those of the whole network and of each exit."""
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
        """The weight of each term of the network and of its exits."""
        return self._of_all(self._weighing_of_one(progress))

    def forward(
        self,
        batch: Batch,
        signal: TeacherOutput,  # noqa: ARG002  nobody outside is listened to
        progress: Progress,
        *,
        phase: int = 0,  # noqa: ARG002  there is one
    ) -> LossOutput:
        """Run the network once and each exit on what its stage made of the images."""
        output = self._look(batch.images)
        last = as_map(output.features[self._last], term="byot")
        word = TeacherOutput(output.logits.detach(), {"last": last.detach()})
        label = {"label": self.label}
        found = term_losses(label, output, word, batch, progress, self.sharing)
        for number, (point, end) in enumerate(zip(self._points, self._ends(), strict=True), 1):
            said: ModelOutput = end(output.features[point])
            own = term_losses(terms_of(end.terms), said, word, batch, progress, self.sharing)
            found |= {f"exit{number}.{name}": value for name, value in own.items()}
        return self.outcome(output, found, batch)

    def _ends(self) -> list[EarlyExit]:
        return [end for end in self.exits if isinstance(end, EarlyExit)]

    def _of_all(self, one: Mapping[str, float]) -> dict[str, float]:
        one = {**one, "features": self.features} if self.features else one
        numbers = range(1, len(self.exits) + 1)
        own = {f"exit{number}.{name}": w for number in numbers for name, w in one.items()}
        return {"label": 1.0, **own}
