"""Every method by name: its family, what it needs, and what terms hear under it. Adding one is a line here.

No torch is imported from here: the list is printed at once, and a term that a method cannot teach by is
refused before anything is built.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from tutelage.config.augmentation import AugmentationConfig
from tutelage.config.methods import MethodConfig, MethodName, MethodOptions
from tutelage.errors import UsageError


class About(NamedTuple):
    """What is known of a method before anything is built.

    family: of knowledge distillation; module: below `tutelage.methods`, with a function `build`; taught:
    whether a finished teacher is needed; hears: what terms are given of who teaches; planned: whether one
    student takes several runs, which `tutelage run` plans; line: for a list; source: where it was published.
    """

    family: Literal["offline", "online", "self"]
    module: str
    taught: bool
    hears: Literal["features", "logits"]
    planned: bool
    line: str
    source: str


METHODS: Mapping[MethodName, About] = {
    "offline": About(
        "offline",
        "offline",
        True,
        "features",
        False,
        "one finished teacher",
        "Hinton 2015, arXiv:1503.02531",
    ),
    "multi-teacher": About(
        "offline",
        "multi_teacher",
        True,
        "features",
        False,
        "several finished teachers",
        "You 2017; Du 2020 (weights)",
    ),
    "assistants": About(
        "offline",
        "multi_teacher",
        True,
        "features",
        True,
        "a chain from the teacher over networks in between to the student",
        "Mirzadeh 2020, arXiv:1902.03393; dense: Son 2021, arXiv:2009.08825",
    ),
    "rco": About(
        "offline",
        "offline",
        True,
        "features",
        False,
        "the teacher's own checkpoints, one after the other",
        "Jin 2019, arXiv:1904.09149",
    ),
    "specialists": About(
        "offline",
        "offline",
        True,
        "logits",
        True,
        "a generalist and a specialist for each group of classes it mixes up",
        "Hinton 2015, arXiv:1503.02531, section 5",
    ),
    "dml": About(
        "online",
        "online.dml",
        False,
        "features",
        False,
        "networks side by side, each taught by all others",
        "Zhang 2018, arXiv:1706.00384",
    ),
    "one": About(
        "online",
        "online.one_kdcl",
        False,
        "logits",
        False,
        "networks side by side, taught by what they say together",
        "Lan 2018, arXiv:1806.04606; Guo 2020 (KDCL)",
    ),
    "joint": About(
        "online",
        "online.joint",
        False,
        "features",
        False,
        "teacher and student from the start",
        "Gou 2021, arXiv:2006.05525, section 3.2",
    ),
    "born-again": About(
        "self",
        "offline",
        False,
        "features",
        True,
        "the network's own earlier generation",
        "Furlanello 2018, arXiv:1805.04770",
    ),
    "byot": About(
        "self",
        "self.byot",
        False,
        "logits",
        False,
        "exits inside the network, taught by the last one",
        "Zhang 2019, arXiv:1905.08094",
    ),
    "ps-kd": About(
        "self",
        "self.ps_kd",
        False,
        "logits",
        False,
        "what the network said in the epoch before",
        "Kim 2021, arXiv:2006.12000",
    ),
    "cs-kd": About(
        "self",
        "self.cs_kd",
        False,
        "logits",
        False,
        "what the network says about another image of the class",
        "Yun 2020, arXiv:2003.13964",
    ),
    "tf-kd": About(
        "self",
        "self.tf_kd",
        False,
        "logits",
        False,
        "a teacher that is no network",
        "Yuan 2020, arXiv:1909.11723",
    ),
    "mean-teacher": About(
        "self",
        "self.mean_teacher",
        False,
        "features",
        False,
        "a moving average of the network",
        "Tarvainen 2017, arXiv:1703.01780",
    ),
}


def peer_models(settings: MethodConfig, student: str) -> tuple[str, ...]:
    """The names of the networks that learn beside a student of the given name."""
    methods = settings.methods
    if settings.method == "dml":
        return methods.dml.models or (student,)
    if settings.method == "one":
        return methods.one.models or (student, student)
    return (methods.joint.model,) if settings.method == "joint" else ()


def peer_names(settings: MethodConfig, student: str) -> tuple[str, ...]:
    """What the networks beside a student are called: in its terms, its scores and its run folder.

    >>> peer_names(MethodConfig(method="dml"), "resnet18")
    ('peer1',)
    """
    if settings.method == "joint":
        return ("teacher",)
    count = len(peer_models(settings, student))
    return tuple(f"peer{number}" for number in range(1, count + 1))


def check_term(
    method: MethodName, term: str, *, looks_inside: bool, settings: MethodOptions | None = None
) -> None:
    """Nothing happens where a term can be used under a method; `settings` are those of the methods.

    Raises:
        UsageError: it cannot; the reason is told.
    """
    reason = incompatibility(method, term, looks_inside=looks_inside, settings=settings)
    if reason is not None:
        raise UsageError(
            f"losses.{term} cannot be used under the method {method}: {reason}",
            expected=f"{'a term on logits' if looks_inside else 'another term'}, or another method",
            fix="tutelage methods --terms",
        )


def incompatibility(
    method: MethodName, term: str, *, looks_inside: bool, settings: MethodOptions | None = None
) -> str | None:
    """Why a term cannot be used under a method; None where it can.

    Args:
        method: who teaches.
        term: by name.
        looks_inside: whether it compares features.
        settings: of the methods, since what is heard may depend on them; the defaults where not given.
    """
    if term == "simkd" and method != "offline":
        return "it gives a student its teacher's classifier for good, which the method offline alone does"
    if term in _OF_WEIGHTS and method in ("dml", "joint", "mean-teacher"):
        return f"it takes the {_OF_WEIGHTS[term]} of its teacher, which here is still learning"
    if term in _OF_WEIGHTS and method == "rco":
        return f"it takes the {_OF_WEIGHTS[term]} of one teacher, and each checkpoint has its own"
    if term == "hard_label" and method == "tf-kd":
        return "a virtual teacher names the label itself, and the first class where there is none"
    if looks_inside and teacher_signal(method, settings) == "logits":
        return f"{_WORD[method]} has logits and no features"
    return None


def check_mixtures(method: MethodName, views: AugmentationConfig) -> None:
    """Nothing happens where a method can be used with these views.

    Raises:
        UsageError: they are made of two images, and the method asks about one.
    """
    if views.mixing and method in _OF_ONE_IMAGE:
        raise UsageError(
            f"the method {method} cannot be used with views of two images: {_OF_ONE_IMAGE[method]}",
            found=f"mixup = {views.mixup}, cutmix = {views.cutmix}",
            fix="no mixup and no cutmix, or another method",
        )


def teacher_signal(
    method: MethodName, settings: MethodOptions | None = None
) -> Literal["features", "logits"]:
    """What terms are given of who teaches, under some settings of the methods."""
    options = (settings or MethodOptions()).multi_teacher
    if method == "multi-teacher" and options.combine != "divergences":
        return "logits"
    return METHODS[method].hears


_OF_ONE_IMAGE: Mapping[str, str] = {
    "ps-kd": "what was said of one mixture says nothing of the next, of other images in other shares",
    "cs-kd": "a mixture has no one class of which another image could be shown",
}

_OF_WEIGHTS: Mapping[str, str] = {"srrl": "last layer", "ofd": "BatchNorm"}
"""Terms that copy weights of a teacher before training begins."""

_WORD: Mapping[str, str] = {
    "multi-teacher": "what several teachers say together (methods.multi_teacher.combine is not divergences)",
    "specialists": "what a generalist and its specialists say together",
    "one": "what several networks say together",
    "byot": "an exit",
    "ps-kd": "what was said in the epoch before",
    "cs-kd": "what is said about another image",
    "tf-kd": "a virtual teacher",
}
