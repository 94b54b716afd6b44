"""CRD against plain loops, torchdistill and exact probabilities; its memory, its draws, its resumption."""

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import normalize

from support.losses.checks import (
    batch_of,
    finite_in_any_precision,
    gradcheck,
    numbers,
    pair,
    spares_the_teacher,
    term_loss,
)
from tutelage.config.losses.feature import CRDConfig
from tutelage.errors import InputError, UsageError
from tutelage.losses.feature import memory_bank as memory_file
from tutelage.losses.feature.crd import CRDTerm, crd_batch_loss, crd_loss, log_normalizers
from tutelage.losses.feature.memory_bank import MemoryBank, cosines, with_gradients_now
from tutelage.losses.term import BuildContext, Needs
from tutelage.types import (
    START,
    Batch,
    FeaturePoint,
    MixedLabels,
    ModelOutput,
    NetworkInfo,
    Progress,
    TeacherOutput,
)

T = 0.07


def crd_oracle(
    u: Tensor,
    v: Tensor,
    banks: tuple[Tensor, Tensor],
    rows: list[list[int]],
    weights: list[list[float]],
    *,
    images: int,
    noise: float,
    temperature: float = T,
    z: list[float] | None = None,
) -> tuple[float, list[float]]:
    """(loss, Z of both sides) of the definition: exponentials, one by one; the own row comes first."""
    total, constants = 0.0, []
    for side, (anchors, bank) in enumerate(((u, banks[1]), (v, banks[0]))):
        h = [
            [math.exp((anchor @ bank[row]).item() / temperature) for row in own]
            for anchor, own in zip(anchors, rows, strict=True)
        ]
        every = [
            (e, w)
            for es, ws in zip(h, weights, strict=True)
            for e, w in zip(es, (1.0, *ws), strict=True)
        ]
        mean = sum(e * w for e, w in every) / sum(w for _, w in every)
        constants.append(images * mean if z is None else z[side])
        for es, ws in zip(h, weights, strict=True):
            first, *others = (e / constants[-1] for e in es)
            total -= math.log(first / (first + noise))
            total -= sum(w * math.log(noise / (e + noise)) for e, w in zip(others, ws, strict=True))
    return total / len(u), constants


def batch_oracle(u: Tensor, v: Tensor, labels: list[int], temperature: float) -> float:
    """InfoNCE over images of other classes, both ways."""
    total = 0.0
    for a, b in ((u, v), (v, u)):
        for i, x in enumerate(a):
            rows = [
                j for j, label in enumerate(labels) if j == i or label != labels[i] or label == -1
            ]
            h = [math.exp((x @ b[j]).item() / temperature) for j in rows]
            total -= math.log(h[rows.index(i)] / sum(h))
    return total / len(labels)


def units(*shape: int, seed: int = 0) -> Tensor:
    return normalize(numbers(*shape, seed=seed))


def memory_of(labels: list[int], width: int = 3, *, momentum: float = 0.5) -> MemoryBank:
    """A memory in float64 that has seen these labels."""
    memory = MemoryBank(len(labels), width, momentum=momentum).double()
    memory.learn(torch.arange(len(labels)), torch.tensor(labels))
    return memory


def labelled(ids: list[int], labels: list[int]) -> Batch:
    """A batch of certain images with certain labels."""
    count = len(ids)
    images = torch.zeros(count, 3, 1, 1, dtype=torch.uint8)
    return Batch(images, torch.tensor(labels), torch.tensor(ids), 0)


# ---------------------------------------------------------------------- the loss


@pytest.mark.parametrize(("batch", "others", "images"), [(4, 6, 20), (1, 3, 5), (3, 1, 3)])
def test_oracle(batch: int, others: int, images: int) -> None:
    """Scores, normalisers and loss are as defined, with Z of this batch and with another."""
    u, v = units(batch, 5), units(batch, 5, seed=1)
    banks = units(images, 5, seed=2), units(images, 5, seed=3)
    rows = torch.randint(images, (batch, others), generator=torch.Generator().manual_seed(4))
    ids = torch.arange(batch)
    weights = numbers(batch, others, seed=5).abs()
    weights[0, 0] = 0
    scores = cosines(u, banks[1], ids, rows) / T, cosines(v, banks[0], ids, rows) / T
    every = torch.cat([ids[:, None], rows], 1).tolist()
    found = log_normalizers(*scores, weights, images=images)
    for z in (None, [3.0, 0.5]):
        expected, constants = crd_oracle(
            u, v, banks, every, weights.tolist(), images=images, noise=others / images, z=z
        )
        if z is None:
            torch.testing.assert_close(found.exp().tolist(), constants)
        log_z = torch.tensor(constants, dtype=torch.float64).log()
        loss = crd_loss(*scores, weights=weights, log_z=log_z, noise=others / images)
        assert loss.item() == pytest.approx(expected, rel=1e-10)


def test_closed_form() -> None:
    """Where all scores are equal and Z is that of the batch, h = 1 / N whatever the score."""
    scores, count, images = torch.full((2, 5), 13.0, dtype=torch.float64), 4, 10
    weights = torch.ones(2, count, dtype=torch.float64)
    log_z = log_normalizers(scores, scores, weights, images=images)
    found = crd_loss(scores, scores, weights=weights, log_z=log_z, noise=count / images)
    # h / (h + K / N) = 1 / (1 + K), and c / (h + c) = K / (1 + K).
    expected = 2 * (math.log(1 + count) + count * math.log((1 + count) / count))
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_gradient() -> None:
    """Finite differences agree, for both sides' scores and for embeddings in front of a memory."""
    scores, others = numbers(3, 5), numbers(3, 5, seed=1)
    weights, log_z = torch.ones(3, 4).double(), numbers(2, seed=2)

    def loss(mine: Tensor, theirs: Tensor) -> Tensor:
        return crd_loss(mine, theirs, weights=weights, log_z=log_z, noise=0.3)

    assert gradcheck(loss, scores, others)
    assert gradcheck(lambda a, b: loss(b, a), scores, others)
    ids, rows = torch.tensor([4, 0, 2]), torch.tensor([[1, 1], [5, 3], [0, 5]])
    bank = units(6, 4)
    for some in (rows, None):
        assert gradcheck(lambda u, m, some=some: cosines(u, m, ids, some), numbers(3, 4), bank)


@pytest.mark.parametrize("limit", [1, 20, 10**6])
@pytest.mark.parametrize("images", [7, 40])
def test_products_in_parts(limit: int, images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Picked from all products or gathered first, at once or in parts: the same products and gradient."""
    monkeypatch.setattr(memory_file, "_NUMBERS", limit)
    anchors, bank = numbers(5, 3).requires_grad_(), units(images, 3, seed=1)
    rows = torch.randint(images, (5, 4), generator=torch.Generator().manual_seed(0))
    rows[:, 1] = rows[:, 0]
    ids, slopes = torch.arange(5), numbers(5, 5, seed=2)
    found = cosines(anchors, bank, ids, rows)
    plain = (anchors[:, None] * bank[torch.cat([ids[:, None], rows], 1)]).sum(2)
    torch.testing.assert_close(found, plain)
    gradients = [torch.autograd.grad(f, anchors, slopes)[0] for f in (found, plain)]
    torch.testing.assert_close(*gradients)


def test_torchdistill() -> None:
    """Two steps equal torchdistill's loss, gradients, normalisers and memory.

    Negatives are supplied, since their sampler refers to an attribute that does not exist, and their eps
    of 1e-7 (which log space does not need) is 0.
    """
    from torchdistill.losses.mid_level import CRDLoss

    images, width, count = 16, 4, 5
    theirs = CRDLoss("norm", "empty", "norm", width, images, count, images, T, 0.5, 0.0)
    memory = MemoryBank(images, width, momentum=0.5)
    theirs.memory_v1.copy_(memory.student)
    theirs.memory_v2.copy_(memory.teacher)
    generator = torch.Generator().manual_seed(0)
    weights = torch.ones(3, count)
    for step in range(2):
        u = units(3, width, seed=step).float().requires_grad_()
        v = units(3, width, seed=9 + step).float().requires_grad_()
        ids = torch.randperm(images, generator=generator)[:3]
        rows = torch.randint(images, (3, count), generator=generator)
        contrast = torch.cat([ids[:, None], rows], 1)
        student_io = {
            "norm": {"output": u},
            "empty": {"input": {"pos_idx": ids, "contrast_idx": contrast}},
        }
        expected = theirs(student_io, {"norm": {"output": v}})

        def loss(u: Tensor, v: Tensor, ids: Tensor = ids, rows: Tensor = rows) -> Tensor:
            mine, other = (
                cosines(u, memory.teacher, ids, rows),
                cosines(v, memory.student, ids, rows),
            )
            scores = mine / T, other / T
            log_z = memory.first(log_normalizers(*scores, weights, images=images))
            return crd_loss(*scores, weights=weights, log_z=log_z, noise=count / images)

        found = with_gradients_now(loss, u, v)
        memory.remember(ids, u, v)
        torch.testing.assert_close(found, expected.squeeze(), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(memory.log_z.exp(), theirs.params[2:4], rtol=1e-6, atol=0)
        torch.testing.assert_close(memory.student, theirs.memory_v1, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(memory.teacher, theirs.memory_v2, rtol=1e-6, atol=1e-6)
        for x in (u, v):
            gradients = [torch.autograd.grad(f, x, retain_graph=True)[0] for f in (found, expected)]
            torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("temperature", [0.05, 0.07, 1.0, 100.0])
def test_finite(temperature: float) -> None:
    """Finite in every precision: opposite, equal and zero embeddings, tiny and large temperatures."""
    one = units(4, 6)
    weights = torch.tensor([[0.0, 1.0, 100.0]]).expand(4, 3)
    same, zero = one[:1].expand(4, 6), torch.zeros(4, 6).double()
    for mine, theirs in itertools.product((one, -one, same, zero), (one, zero)):

        def loss(s: Tensor, t: Tensor) -> Tensor:
            scores = [x.float() @ one.float().T / temperature for x in (s, t)]
            log_z = log_normalizers(*scores, weights, images=10)
            return crd_loss(*scores, weights=weights, log_z=log_z - 50, noise=1e-3)

        finite_in_any_precision(loss, mine, theirs)
        for labels in ([0, 0, 1, 2], [3, 3, 3, 3], [-1, -1, -1, -1]):
            known = torch.tensor(labels)
            finite_in_any_precision(
                lambda s, t, known=known: crd_batch_loss(s, t, known, temperature=temperature),
                mine,
                theirs,
            )


def test_shapes() -> None:
    """Shapes that differ are refused with both printed; nothing is broadcast."""
    weights, log_z = torch.ones(2, 3), torch.zeros(2)
    with pytest.raises(InputError, match=r"crd(.|\n)*\[2, 4\].*\[2, 1\]"):
        crd_loss(torch.zeros(2, 4), torch.zeros(2, 1), weights=weights, log_z=log_z, noise=1.0)
    for w, z in ((torch.ones(2, 1), log_z), (weights, torch.zeros(1))):
        with pytest.raises(InputError, match="crd: weights"):
            crd_loss(torch.zeros(2, 4), torch.zeros(2, 4), weights=w, log_z=z, noise=1.0)
    with pytest.raises(InputError, match=r"crd(.|\n)*\[2, 4\].*\[1, 4\]"):
        crd_batch_loss(torch.zeros(2, 4), torch.zeros(1, 4), torch.tensor([0, 1]))
    with pytest.raises(InputError, match="crd without a memory"):
        crd_batch_loss(torch.zeros(2, 4), torch.zeros(2, 4), torch.tensor([0]))
    with pytest.raises(InputError, match="crd without a memory"):
        crd_batch_loss(torch.zeros(1, 4), torch.zeros(1, 4), torch.tensor([0]))
    with pytest.raises(UsageError, match="temperature"):
        crd_batch_loss(torch.zeros(2, 4), torch.zeros(2, 4), torch.tensor([0, 1]), temperature=0)


# ---------------------------------------------------------------------- without a memory


@pytest.mark.parametrize("labels", [[0, 1, 0, 2], [-1, -1, 0, 0], [1, 1, 1, 1], [0, 1, 2, 3]])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_batch_oracle(labels: list[int], temperature: float) -> None:
    """The same as the definition; both sides get the gradient of finite differences."""
    u, v, known = units(4, 3), units(4, 3, seed=1), torch.tensor(labels)

    def loss(s: Tensor, t: Tensor) -> Tensor:
        return crd_batch_loss(s, t, known, temperature=temperature)

    expected = batch_oracle(u, v, labels, temperature)
    assert loss(u, v).item() == pytest.approx(expected, rel=1e-10, abs=1e-14)
    torch.testing.assert_close(loss(u, v), loss(v, u))
    assert gradcheck(loss, u, v)
    assert gradcheck(lambda a, b: loss(b, a), v, u)


def test_batch_of_one_class() -> None:
    """Nobody to be told apart from: exactly 0, with a gradient of exactly 0."""
    u = units(3, 4).requires_grad_()
    loss = crd_batch_loss(u, units(3, 4, seed=1), torch.tensor([2, 2, 2]))
    (found,) = torch.autograd.grad(loss, u)
    assert loss.item() == 0
    assert found.abs().max() == 0


def test_batch_term() -> None:
    """It compares embeddings in the batch, by the class of the larger share; it remembers nothing."""
    term = CRDTerm(
        [pair((6,), (8, 2, 2))], CRDConfig(temperature=0.5, width=4, memory=False), images=9
    ).double()
    assert term.needs == Needs(labels=True, student_points=("a",), teacher_points=("b",))
    mine, theirs = numbers(4, 6), numbers(4, 8, 2, 2, seed=1)
    u, v = term.student[0](mine), term.teacher[0](theirs)
    batch = labelled([0, 1, 2, 3], [0, 1, 1, 2])
    share = torch.tensor([0.9, 0.2, 0.5, 0.6])
    batch = batch._replace(mixed=MixedLabels(torch.tensor([1, 0, 2, 2]), share))
    expected = batch_oracle(u, v, [0, 0, 1, 2], 0.5)
    assert term_loss(term, mine, theirs, batch).item() == pytest.approx(expected, rel=1e-10)
    assert not list(term.buffers())
    with pytest.raises(InputError, match="crd"):
        term_loss(term, mine[:1], theirs[:1], batch_of(1))


# ---------------------------------------------------------------------- draws


def drawn(memory: MemoryBank, ids: list[int], count: int, *, seeds: int) -> Tensor:
    """How often each image was drawn, [B, N]."""
    seen = torch.zeros(len(ids), len(memory.labels))
    for seed in range(seeds):
        rows, weights = memory.draw(torch.tensor(ids), count, seed=seed)
        assert rows is not None
        assert rows.shape == weights.shape == (len(ids), count)
        seen.scatter_add_(1, rows, weights.float())
    return seen


def test_draws_are_uniform_over_other_classes() -> None:
    """Never one's own class, every other image equally often; without a label only oneself is left out."""
    labels = [0, 2, 0, 1, -1, 2, 2, -1, 0, 1]
    ids = [0, 1, 3, 4]
    seen = drawn(memory_of(labels), ids, 9, seeds=2000)
    for own, row in zip(ids, seen.tolist(), strict=True):
        others = [
            n
            for n, label in enumerate(labels)
            if (n != own if labels[own] == -1 else label != labels[own])
        ]
        assert sum(row) == 9 * 2000
        assert all(row[n] == 0 for n in range(10) if n not in others)
        mean = 9 * 2000 / len(others)
        # Chi-squared with at most 8 degrees of freedom: beyond 30 once in five thousand tests.
        assert sum((row[n] - mean) ** 2 / mean for n in others) < 30


def test_draws_are_independent_and_repeat_by_step() -> None:
    """The same step draws the same; another step, and another image of the same class, others."""
    memory = memory_of([n % 3 for n in range(60)])
    ids = torch.tensor([0, 3])
    one, two, three = (memory.draw(ids, 20, seed=seed)[0] for seed in (5, 5, 6))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)
    assert not torch.equal(one[0], one[1])


def test_a_small_memory_is_used_whole() -> None:
    """With as many draws as images, each other image counts as often as it is drawn in the mean."""
    labels = [0, 0, 1, -1, 1, -1]
    memory = memory_of(labels)
    rows, weights = memory.draw(torch.tensor([0, 2, 3]), 12, seed=0)
    assert rows is None
    expected = [[0, 0, 3, 3, 3, 3], [3, 3, 0, 3, 0, 3], [2.4, 2.4, 2.4, 0, 2.4, 2.4]]
    torch.testing.assert_close(weights, torch.tensor(expected).double())
    mean = drawn(memory, [0, 2, 3], 5, seeds=4000) / 4000
    torch.testing.assert_close(mean.double(), weights * 5 / 12, rtol=0.1, atol=0)


@pytest.mark.parametrize("count", [2, 100])
def test_one_class_has_no_negatives(count: int) -> None:
    """All weights are 0, drawn or not."""
    _, weights = memory_of([1, 1, 1]).draw(torch.tensor([0, 2]), count, seed=0)
    assert weights.abs().max() == 0
    _, weights = memory_of([-1]).draw(torch.tensor([0]), count, seed=0)
    assert weights.abs().max() == 0


# ---------------------------------------------------------------------- the memory


def test_memory_moves() -> None:
    """Rows that were seen move by the momentum and keep length 1; the others stay; labels are learned."""
    memory = MemoryBank(5, 3, momentum=0.7).double()
    torch.testing.assert_close(memory.student.norm(dim=1), torch.ones(5).double())
    before, u, v = memory.student.clone(), units(2, 3), units(2, 3, seed=1)
    ids = torch.tensor([3, 1])
    memory.remember(ids, u, v)
    memory.learn(ids, torch.tensor([2, 0]))
    torch.testing.assert_close(memory.student[ids], normalize(0.7 * before[ids] + 0.3 * u))
    assert torch.equal(memory.student[[0, 2, 4]], before[[0, 2, 4]])
    assert memory.labels.tolist() == [-1, 0, -1, 2, -1]


def test_first_normalisers_stay() -> None:
    """Those of the first batch in training; what is measured before then is not kept."""
    memory = MemoryBank(2, 3, momentum=0.5).eval()
    assert memory.first(torch.tensor([1.0, 2.0])).tolist() == [1, 2]
    memory.train()
    assert memory.first(torch.tensor([3.0, 4.0])).tolist() == [3, 4]
    assert memory.first(torch.tensor([5.0, 6.0])).tolist() == [3, 4]
    assert memory.eval().first(torch.tensor([5.0, 6.0])).tolist() == [3, 4]


def test_gradients_computed_now_survive_a_change() -> None:
    """What a loss depends on may change before the backward pass; scaled losses scale their gradient."""
    x, other = numbers(3).requires_grad_(), numbers(3, seed=1)
    expected = other.clone()
    value = with_gradients_now(lambda leaf: (leaf * other).sum(), x)
    other.zero_()
    torch.testing.assert_close(value, (x * expected).sum())
    (found,) = torch.autograd.grad(7 * value, x)
    torch.testing.assert_close(found, 7 * expected)
    with torch.no_grad():
        assert with_gradients_now(lambda leaf: leaf.sum(), x) == x.sum()


# ---------------------------------------------------------------------- the term


def term_of(negatives: int, images: int, **settings: float) -> CRDTerm:
    """A term in float64 between vectors of 6 and 8 numbers."""
    anatomies = (
        NetworkInfo("net", (), FeaturePoint(path, (width,)), None, {})
        for path, width in (("a", 6), ("b", 8))
    )
    chosen = CRDConfig(width=4, negatives=negatives, **settings)
    return CRDTerm.build(chosen, BuildContext(*anatomies, classes=3, images=images)).double()


def step(term: CRDTerm, number: int, batch: Batch, *, optimizer: object = None) -> Tensor:
    """The loss of one step on features that depend on its number, taken by an optimizer."""
    count = len(batch.ids)
    mine, theirs = numbers(count, 6, seed=number), numbers(count, 8, seed=50 + number)
    progress = Progress(0, number, 0.0)
    logits = torch.zeros(count, 3)
    loss: Tensor = term(
        ModelOutput(logits, {"a": mine}), TeacherOutput(None, {"b": theirs}), batch, progress
    )
    if isinstance(optimizer, torch.optim.Optimizer):
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return loss.detach()


@pytest.mark.parametrize("negatives", [5, 12, 40])
def test_term(negatives: int) -> None:
    """Two batches: the oracle with the rows that were drawn, the first batch's Z, the memory before."""
    images, temperature = 12, 0.2
    term = term_of(negatives, images, temperature=temperature, momentum=0.8)
    assert term.needs == Needs(labels=True, ids=True, student_points=("a",), teacher_vectors=("b",))
    assert term.across_batch
    memory, z = term.memories[0], None
    for number, ids in enumerate(([3, 7, 0], [5, 3, 11])):
        batch = labelled(ids, [n % 3 for n in ids])
        banks = memory.student.clone(), memory.teacher.clone()
        found = step(term, number, batch)
        rows, weights = memory.draw(batch.ids, negatives, seed=number)
        if rows is None:
            rows = torch.arange(images).expand(3, images)
        every = torch.cat([batch.ids[:, None], rows], 1).tolist()
        u = term.student[0](numbers(3, 6, seed=number))
        v = term.teacher[0](numbers(3, 8, seed=50 + number))
        expected, z = crd_oracle(
            u,
            v,
            banks,
            every,
            weights.tolist(),
            images=images,
            noise=negatives / images,
            temperature=temperature,
            z=z,
        )
        assert found.item() == pytest.approx(expected, rel=1e-9)
        new = normalize(0.8 * banks[1][batch.ids] + 0.2 * v)
        torch.testing.assert_close(memory.teacher[batch.ids], new)
    assert memory.labels.tolist() == [0, -1, -1, 0, -1, 2, -1, 1, -1, -1, -1, 2]


def test_term_learns_from_both_sides() -> None:
    """Both embeddings are trained, through a memory that changes before the backward pass."""
    term = term_of(5, 12)
    mine, theirs = numbers(3, 6).requires_grad_(), numbers(3, 8, seed=1).requires_grad_()
    torch.autograd.backward(term_loss(term, mine, theirs, labelled([3, 7, 0], [0, 1, 0])))
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in term.parameters())
    assert len(list(term.parameters())) == 4
    frozen = term_of(5, 12).eval()
    spares_the_teacher(lambda s, t: term_loss(frozen, s, t), mine.detach(), theirs.detach())


@pytest.mark.parametrize("negatives", [5, 40])
def test_terms_gradient(negatives: int) -> None:
    """Finite differences of the whole term agree (in evaluation, where nothing moves in between)."""
    term = term_of(negatives, 12, temperature=0.5)
    step(term, 0, labelled([3, 7, 0], [0, 1, 0]))
    term.eval()
    batch = labelled([3, 1, 2], [0, 1, 1])
    assert gradcheck(
        lambda s, t: term_loss(term, s, t, batch), numbers(3, 6), numbers(3, 8, seed=1)
    )


def test_evaluation_remembers_nothing() -> None:
    """Outside of training, no buffer changes."""
    term = term_of(5, 12).eval()
    before = {name: tensor.clone() for name, tensor in term.state_dict().items()}
    step(term, 0, labelled([3, 7, 0], [0, 1, 0]))
    assert all(torch.equal(tensor, before[name]) for name, tensor in term.state_dict().items())


@pytest.mark.parametrize("negatives", [5, 40])
def test_resumes_exactly(negatives: int) -> None:
    """From its state after two steps, a term goes on as if it had never stopped, to the last bit."""
    batches = [labelled(ids, [n % 3 for n in ids]) for ids in ([3, 7, 0], [5, 3, 11], [1, 2, 3])]

    def optimizer(term: CRDTerm) -> torch.optim.Optimizer:
        return torch.optim.SGD(term.parameters(), lr=0.1)

    term = term_of(negatives, 12)
    sgd = optimizer(term)
    for number in range(2):
        step(term, number, batches[number], optimizer=sgd)
    other = term_of(negatives, 12)
    other.load_state_dict(term.state_dict())
    losses = [step(t, 2, batches[2], optimizer=optimizer(t)) for t in (term, other)]
    assert torch.equal(*losses)
    ours, theirs = term.state_dict(), other.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    assert set(ours) >= {
        f"memories.0.{name}" for name in ("student", "teacher", "labels", "log_z", "ready")
    }


def test_memory_is_fp32_whatever_the_features() -> None:
    """bf16 features under autocast: the memory and the loss are fp32, and rows keep length 1."""
    term = CRDTerm([pair((6,), (8,))], CRDConfig(width=4, negatives=5), images=12)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mine = numbers(3, 6).bfloat16().requires_grad_()
        loss = term_loss(term, mine, numbers(3, 8).bfloat16(), labelled([0, 1, 2], [0, 1, 2]))
        torch.autograd.backward(loss)
    assert loss.dtype == term.memories[0].student.dtype == torch.float32
    torch.testing.assert_close(term.memories[0].teacher.norm(dim=1), torch.ones(12))
    full = CRDTerm([pair((6,), (8,))], CRDConfig(width=4, negatives=5), images=12)
    fresh = CRDTerm([pair((6,), (8,))], CRDConfig(width=4, negatives=5), images=12)
    fresh.load_state_dict(full.state_dict())
    same = [x.bfloat16() for x in (numbers(3, 6), numbers(3, 8))]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = term_loss(full, *same)
    torch.testing.assert_close(low, term_loss(fresh, *(x.float() for x in same)), rtol=0, atol=0)


def test_training_tells_images_apart() -> None:
    """Learned for long, an image's two embeddings are closer than those of different classes."""
    torch.manual_seed(0)
    term = term_of(6, 12, temperature=0.2).float()
    adam = torch.optim.Adam(term.parameters(), lr=1e-2)
    mine, theirs = numbers(12, 6).float(), numbers(12, 8, seed=1).float()
    batch = labelled(list(range(12)), [n % 3 for n in range(12)])
    signal = TeacherOutput(None, {"b": theirs})
    for number in range(150):
        adam.zero_grad()
        output = ModelOutput(torch.zeros(12, 3), {"a": mine})
        torch.autograd.backward(term(output, signal, batch, Progress(0, number, 0.0)))
        adam.step()
    cosine = term.student[0](mine) @ term.teacher[0](theirs).T
    other = batch.labels[:, None] != batch.labels
    assert cosine.diagonal().mean() > cosine[other].mean() + 0.5


@pytest.mark.parametrize(("negatives", "memory"), [(5, True), (40, True), (5, False)])
def test_no_waiting_for_the_device(negatives: int, memory: bool) -> None:
    """Tensors without numbers will do: nothing is read back from the device."""
    with FakeTensorMode():
        pairs = [pair((6,), (8,))]
        term = CRDTerm(pairs, CRDConfig(width=4, negatives=negatives, memory=memory), images=12)
        mine = torch.zeros(3, 6, requires_grad=True)
        count = torch.zeros(3, dtype=torch.int64)
        batch = Batch(torch.zeros(3, 3, 1, 1, dtype=torch.uint8), count, count, 0)
        output, signal = (
            ModelOutput(mine, {"a": mine}),
            TeacherOutput(None, {"b": torch.zeros(3, 8)}),
        )
        torch.autograd.backward(term(output, signal, batch, START))
