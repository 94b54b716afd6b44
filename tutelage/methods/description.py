"""What a method's terms look at, for the reader: points, shapes, adapters, and what to be wary of."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from tutelage.losses.features import FeatureTerm
from tutelage.losses.term import Term
from tutelage.methods.method import Method
from tutelage.models.preprocess import Classifier


def described(method: Method) -> list[dict[str, Any]]:
    """Each term as plain data: name, weight, points and shapes, what it trains and remembers."""
    return [_described(name, term, method.weights) for name, term in _terms(method).items()]


def _terms(method: Method, teacher: int = 0) -> dict[str, Term]:
    """The terms of a method, under one of several teachers where they are heard apart."""
    lessons = [getattr(method, "terms", {}), *getattr(method, "further", ())]
    terms = lessons[min(teacher, len(lessons) - 1)]
    return {name: term for name, term in terms.items() if isinstance(term, Term)}


def _described(name: str, term: Term, weights: Mapping[str, float]) -> dict[str, Any]:
    pairs = term.pairs if isinstance(term, FeatureTerm) else ()
    trained = [p for p in term.parameters() if p.requires_grad]
    return {
        "name": name,
        "weight": weights[name],
        "points": [
            {
                "student": mine.path,
                "student_shape": list(mine.shape),
                "teacher": theirs.path,
                "teacher_shape": list(theirs.shape),
            }
            for mine, theirs in pairs
        ],
        "adapters": [_layer(part) for part in term.modules() if _is_layer(part)],
        "parameters": sum(p.numel() for p in trained),
        "remembers": sum(b.numel() for b in _kept(term) if b.numel() > 10_000),
        "across_batch": term.across_batch,
    }


def _kept(term: Term) -> list[Tensor]:
    """The buffers that are part of a term's state."""
    state = term.state_dict()
    return [tensor for name, tensor in term.named_buffers() if name in state]


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)


def _layer(module: nn.Module) -> str:
    """A layer in short.

    >>> _layer(nn.Conv2d(64, 128, 1)), _layer(nn.Linear(8, 4))
    ('1 x 1 convolution 64 -> 128', 'linear 8 -> 4')
    """
    if isinstance(module, nn.Linear):
        return f"linear {module.in_features} -> {module.out_features}"
    assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    high, wide = module.kernel_size
    return f"{high} x {wide} convolution {module.in_channels} -> {module.out_channels}"


def unlike(
    method: Method, student: Classifier, teacher: Classifier, *, number: int = 0
) -> list[str]:
    """What a person should know before trusting terms that look inside two networks that are not alike.

    `number` says which of several teachers it is, from 0.
    """
    families = type(student.network).__name__, type(teacher.network).__name__
    terms = _terms(method, number).items()
    looking = {n: t for n, t in terms if isinstance(t, FeatureTerm)}
    warnings = []
    if looking and families[0] != families[1]:
        compare = "compares" if len(looking) == 1 else "compare"
        warnings.append(
            f"{', '.join(looking)} {compare} what happens inside a {families[0]} and a {families[1]}: "
            "between unlike networks, published tables show hint, attention and RKD below a student without "
            "a teacher"
        )
    for name, term in looking.items():
        for mine, theirs in term.pairs:
            if len(mine.shape) != len(theirs.shape):
                shapes = f"{list(mine.shape)} and {list(theirs.shape)}"
                warnings.append(f"{name}: {mine.path} and {theirs.path} differ in kind: {shapes}")
            elif len(mine.shape) == 3 and mine.shape[1:] != theirs.shape[1:]:
                sizes = " and ".join(f"{s[1]} x {s[2]}" for s in (mine.shape, theirs.shape))
                warnings.append(f"{name}: {mine.path} and {theirs.path} differ in size: {sizes}")
    return warnings
