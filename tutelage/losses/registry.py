"""Every built-in term by name, and where it lives: both follow from the fields of `LossConfig`.

A term's file is imported when the term is used: nobody waits for thirty ideas to load.
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
"""Modules of terms that are no kind of knowledge: the label is nobody's."""


def term_path(name: str) -> tuple[str, str]:
    """Module and class of a built-in term, which follow from its settings: `KDConfig` is that of `KDTerm`.

    >>> term_path("kd")
    ('tutelage.losses.response.kd', 'KDTerm')
    """
    settings = settings_classes()[name]
    kind = settings.__module__.rpartition(".")[2]
    module = _ELSEWHERE.get(name, f"{kind}.{name}")
    return f"tutelage.losses.{module}", settings.__name__.removesuffix("Config") + "Term"


def term_class(name: str) -> type[Term]:
    """The class of a term of the table, or of one of the user's own.

    Raises:
        UsageError: the user's own is no `Term`.
    """
    if name not in settings_classes():
        own = custom_loss(name)
        if not issubclass(own.term, Term):
            raise not_a_pair(name, (own.settings, own.term), own.where)
        return own.term
    module, cls = term_path(name)
    found: type[Term] = getattr(import_module(module), cls)
    return found


def build_terms(
    objective: ObjectiveConfig, ground: BuildContext, *, seed: int = 0
) -> dict[str, Term]:
    """The terms of an objective whose weight is not 0, in the order of the table.

    Args:
        objective: the settings.
        ground: what is known of the two networks.
        seed: of random adapters; each term has numbers of its own, whatever stands beside it.
    """
    settings, made = selected_losses(objective), {}
    for name in loss_weights(objective):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + zlib.crc32(first_name("losses", name).encode()))
            made[name] = term_class(name).build(settings[name], ground)
    return made
