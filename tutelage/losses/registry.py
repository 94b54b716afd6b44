"""Every built-in term by name. Where it lives follows from the fields of `LossConfig`.

A term's file is imported when the term is used, so that start-up does not import thirty losses.
"""

import zlib
from importlib import import_module

import torch

from tutelage.config.loss_weights import loss_weights, selected_losses
from tutelage.config.objective import ObjectiveConfig, settings_classes
from tutelage.config.plugins import custom_loss, not_a_pair
from tutelage.config.renamed import first_name
from tutelage.losses.term import BuildContext, Term

_ELSEWHERE = {"label": "cross_entropy"}
"""Terms that belong to no kind of knowledge: the label comes from the data, not from a teacher."""


def term_path(name: str) -> tuple[str, str]:
    """Return module and class of a built-in term, which follow from its settings: `KDConfig` gives `KDTerm`.

    >>> term_path("kd")
    ('tutelage.losses.response.kd', 'KDTerm')
    """
    settings = settings_classes()[name]
    kind = settings.__module__.rpartition(".")[2]
    module = _ELSEWHERE.get(name, f"{kind}.{name}")
    return f"tutelage.losses.{module}", settings.__name__.removesuffix("Config") + "Term"


def term_class(name: str) -> type[Term]:
    """Return the class of a built-in or custom term.

    Raises:
        UsageError: a custom class is no `Term`.
    """
    if name not in settings_classes():
        custom = custom_loss(name)
        if not issubclass(custom.term, Term):
            raise not_a_pair(name, (custom.settings, custom.term), custom.where)
        return custom.term
    module, cls = term_path(name)
    found: type[Term] = getattr(import_module(module), cls)
    return found


def build_terms(
    objective: ObjectiveConfig, context: BuildContext, *, seed: int = 0
) -> dict[str, Term]:
    """Build the terms of an objective whose weight is not 0, in the order of the registry.

    Args:
        objective: the settings.
        context: what is known of the two networks.
        seed: of random adapters; each term draws its own numbers, whatever other terms are built.
    """
    settings, terms = selected_losses(objective), {}
    for name in loss_weights(objective):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + zlib.crc32(first_name("losses", name).encode()))
            terms[name] = term_class(name).build(settings[name], context)
    return terms
