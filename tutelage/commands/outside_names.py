"""Replace what settings only name by what it is: class names in a file, networks in a folder."""

import dataclasses

from tutelage.config.job import DistillConfig, NetworkConfig, TrainConfig
from tutelage.config.model import ModelConfig
from tutelage.models.class_names import read_class_names
from tutelage.models.hub import NamedNetwork, resolve_network


def resolve_job(settings: DistillConfig) -> DistillConfig:
    """Return the settings of a job with its names replaced.

    Raises:
        UsageError, InputError: see `resolve_network` and `read_class_names`.
    """
    return dataclasses.replace(
        settings,
        teacher=_network(settings.teacher, "--teacher"),
        student=_network(settings.student, "--student"),
        teacher_classes=_names(settings.teacher_classes),
    )


def resolve_run(settings: TrainConfig) -> TrainConfig:
    """Return the settings of one run with its names replaced; errors are those of `resolve_job`."""
    network = resolve_weights(settings)
    return dataclasses.replace(
        settings,
        model=network.model,
        weights=network.weights,
        teacher_classes=_names(settings.teacher_classes),
    )


def resolve_weights(settings: ModelConfig, *, flag: str = "--model") -> NamedNetwork:
    """Return the network that settings name, and its weights: those that are given, or of its folder."""
    found = resolve_network(settings.model, flag=flag)
    return found if settings.weights is None else found._replace(weights=settings.weights)


def _network(settings: NetworkConfig, flag: str) -> NetworkConfig:
    found = resolve_weights(settings, flag=flag)
    return dataclasses.replace(settings, model=found.model, weights=found.weights)


def _names(given: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if given is None else read_class_names(given)
