"""What holds for every term of the table alike, on features of real networks."""

import itertools
from functools import cache
from importlib import import_module
from inspect import signature
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from support import two_processes
from support.losses.networks import (
    CLASSES,
    LATE,
    NAMES,
    TermInputs,
    batch_of,
    build,
    leaves,
    network_pair,
    objective,
    run_both,
    term_inputs,
)
from support.losses.two_ranks import trained
from tutelage.config.objective import settings_classes
from tutelage.distributed import ALONE
from tutelage.errors import InputError, UsageError
from tutelage.losses.registry import build_terms, term_class
from tutelage.losses.term import BuildContext, Term
from tutelage.types import START, Batch, Progress

PLAIN = ("cifar_resnet8", "cifar_resnet14")
WIDE = ("cifar_resnet8", "wide")
COUPLES = {"plain": PLAIN, "wide": WIDE}
REFUSED = {("wide", "fsp"), ("wide", "simkd")}
"""Ideas that need as many channels in both networks."""

BOTH = [
    pytest.param(kind, name, id=f"{kind}-{name}")
    for kind, name in itertools.product(COUPLES, NAMES)
    if (kind, name) not in REFUSED
]
STAGES = (START, LATE)
"""A term with stages is in its first one at the start of a run, and in its last one late."""


def value_of(term: Term, inputs: TermInputs, progress: Progress = LATE) -> Tensor:
    found: Tensor = term(inputs.output, inputs.teacher, inputs.batch, progress)
    return found


def gradients(term: Term, inputs: TermInputs, progress: Progress = LATE) -> list[Tensor]:
    """By the student's logits and features and the term's parameters; zeros where there is none."""
    mine = leaves(inputs)
    wanted = [mine.output.logits, *mine.output.features.values(), *term.parameters()]
    found = torch.autograd.grad(
        value_of(term, mine, progress), wanted, allow_unused=True, materialize_grads=True
    )
    return list(found)


@pytest.mark.parametrize(("kind", "name"), BOTH)
def test_gradients_reach_the_student_and_the_adapters(kind: str, name: str) -> None:
    """And not the teacher, whose tensors ask for one here."""
    term = build(name, network_pair(*COUPLES[kind]).context)
    reached: set[str] = set()
    for progress in STAGES:
        inputs = leaves(term_inputs(*COUPLES[kind]))
        term.zero_grad()
        value = value_of(term, inputs, progress)
        assert value.shape == ()
        assert value.dtype == torch.float32
        torch.autograd.backward(value)
        mine = [inputs.output.logits, *inputs.output.features.values()]
        theirs = [inputs.teacher.logits, *inputs.teacher.features.values()]
        assert all(tensor is not None and tensor.grad is None for tensor in theirs)
        felt = {k for k, p in term.named_parameters() if p.grad is not None and p.grad.any()}
        if name == "ft":
            # First the paraphraser learns the teacher, then the translator what it says.
            learning = "paraphrasers" if progress is START else "translators"
            assert felt == {k for k, _ in term.named_parameters() if k.startswith(learning)}
        else:
            assert felt == {k for k, _ in term.named_parameters()}
        reached |= felt
        if name != "ft" or progress is LATE:
            assert any(tensor.grad is not None and tensor.grad.any() for tensor in mine)
    assert reached == {k for k, _ in term.named_parameters()}


@pytest.mark.parametrize("name", NAMES)
def test_needs_are_all_that_is_read(name: str) -> None:
    """What a term does not ask for may be missing; of what it asks for, the features are its own points."""
    context, inputs = network_pair(*PLAIN).context, term_inputs(*PLAIN)
    term = build(name, context)
    needs = term.needs
    full = value_of(build(name, context), inputs)
    output = inputs.output._replace(
        features={p: inputs.output.features[p] for p in needs.student_points}
    )
    wanted = (*needs.teacher_points, *needs.teacher_vectors)
    signal = inputs.teacher._replace(
        logits=inputs.teacher.logits if needs.teacher_logits else None,
        features={p: inputs.teacher.features[p] for p in wanted},
    )
    batch = inputs.batch if needs.labels else inputs.batch._replace(labels=torch.empty(0))
    batch = batch if needs.ids else batch._replace(ids=torch.empty(0))
    assert torch.equal(value_of(term, TermInputs(output, signal, batch)), full)
    if needs.teacher_logits:
        with pytest.raises(UsageError, match=rf"\b{name} needs the logits"):
            value_of(term, TermInputs(output, signal._replace(logits=None), batch))
    if wanted:
        with pytest.raises(UsageError, match=rf"\b{name} needs features"):
            value_of(term, TermInputs(output, signal._replace(features={}), batch))


@pytest.mark.parametrize("name", settings_classes())
def test_functions_have_the_defaults_of_their_settings(name: str) -> None:
    """A term starts from its settings' defaults, and so does a keyword of its function that is a setting."""
    term = term_class(name)
    assert type(term.settings) in settings_classes()[name].__mro__
    functions = [
        found
        for key, found in vars(import_module(term.__module__)).items()
        if key.endswith("_loss") and found.__module__ == term.__module__
    ]
    assert functions
    for parameter in (p for found in functions for p in signature(found).parameters.values()):
        if parameter.default is not parameter.empty and hasattr(term.settings, parameter.name):
            assert parameter.default == getattr(term.settings, parameter.name)


# ---------------------------------------------------------------------- numbers


@cache
def extremes(precision: torch.dtype) -> TermInputs:
    """Four times the same image, seen by networks in some precision, and logits that are sure and wrong."""
    batch = batch_of(4, size=32)
    batch = batch._replace(images=batch.images[:1].expand(4, -1, -1, -1))
    with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
        inputs = run_both(network_pair(*PLAIN), batch)
    spread = torch.linspace(-5e3, 5e3, CLASSES).expand(4, -1).to(inputs.output.logits.dtype)
    output = inputs.output._replace(logits=spread)
    return TermInputs(output, inputs.teacher._replace(logits=spread.flip(1)), batch)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_finite(name: str, precision: torch.dtype) -> None:
    """Equal images, and logits that differ by 1e4: value and all gradients are finite numbers."""
    inputs = extremes(precision)
    assert inputs.output.features["layer1"].dtype == precision
    term = build(name, network_pair(*PLAIN).context)
    for progress in STAGES:
        with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
            mine = leaves(inputs)
            value = value_of(term, mine, progress)
        assert value.dtype == torch.float32
        assert torch.isfinite(value)
        torch.autograd.backward(value)
        wanted = [mine.output.logits, *mine.output.features.values(), *term.parameters()]
        found = [tensor.grad for tensor in wanted if tensor.grad is not None]
        assert found or name == "ft"
        assert all(torch.isfinite(gradient).all() for gradient in found)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_says_the_same(name: str) -> None:
    """Under autocast in bf16, of features in fp32, the value is near that in fp32."""
    context, inputs = network_pair(*PLAIN).context, term_inputs(*PLAIN)
    exact = value_of(build(name, context), inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = value_of(build(name, context), inputs)
    torch.testing.assert_close(found, exact, rtol=0.03, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_one_image(name: str) -> None:
    """A last batch may hold one image: a finite number, or a refusal that names the term."""
    inputs = term_inputs(*PLAIN, 32, 1)
    term = build(name, network_pair(*PLAIN).context)
    assert inputs.output.logits.shape == (1, CLASSES)
    if term.least > 1:
        with pytest.raises(InputError, match=rf"\b{name}\b"):
            value_of(term, inputs)
        return
    assert torch.isfinite(value_of(term, inputs))
    assert all(torch.isfinite(gradient).all() for gradient in gradients(term, inputs))


@pytest.mark.parametrize("name", NAMES)
def test_least(name: str) -> None:
    """As many images as a term says it needs are enough, and one fewer is refused by name."""
    term = build(name, network_pair(*PLAIN).context)
    assert torch.isfinite(value_of(term, term_inputs(*PLAIN, 32, term.least)))
    if term.least > 1:
        with pytest.raises(InputError, match=rf"\b{name}\b"):
            value_of(term, term_inputs(*PLAIN, 32, term.least - 1))


@pytest.mark.parametrize(("kind", "name"), BOTH)
def test_layout_in_memory_does_not_matter(kind: str, name: str) -> None:
    """Maps that lie channels-last say the same, with the same gradients.

    In float64: kernels for the two layouts round differently, and where a loss has a kink the gradient jumps.
    """
    context, inputs = network_pair(*COUPLES[kind]).context, in_double(term_inputs(*COUPLES[kind]))

    def laid_out(features: Any) -> dict[str, Tensor]:
        return {
            point: tensor.contiguous(memory_format=torch.channels_last)
            if tensor.ndim == 4
            else tensor
            for point, tensor in features.items()
        }

    output = inputs.output._replace(features=laid_out(inputs.output.features))
    signal = inputs.teacher._replace(features=laid_out(inputs.teacher.features))
    other = TermInputs(output, signal, inputs.batch)
    assert not output.features["layer1"].is_contiguous()
    for progress in STAGES:
        one, two = (value_of(build(name, context).double(), it, progress) for it in (inputs, other))
        torch.testing.assert_close(two, one, rtol=1e-10, atol=1e-12)
        pairs = zip(
            *(gradients(build(name, context).double(), it, progress) for it in (inputs, other)),
            strict=True,
        )
        for expected, found in pairs:
            size = float(expected.abs().max())
            torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10 * size)


def in_double(inputs: TermInputs) -> TermInputs:
    def double(features: Any) -> dict[str, Tensor]:
        return {point: tensor.double() for point, tensor in features.items()}

    assert inputs.teacher.logits is not None
    output = inputs.output._replace(
        logits=inputs.output.logits.double(), features=double(inputs.output.features)
    )
    signal = inputs.teacher._replace(
        logits=inputs.teacher.logits.double(), features=double(inputs.teacher.features)
    )
    return TermInputs(output, signal, inputs.batch)


# ---------------------------------------------------------------------- state


@pytest.mark.parametrize(("kind", "name"), BOTH)
def test_state(kind: str, name: str) -> None:
    """A term that has learned goes on as it was when its state is put into a fresh one."""
    context, inputs = network_pair(*COUPLES[kind]).context, term_inputs(*COUPLES[kind])
    one, other = build(name, context, seed=0), build(name, context, seed=1)
    optimizer = torch.optim.SGD([torch.zeros(1), *one.parameters()], lr=0.01)
    mine = leaves(inputs)
    torch.autograd.backward(value_of(one, mine))
    optimizer.step()
    before = value_of(build(name, context, seed=1), inputs)
    other.load_state_dict(one.state_dict())
    for step in (31, 32):
        progress = LATE._replace(step=step)
        assert torch.equal(value_of(one, inputs, progress), value_of(other, inputs, progress))
    for key, tensor in other.state_dict().items():
        assert torch.equal(tensor, one.state_dict()[key]), key
    if list(one.parameters()):
        assert not torch.equal(value_of(one, inputs), before)


def state_of(terms: dict[str, Term]) -> dict[str, Tensor]:
    return {f"{n}/{key}": t for n, term in terms.items() for key, t in term.state_dict().items()}


def test_seeds() -> None:
    """Adapters follow from the seed and the term's name alone, whatever stands beside them."""
    context = network_pair(*PLAIN).context
    state = torch.get_rng_state()
    together = state_of(build_terms(objective(NAMES), context, seed=3))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(123)
    again = state_of(build_terms(objective(NAMES), context, seed=3))
    alone: dict[str, Tensor] = {}
    for name in NAMES:
        alone |= state_of({name: build(name, context, seed=3)})
    other = state_of(build_terms(objective(NAMES), context, seed=4))
    assert list(together) == list(again) == list(alone) == list(other)
    for key, tensor in together.items():
        assert torch.equal(tensor, again[key]), key
        assert torch.equal(tensor, alone[key]), key
    drawn = {key.split("/")[0] for key in together if not torch.equal(together[key], other[key])}
    adapted = {"hint", "vid", "ab", "ft", "ofd", "review", "crd", "mgd", "srrl", "icc"}
    assert drawn == {*adapted, "cc"}


def test_evaluation_leaves_a_term_alone() -> None:
    """In eval mode nothing is remembered: no memory, no mean, no statistics move."""
    context, inputs = network_pair(*PLAIN).context, term_inputs(*PLAIN)
    for name in NAMES:
        term = build(name, context).eval()
        before = {key: tensor.clone() for key, tensor in term.state_dict().items()}
        value_of(term, inputs)
        for key, tensor in term.state_dict().items():
            assert torch.equal(tensor, before[key]), (name, key)


# ---------------------------------------------------------------------- speed


WAITING = {
    "_local_scalar_dense",  # .item(), bool(), float()
    "equal",
    "is_nonzero",
    "nonzero",
    "masked_select",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "repeat_interleave",
}


class _Waiting(TorchDispatchMode):
    """Notes operations that wait for the device: those whose answer or shape depends on numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        sized = name == "repeat_interleave" and "self_int" in func._overloadname
        masks = name.startswith("index") and any(
            isinstance(part, Tensor) and part.dtype == torch.bool for part in tree_leaves(args[1:2])
        )
        if (name in WAITING and not sized) or masks:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def waits(work: Any) -> list[str]:
    with _Waiting() as mode:
        work()
    return mode.found


def test_what_waits() -> None:
    """The watch below sees what it is there for."""
    numbers = torch.tensor([0.0, 1.0])
    assert waits(lambda: numbers[1].item()) == ["_local_scalar_dense"]
    assert waits(lambda: numbers[numbers > 0])
    assert waits(lambda: bool(numbers.sum() > 0))
    assert waits(lambda: numbers.repeat_interleave(2)) == []
    assert waits(lambda: numbers[torch.tensor([0])] + numbers.clamp(min=1)) == []


@pytest.mark.parametrize("name", settings_classes())
def test_waits_for_nothing(name: str) -> None:
    """No term asks the device for a number, forward or backward: steps are queued without a pause."""
    context, inputs = network_pair(*PLAIN).context, leaves(term_inputs(*PLAIN))
    term = build_terms(objective([name]), context)[name].train()

    def step(progress: Progress) -> None:
        torch.autograd.backward(value_of(term, inputs, progress))

    for progress in STAGES:
        assert waits(lambda progress=progress: step(progress)) == []


# ---------------------------------------------------------------------- processes


@cache
def alone(name: str) -> dict[str, Tensor]:
    """What one process computes of the whole batch."""
    return trained(name, ALONE)


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    """What two processes compute of their parts of it, by rank and term; one start for all terms."""
    return two_processes.by_two("support.losses.two_ranks", tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize("name", settings_classes())
def test_two_processes(by_two: list[dict[str, dict[str, Tensor]]], name: str) -> None:
    """Value, gradient and everything remembered are those of one process, to 1e-9 of their kind's size."""
    expected = alone(name)
    sizes: dict[str, float] = {}
    for key, tensor in expected.items():
        sizes[kind_of(key)] = max(sizes.get(kind_of(key), 0.0), float(tensor.double().norm()))
    for found in (by_two[0][name], by_two[1][name]):
        assert list(found) == list(expected)
        for key, tensor in expected.items():
            distance = float((found[key].double() - tensor.double()).norm())
            assert distance <= 1e-12 + 1e-9 * sizes[kind_of(key)], (key, distance)


def kind_of(key: str) -> str:
    """All gradients of a step are of one kind: some are nothing but rounding beside the others."""
    return " ".join(key.split()[:2]) if "gradient" in key else key


# ---------------------------------------------------------------------- other families


UNLIKE = {
    "tokens": (("test_vit", "test_vit", 64), {"ofd"}),
    "a map and tokens": (("cifar_resnet8", "test_vit", 64), {"fsp", "ofd"}),
    "tokens and a map": (("test_vit", "cifar_resnet14", 64), {"fsp"}),
    "a teacher that keeps channels last": (
        ("test_resnet", "test_mambaout", 64),
        {"fsp", "ofd", "simkd"},
    ),
}


@pytest.mark.parametrize(
    ("kind", "name"), [pytest.param(k, n, id=f"{k}-{n}") for k in UNLIKE for n in NAMES]
)
def test_unlike_networks(kind: str, name: str) -> None:
    """Tokens are maps without their class token; what cannot be compared is refused by name."""
    (student, teacher, size), refused = UNLIKE[kind]
    both = network_pair(student, teacher, size)
    try:
        term = build(name, both.context)
        inputs = term_inputs(student, teacher, size, 4)
        value = value_of(term, inputs)
        found = gradients(term, inputs)
    except (UsageError, InputError) as refusal:
        message = refusal.what
    else:
        message = ""
    assert bool(message) == (name in refused)
    if message:
        assert message.startswith((f"losses.{name} ", f"losses.{name}:", f"{name} ", f"{name}:"))
        return
    assert torch.isfinite(value)
    assert any(gradient.any() for gradient in found)
    assert all(torch.isfinite(gradient).all() for gradient in found)


@pytest.mark.parametrize("name", ["fsp", "simkd"])
def test_other_channels_are_refused(name: str) -> None:
    """By name, before training begins."""
    with pytest.raises(UsageError, match=rf"\b{name}\b"):
        build(name, network_pair(*WIDE).context)


@pytest.mark.parametrize("name", NAMES)
def test_networks_without_structure(name: str) -> None:
    """Networks that show nothing: terms on logits do not mind, the others say by name what they miss."""
    nothing = network_pair(*PLAIN).context.student._replace(
        stages=(), vector=None, head=None, shapes={}
    )
    context = BuildContext(nothing, nothing, classes=CLASSES, images=9)
    if (
        "feature" not in settings_classes()[name].__module__
        and "relation" not in settings_classes()[name].__module__
    ):
        assert build(name, context).needs.teacher_logits
        return
    with pytest.raises(UsageError, match=rf"losses\.{name}\b"):
        build(name, context)


def test_no_batch_is_a_term_of_its_own() -> None:
    """A batch's images are not looked at: terms see what networks made of them."""
    context, inputs = network_pair(*PLAIN).context, term_inputs(*PLAIN)
    bare: Batch = inputs.batch._replace(images=torch.empty(0, dtype=torch.uint8))
    for name in NAMES:
        expected = value_of(build(name, context), inputs)
        assert torch.equal(value_of(build(name, context), inputs._replace(batch=bare)), expected)
