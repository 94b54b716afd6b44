"""FSP against plain loops and a closed form, its invariances, its sections, its refusals, torchdistill."""

import itertools

import pytest
import torch
from torch import Tensor

from support.losses.checks import batch_of, gradient, numbers, pair
from support.losses.tester import LossTester
from tutelage.config.losses.relation import FSPConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.relation.fsp import FSPTerm, fsp_loss
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import START, FeaturePoint, ModelOutput, NetworkInfo, Stage, TeacherOutput

Shape = tuple[int, int, int, int]

# Entry and end of the student, entry and end of the teacher.
SHAPES: list[tuple[Shape, Shape, Shape, Shape]] = [
    ((2, 3, 4, 4), (2, 2, 4, 4), (2, 3, 4, 4), (2, 2, 4, 4)),
    ((2, 3, 4, 4), (2, 2, 2, 2), (2, 3, 6, 6), (2, 2, 3, 3)),
    ((1, 1, 2, 5), (1, 2, 3, 2), (1, 1, 5, 3), (1, 2, 5, 3)),
    ((3, 2, 1, 1), (3, 2, 1, 1), (3, 2, 1, 1), (3, 2, 1, 1)),
]
ENTRY, END = (3, 4, 4), (2, 2, 2)


def maps(shapes: tuple[Shape, ...]) -> list[Tensor]:
    return [numbers(*shape, seed=seed) for seed, shape in enumerate(shapes)]


def of_one(student: Tensor, teacher: Tensor) -> Tensor:
    """The loss of entry and end that stand in one tensor each [B, 56]."""
    parts = []
    for packed in (student, teacher):
        entry, end = packed.split([48, 8], 1)
        parts += [entry.unflatten(1, ENTRY), end.unflatten(1, END)]
    return fsp_loss(*parts)


def pooled(x: Tensor, height: int, width: int) -> list[list[list[list[float]]]]:
    """The maximum of each window: it begins at floor(i H / h), and ends at ceil((i + 1) H / h)."""
    tall, wide = x.shape[2:]
    return [
        [
            [
                [
                    max(
                        channel[y][z]
                        for y in range(i * tall // height, -(-(i + 1) * tall // height))
                        for z in range(j * wide // width, -(-(j + 1) * wide // width))
                    )
                    for j in range(width)
                ]
                for i in range(height)
            ]
            for channel in image
        ]
        for image in x.tolist()
    ]


def flow(entry: Tensor, end: Tensor) -> dict[tuple[int, int, int], float]:
    height, width = (min(entry.shape[d], end.shape[d]) for d in (2, 3))
    first, second = pooled(entry, height, width), pooled(end, height, width)
    found = {}
    for b, c, d in itertools.product(*map(range, (len(entry), entry.shape[1], end.shape[1]))):
        places = itertools.product(range(height), range(width))
        found[b, c, d] = sum(first[b][c][y][x] * second[b][d][y][x] for y, x in places) / (
            height * width
        )
    return found


class TestFSP(LossTester):
    """What holds for every loss of features, of entry and end in one tensor."""

    loss = staticmethod(of_one)
    name = "fsp"
    shapes = (((2, 56), (2, 56)),)
    scales = (1e-4, 1.0, 30.0)  # the largest's squares do not fit float16
    refused = ()


@pytest.mark.parametrize("shapes", SHAPES)
def test_oracle(shapes: tuple[Shape, Shape, Shape, Shape]) -> None:
    """The mean of squared differences of Gram matrices of max pooled maps, number by number."""
    entry, end, teacher_entry, teacher_end = maps(shapes)
    mine, theirs = flow(entry, end), flow(teacher_entry, teacher_end)
    expected = sum((mine[key] - theirs[key]) ** 2 for key in mine) / len(mine)
    found = fsp_loss(entry, end, teacher_entry, teacher_end)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_closed_form() -> None:
    """Maps that are 2 and 3 everywhere flow by 6, whatever their sizes; twos and twos by 4."""
    two, three = torch.full((2, 3, 4, 4), 2.0), torch.full((2, 5, 2, 2), 3.0)
    other = torch.full((2, 5, 7, 7), 2.0)
    assert fsp_loss(two, three, two, other).item() == 4.0


def test_invariances() -> None:
    """0 at equality; images and places may be permuted, and signs of entry and end turned together."""
    mine = maps(SHAPES[0])
    assert fsp_loss(*mine[:2], *mine[:2]).item() == 0
    expected = fsp_loss(*mine)
    for change in (lambda x: x.flip(0), lambda x: x.roll(1, 2), lambda x: x.roll(1, 1), torch.neg):
        torch.testing.assert_close(fsp_loss(*(change(x) for x in mine)), expected)
    # A channel of the entry twice as strong makes its row of the matrix twice as large: not the same.
    assert not torch.isclose(fsp_loss(mine[0] * 2, *mine[1:]), expected)


def test_size_is_free() -> None:
    """A map whose every place is four times there says the same: sizes of the networks may differ."""
    entry, end, teacher_entry, teacher_end = maps(SHAPES[0])
    larger = [x.repeat_interleave(2, 2).repeat_interleave(2, 3) for x in (entry, end)]
    expected = fsp_loss(entry, end, teacher_entry, teacher_end)
    torch.testing.assert_close(fsp_loss(*larger, teacher_entry, teacher_end), expected)


def test_large_maps() -> None:
    """Maps of 1e4, which float16 holds, have a loss of 1e16 (and slopes of 1e12, which it does not hold)."""
    student, teacher = numbers(2, 56, scale=1e4), numbers(2, 56, seed=1, scale=1e4)
    for precision in (torch.float16, torch.bfloat16):
        found = of_one(student.to(precision), teacher.to(precision))
        torch.testing.assert_close(found, of_one(student, teacher).float(), rtol=0.02, atol=0)
    assert torch.isfinite(gradient(of_one, student.bfloat16(), teacher.bfloat16())).all()


def test_zero_maps() -> None:
    """A student that is silent gets gradient 0 (its flow has slope 0 there), never NaN."""
    assert (gradient(of_one, torch.zeros(2, 56), numbers(2, 56).float()) == 0).all()


@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 3, 4, 4), (2, 2, 4, 4), (2, 1, 4, 4), (2, 2, 4, 4)),
        ((2, 3, 4, 4), (2, 1, 4, 4), (2, 3, 4, 4), (2, 2, 4, 4)),
        ((2, 3, 4, 4), (2, 2, 4, 4), (1, 3, 4, 4), (1, 2, 4, 4)),
    ],
)
def test_shapes(shapes: tuple[Shape, ...]) -> None:
    """Other channels or images are refused with all shapes printed; nothing is broadcast."""
    with pytest.raises(InputError, match=r"student \[2, 3, 4, 4\] to .*teacher \[") as error:
        fsp_loss(*maps(shapes))
    assert all(str(list(shape)) in str(error.value) for shape in shapes)


def test_no_maps() -> None:
    """Vectors are no maps."""
    with pytest.raises(InputError, match=r"student \[2, 3\] to \[2, 3\]"):
        fsp_loss(*[torch.zeros(2, 3)] * 4)


def term_loss(term: FSPTerm, features: dict[str, Tensor], theirs: dict[str, Tensor]) -> Tensor:
    count = len(next(iter(features.values())))
    logits = torch.zeros(count, 4)
    found: Tensor = term(
        ModelOutput(logits, features), TeacherOutput(logits, theirs), batch_of(count), START
    )
    return found


def anatomy(name: str, *shapes: tuple[int, ...]) -> NetworkInfo:
    """A network of one stage for every two shapes."""
    points = [FeaturePoint(f"{name}{i}", shape) for i, shape in enumerate(shapes)]
    stages = [
        Stage(*(entry, end, end), None)
        for entry, end in zip(points[::2], points[1::2], strict=True)
    ]
    return NetworkInfo("Net", tuple(stages), None, None, {p.path: p.shape for p in points})


def test_term() -> None:
    """Built from the structure: entry and end of each stage, and the sum over stages."""
    shapes = [(3, 8, 8), (4, 4, 4), (4, 4, 4), (5, 2, 2)]
    ground = BuildContext(anatomy("s", *shapes), anatomy("t", *shapes), classes=4, images=4)
    term = FSPTerm.build(FSPConfig(), ground)
    assert term.needs == Needs(
        student_points=("s0", "s1", "s2", "s3"), teacher_points=("t0", "t1", "t2", "t3")
    )
    assert not term.across_batch
    mine = [numbers(2, *shape, seed=i) for i, shape in enumerate(shapes)]
    theirs = [numbers(2, *shape, seed=9 + i) for i, shape in enumerate(shapes)]
    expected = fsp_loss(*mine[:2], *theirs[:2]) + fsp_loss(*mine[2:], *theirs[2:])
    found = term_loss(
        term,
        {f"s{i}": x for i, x in enumerate(mine)},
        {f"t{i}": x for i, x in enumerate(theirs)},
    )
    torch.testing.assert_close(found, expected)


def test_mean_over_images() -> None:
    """What a process computes for its own images averages to the loss of the whole batch."""
    mine = maps(SHAPES[1])
    halves = [fsp_loss(*(x[i : i + 1] for x in mine)) for i in (0, 1)]
    torch.testing.assert_close(torch.stack(halves).mean(), fsp_loss(*mine))


def test_tokens() -> None:
    """Tokens in a square, after a class token, are maps."""
    term = FSPTerm(
        [pair((5, 3), (3, 2, 2), name="in", other="in"), pair((2, 2, 2), (2, 2, 2), name="out")]
    )
    tokens, end = numbers(2, 5, 3), numbers(2, 2, 2, 2, seed=1)
    entry, teacher_end = numbers(2, 3, 2, 2, seed=2), numbers(2, 2, 2, 2, seed=3)
    places = tokens[:, 1:].transpose(1, 2).reshape(2, 3, 2, 2)
    found = term_loss(term, {"in": tokens, "out": end}, {"in": entry, "b": teacher_end})
    torch.testing.assert_close(found, fsp_loss(places, end, entry, teacher_end))


def test_other_channels() -> None:
    """Networks of other widths are refused when the term is built, with both counts and what to type."""
    with pytest.raises(UsageError, match="fsp") as error:
        FSPTerm([pair((64, 8, 8), (256, 8, 8)), pair((64, 4, 4), (64, 4, 4))])
    message = str(error.value)
    assert "64 in the student" in message
    assert "256 in the teacher" in message
    assert "--losses.fsp.student-points" in message


def test_odd_points() -> None:
    """An entry without an end is refused."""
    with pytest.raises(UsageError, match=r"fsp takes points in twos[\s\S]*1 points"):
        FSPTerm([pair((4, 8, 8), (4, 8, 8))])


def test_vector_points() -> None:
    """A point that gives a vector is refused, and named."""
    with pytest.raises(UsageError, match=r"fsp compares maps[\s\S]*a, b"):
        FSPTerm([pair((4,), (4,)), pair((4, 2, 2), (4, 2, 2))])


def test_torchdistill() -> None:
    """Their matrices are ours. Their loss is another: the length of each column of the difference, not
    squared, summed over columns. Squared, and a mean, it is ours; for matrices of one number, exactly.
    """
    from torchdistill.losses.mid_level import FSPLoss

    entry, end, teacher_entry, teacher_end = maps(SHAPES[1])
    mine = FSPLoss.compute_fsp_matrix(entry, end)
    theirs = FSPLoss.compute_fsp_matrix(teacher_entry, teacher_end)
    expected = (mine - theirs).norm(dim=1).square().sum() / mine.numel()
    torch.testing.assert_close(
        fsp_loss(entry, end, teacher_entry, teacher_end), expected, rtol=1e-6, atol=0
    )

    names = ["student_first", "student_second", "teacher_first", "teacher_second"]
    one = maps(((1, 1, 4, 4), (1, 1, 2, 2), (1, 1, 6, 6), (1, 1, 3, 3)))
    places = {name: {"path": name, "io": "output"} for name in names}
    outputs = {name: {"output": x} for name, x in zip(names, one, strict=True)}
    published = FSPLoss({"pair": places})(outputs, outputs)
    torch.testing.assert_close(fsp_loss(*one), published.square(), rtol=1e-6, atol=0)
