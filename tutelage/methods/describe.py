"""Describe a method's terms for the report: points, shapes, adapters and warnings."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from tutelage.losses.feature_term import FeatureTerm
from tutelage.losses.term import Term
from tutelage.methods.method import Method
from tutelage.models.preprocess import Classifier


def describe_terms(method: Method) -> list[dict[str, Any]]:
    """Describe each term as plain data: name, weight, points and shapes, parameters, buffers.

    A term that is computed for each of several teachers is listed once.
    """
    by_teacher = _terms_by_teacher(method)
    return [
        _described(name, [terms[name] for terms in by_teacher if name in terms], method.weights)
        for name in by_teacher[0]
    ]


def _terms_by_teacher(method: Method) -> list[dict[str, Term]]:
    """Return the terms of a method for each teacher."""
    return [
        {name: term for name, term in terms.items() if isinstance(term, Term)}
        for terms in (getattr(method, "terms", {}), *getattr(method, "further", ()))
    ]


def _described(name: str, terms: Sequence[Term], weights: Mapping[str, float]) -> dict[str, Any]:
    trained = [p for term in terms for p in term.parameters() if p.requires_grad]
    return {
        "name": name,
        "weight": weights[name],
        "points": [
            {
                "student": mine.path,
                "student_shape": list(mine.shape),
                "teacher": theirs.path if len(terms) == 1 else f"teacher {number}: {theirs.path}",
                "teacher_shape": list(theirs.shape),
            }
            for number, term in enumerate(terms, 1)
            if isinstance(term, FeatureTerm)
            for mine, theirs in term.pairs
        ],
        "adapters": [_layer(part) for term in terms for part in term.modules() if _is_layer(part)],
        "parameters": sum(p.numel() for p in trained),
        "remembers": sum(b.numel() for t in terms for b in _kept(t) if b.numel() > 10_000),
        "across_batch": any(term.across_batch for term in terms),
    }


def _kept(term: Term) -> list[Tensor]:
    """Return the buffers that are part of a term's state."""
    state = term.state_dict()
    return [tensor for name, tensor in term.named_buffers() if name in state]


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)


def _layer(module: nn.Module) -> str:
    """Describe a layer briefly.

    >>> _layer(nn.Conv2d(64, 128, 1)), _layer(nn.Linear(8, 4))
    ('1 x 1 convolution 64 -> 128', 'linear 8 -> 4')
    """
    if isinstance(module, nn.Linear):
        return f"linear {module.in_features} -> {module.out_features}"
    assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    high, wide = module.kernel_size
    return f"{high} x {wide} convolution {module.in_channels} -> {module.out_channels}"


def architecture_warnings(
    method: Method, student: Classifier, teacher: Classifier, *, number: int = 0
) -> list[str]:
    """Warn about feature terms between networks of different architecture.

    `number` is the index (from 0) of the teacher among several.
    """
    families = type(student.network).__name__, type(teacher.network).__name__
    by_teacher = _terms_by_teacher(method)
    terms = by_teacher[min(number, len(by_teacher) - 1)]
    feature_terms = {n: t for n, t in terms.items() if isinstance(t, FeatureTerm)}
    warnings = []
    if feature_terms and families[0] != families[1]:
        compare = "compares" if len(feature_terms) == 1 else "compare"
        warnings.append(
            f"{', '.join(feature_terms)} {compare} what happens inside a {families[0]} and a {families[1]}: "
            "between unlike networks, published tables show hint, attention and RKD below a student without "
            "a teacher"
        )
    for name, term in feature_terms.items():
        for mine, theirs in term.pairs:
            if len(mine.shape) != len(theirs.shape):
                shapes = f"{list(mine.shape)} and {list(theirs.shape)}"
                warnings.append(f"{name}: {mine.path} and {theirs.path} differ in kind: {shapes}")
            elif len(mine.shape) == 3 and mine.shape[1:] != theirs.shape[1:]:
                sizes = " and ".join(f"{s[1]} x {s[2]}" for s in (mine.shape, theirs.shape))
                warnings.append(f"{name}: {mine.path} and {theirs.path} differ in size: {sizes}")
    return warnings
