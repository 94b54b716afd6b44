"""Instance relationship graphs against plain loops and closed forms, their invariances, and the term."""

import itertools
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from support.losses.checks import batch_of, finite_in_any_precision, gradcheck, numbers
from tutelage.config.losses.relation import IRGConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.relation.irg import IRGTerm, irg_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import START, FeaturePoint, ModelOutput, NetworkInfo, Stage, TeacherOutput

ONLY = {
    "vertices": {"vertices": 1.0, "edges": 0.0, "transformation": 0.0},
    "edges": {"vertices": 0.0, "edges": 1.0, "transformation": 0.0},
    "transformation": {"vertices": 0.0, "edges": 0.0, "transformation": 1.0},
}
STUDENT = [(2, 4, 4), (4, 2, 2), (5, 2, 1)]
TEACHER = [(4, 4, 4), (4, 4, 2), (7, 1, 1)]


def maps(count: int, shapes: Sequence[tuple[int, ...]], *, seed: int = 0) -> list[Tensor]:
    """Random features of some points."""
    return [numbers(count, *shape, seed=seed + n) for n, shape in enumerate(shapes)]


def pooled(image: Tensor, size: Sequence[int]) -> list[float]:
    """Means over ranges of channels, rows and columns, number by number."""

    def ranges(length: int, count: int) -> list[range]:
        return [range(n * length // count, -(-(n + 1) * length // count)) for n in range(count)]

    every = [ranges(length, count) for length, count in zip(image.shape, size, strict=True)]
    found = []
    for c, h, w in itertools.product(*every):
        cell = [image[index].item() for index in itertools.product(c, h, w)]
        found.append(sum(cell) / len(cell))
    return found


def squared(x: list[float], y: list[float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(x, y, strict=True))


def graph(points: list[Tensor]) -> tuple[list[list[float]], list[list[float]]]:
    """(edges of each point, moves between points), divided by the largest."""

    def scaled(values: list[float]) -> list[float]:
        return [value / max(*values, 1e-6) for value in values]

    edges, moves = [], []
    for point in points:
        flat = point.flatten(1).tolist()
        edges.append(scaled([squared(a, b) for a, b in itertools.product(flat, repeat=2)]))
    for one, two in itertools.pairwise(points):
        size = [min(a, b) for a, b in zip(one.shape[1:], two.shape[1:], strict=True)]
        both = zip(one, two, strict=True)
        moves.append(scaled([squared(pooled(a, size), pooled(b, size)) for a, b in both]))
    return edges, moves


def oracle(z: Tensor, t: Tensor, student: list[Tensor], teacher: list[Tensor]) -> list[float]:
    """(V, E, T) of the definition."""
    (mine, my_moves), (theirs, their_moves) = graph(student), graph(teacher)
    v = squared(z.flatten().tolist(), t.flatten().tolist()) / z.numel()
    pairs, steps = len(z) ** 2, len(student) - 1
    e = sum(map(squared, mine, theirs)) / (pairs * len(student))
    if not steps:
        return [v, e, 0.0]
    moved = sum(map(squared, my_moves, their_moves)) / (len(z) * steps)
    changes = [
        [[b - a for a, b in zip(*two, strict=True)] for two in itertools.pairwise(edges)]
        for edges in (mine, theirs)
    ]
    return [v, e, moved + sum(map(squared, *changes)) / (pairs * steps)]


@pytest.mark.parametrize(("count", "points"), [(4, 3), (3, 1), (1, 2), (2, 2)])
def test_oracle(count: int, points: int) -> None:
    """Vertices, edges and transformation are each as defined, and add up with their weights."""
    z, t = numbers(count, 5, seed=8), numbers(count, 5, seed=9)
    student, teacher = maps(count, STUDENT[:points]), maps(count, TEACHER[:points], seed=20)
    expected = oracle(z, t, student, teacher)
    for weights, value in zip(ONLY.values(), expected, strict=True):
        found = irg_loss(z, t, student, teacher, **weights).item()
        assert found == pytest.approx(value, rel=1e-10, abs=1e-15)
    whole = irg_loss(z, t, student, teacher).item()
    assert whole == pytest.approx(0.1 * expected[0] + 5 * expected[1] + 5 * expected[2], rel=1e-10)


def test_closed_form() -> None:
    """Three images on a line, equally spaced for the student, not for the teacher."""
    z = torch.zeros(3, 2, dtype=torch.float64)
    student = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)[:, None, None, None]
    teacher = torch.tensor([0.0, 3.0, 4.0], dtype=torch.float64)[:, None, None, None]
    # Squared distances 1, 1, 4 over 4, and 9, 1, 16 over 16; each stands twice among nine pairs.
    expected = 2 * ((1 / 4 - 9 / 16) ** 2 + (1 / 4 - 1 / 16) ** 2) / 9
    found = irg_loss(z, z, [student], [teacher], **ONLY["edges"]).item()
    assert found == pytest.approx(expected, rel=1e-12)
    # From 0, 1, 2 to 0, 2, 4: moves 0, 1, 4 over 4; edges only double, and so do not change.
    found = irg_loss(z, z, [student, 2 * student], [teacher] * 2, **ONLY["transformation"]).item()
    assert found == pytest.approx((0 + (1 / 4) ** 2 + 1) / 3, rel=1e-12)


@pytest.mark.parametrize("weights", ONLY.values(), ids=list(ONLY))
def test_gradient(weights: dict[str, float]) -> None:
    """Finite differences agree for the logits and for every point; the teacher gets nothing."""
    z, t = numbers(3, 4, seed=8), numbers(3, 4, seed=9).requires_grad_()
    teacher = [f.requires_grad_() for f in maps(3, TEACHER, seed=20)]
    leaves = [z.requires_grad_(), *(f.requires_grad_() for f in maps(3, STUDENT))]
    assert torch.autograd.gradcheck(
        lambda z, *student: irg_loss(z, t, student, teacher, **weights), leaves
    )
    found = torch.autograd.grad(irg_loss(z, t, leaves[1:], teacher), leaves)
    assert all(gradient.abs().max() > 0 for gradient in found)
    torch.autograd.backward(irg_loss(z, t, leaves[1:], teacher, **weights))
    assert all(leaf.grad is None for leaf in (t, *teacher))


def test_one_images_gradient_at_its_twin() -> None:
    """Two identical images among others: finite differences agree there, too."""
    student = numbers(4, 3, 2, 1)
    student[1] = student[0]
    teacher = numbers(4, 3, 2, 1, seed=1)
    zero = torch.zeros(4, 2, dtype=torch.float64)
    assert gradcheck(lambda s, t: irg_loss(zero, zero, [s], [t]), student, teacher)


def test_invariances() -> None:
    """0 at equality; edges ignore moves, turns and the size of all features, and need no equal widths."""
    z = torch.zeros(4, 2, dtype=torch.float64)
    student, teacher = maps(4, STUDENT), maps(4, TEACHER, seed=20)
    assert irg_loss(z, z, student, student).item() == 0
    edges = ONLY["edges"]
    expected = irg_loss(z, z, student, teacher, **edges)
    assert expected > 1e-3
    moved = [7 * f + numbers(1, *f.shape[1:], seed=3) for f in student]
    torch.testing.assert_close(irg_loss(z, z, moved, teacher, **edges), expected)
    flipped = [f.flip(1, 2, 3) for f in student]
    torch.testing.assert_close(irg_loss(z, z, flipped, teacher, **edges), expected)
    sizes = [0.1 * f for f in teacher]
    whole = irg_loss(z, z, student, teacher)
    torch.testing.assert_close(irg_loss(z, z, student, sizes), whole)
    orders = [[f.roll(1, 0) for f in points] for points in (student, teacher)]
    torch.testing.assert_close(irg_loss(z, z, *orders), whole)
    assert (irg_loss(z, z, orders[0], teacher) - whole).abs() > 1e-4


def test_far_from_the_origin() -> None:
    """Features that all share a large part keep their distances in fp32."""
    z = torch.zeros(4, 2)
    student, teacher = maps(4, STUDENT), maps(4, TEACHER, seed=20)
    # A shift that fp32 holds exactly next to features in steps of 2^-10.
    student = [(f * 1024).round() / 1024 for f in student]
    expected = irg_loss(z, z, student, teacher, **ONLY["edges"])
    shifted = [(f + 4096).float() for f in student]
    found = irg_loss(z, z, shifted, [f.float() for f in teacher], **ONLY["edges"])
    torch.testing.assert_close(found.double(), expected.double(), rtol=1e-4, atol=0)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("count", [1, 4])
def test_finite(scale: float, count: int) -> None:
    """Finite in every precision: large, constant, zero and identical features, one image."""
    first, second = numbers(count, 3, 4, 4, scale=scale), numbers(count, 6, 2, 2, scale=scale)
    same = first[:1].expand(count, 3, 4, 4)
    for mine in (first, same, torch.zeros_like(first), torch.full_like(first, scale)):
        mine, after = mine.clamp(-6e4, 6e4), second.clamp(-6e4, 6e4)

        def loss(s: Tensor, t: Tensor, after: Tensor = after) -> Tensor:
            z = 1e4 * s[:, :2, 0, 0].sign()
            return irg_loss(z, -z, (s, after.to(s)), (t, after.to(s)))

        finite_in_any_precision(loss, mine, first.flip(0).clamp(-6e4, 6e4))
        finite_in_any_precision(loss, mine, mine)


def test_logits_get_a_gradient_at_extremes() -> None:
    """Logits 2e4 apart, in every precision."""
    z, f = 1e4 * numbers(3, 4).sign(), [f.float() for f in maps(3, STUDENT)]
    finite_in_any_precision(lambda s, t: irg_loss(s, t, f, f), z, -z)


@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        ([(2, 3, 4, 4)], [(3, 3, 4, 4)]),
        ([(2, 3, 4, 4)], [(2, 3, 4)]),
        ([(2, 3, 4, 4)], [(2, 3, 4, 4)] * 2),
        ([], []),
    ],
)
def test_shapes(student: list[tuple[int, ...]], teacher: list[tuple[int, ...]]) -> None:
    """Other images, no maps, and points without a partner are refused with all shapes printed."""
    z = torch.zeros(2, 3)
    with pytest.raises(InputError, match=r"irg(.|\n)*student \[.*teacher \["):
        irg_loss(z, z, [torch.zeros(s) for s in student], [torch.zeros(t) for t in teacher])
    with pytest.raises(InputError, match=r"\[2, 3\].*\[2, 1\]"):
        irg_loss(z, torch.zeros(2, 1), [torch.zeros(2, 1, 1, 1)], [torch.zeros(2, 1, 1, 1)])


def anatomy(shapes: Sequence[tuple[int, ...]], mark: str) -> NetworkInfo:
    """A network of stages that return these shapes."""
    ends = [FeaturePoint(f"{mark}{n}", tuple(shape)) for n, shape in enumerate(shapes)]
    stages = tuple(Stage(end, end, end, None) for end in ends)
    return NetworkInfo("net", stages, None, None, {end.path: end.shape for end in ends})


def test_term() -> None:
    """It asks for every stage and the logits, and hands its settings on."""
    settings = IRGConfig(vertices=0.3, edges=0.2, transformation=0.7)
    ground = BuildContext(anatomy(STUDENT, "s"), anatomy(TEACHER, "t"), classes=5, images=9)
    term = IRGTerm.build(settings, ground)
    assert term.needs == Needs(
        teacher_logits=True,
        student_points=("s0", "s1", "s2"),
        teacher_points=("t0", "t1", "t2"),
    )
    assert term.across_batch
    assert not list(term.parameters())
    assert not term.state_dict()
    z, t = numbers(4, 5, seed=8).requires_grad_(), numbers(4, 5, seed=9)
    student, teacher = maps(4, STUDENT), maps(4, TEACHER, seed=20)
    output = ModelOutput(z, {f"s{n}": f for n, f in enumerate(student)})
    signal = TeacherOutput(t, {f"t{n}": f for n, f in enumerate(teacher)})
    found = term(output, signal, batch_of(4), START)
    v, e, change = oracle(z, t, student, teacher)
    assert found.item() == pytest.approx(0.3 * v + 0.2 * e + 0.7 * change, rel=1e-10)
    with pytest.raises(UsageError, match="irg needs the logits"):
        term(output, signal._replace(logits=None), batch_of(4), START)


def test_tokens_and_vectors() -> None:
    """Tokens are maps, their class token left out; a vector is a map of one place."""
    tokens, grid = numbers(3, 5, 6), numbers(3, 4, 2, 2)
    vector = numbers(3, 7, seed=2)
    term = IRGTerm(
        [
            LayerPair(FeaturePoint("a", (5, 6)), FeaturePoint("b", (4, 2, 2))),
            LayerPair(FeaturePoint("c", (7,)), FeaturePoint("d", (7,))),
        ]
    )
    logits = torch.zeros(3, 2, dtype=torch.float64)
    found = term(
        ModelOutput(logits, {"a": tokens, "c": vector}),
        TeacherOutput(logits, {"b": grid, "d": vector.flip(0)}),
        batch_of(3),
        START,
    )
    places = tokens[:, 1:].transpose(1, 2).reshape(3, 6, 2, 2)
    column = vector[:, :, None, None]
    expected = irg_loss(logits, logits, [places, column], [grid, column.flip(0)])
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    with pytest.raises(InputError, match="irg compares maps"):
        IRGTerm([LayerPair(FeaturePoint("a", (15, 6)), FeaturePoint("b", (15, 6)))])(
            ModelOutput(logits, {"a": numbers(3, 15, 6)}),
            TeacherOutput(logits, {"b": numbers(3, 15, 6)}),
            batch_of(3),
            START,
        )


def test_no_waiting_for_the_device() -> None:
    """Tensors without numbers will do: nothing is read back from the device."""
    with FakeTensorMode():
        z = torch.zeros(4, 5, requires_grad=True)
        student = [torch.zeros(4, *shape, requires_grad=True) for shape in STUDENT]
        teacher = [torch.zeros(4, *shape) for shape in TEACHER]
        torch.autograd.backward(irg_loss(z, z.detach(), student, teacher))
