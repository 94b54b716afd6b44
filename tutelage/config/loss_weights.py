"""The losses that an objective selects, and the weight of each in the total."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tutelage.config.loss_schedule import WeightedLossConfig
from tutelage.config.losses import feature as feature
from tutelage.config.losses import relation as relation
from tutelage.config.losses import response as response
from tutelage.config.objective import DEFAULT_ALPHA, ObjectiveConfig
from tutelage.config.plugins import custom_settings
from tutelage.errors import UsageError


def selected_losses(objective: ObjectiveConfig) -> dict[str, WeightedLossConfig]:
    """Return the settings of every selected loss by name, in the order of `LossConfig`, custom ones last.

    Raises:
        UsageError: there is no such custom loss, or it has no such setting.
    """
    given = {
        f.name: getattr(objective.losses, f.name) for f in dataclasses.fields(objective.losses)
    }
    known = {name: settings for name, settings in given.items() if settings is not None}
    return {**known, **custom_settings(objective.custom)}


def loss_weights(objective: ObjectiveConfig) -> dict[str, float]:
    """Return the weight of each loss in the total by name, without those of weight 0.

    Raises:
        UsageError: alpha is given together with a weight of `label` or `kd`, or only one of these two
            weights, or all weights are 0.
    """
    losses: Mapping[str, Any] = selected_losses(objective)
    pair = {name: losses[name] for name in ("label", "kd") if name in losses}
    given = {name: term.weight for name, term in pair.items() if term.weight is not None}
    if objective.alpha is not None and given:
        name, weight = next(iter(given.items()))
        raise UsageError(
            "alpha cannot be combined with a weight of label or kd",
            found=f"alpha = {objective.alpha} and losses.{name}.weight = {weight}",
            fix=f"leave out --alpha or --losses.{name}.weight",
        )
    alpha = DEFAULT_ALPHA if objective.alpha is None else objective.alpha
    shares = {"label": 1 - alpha, "kd": alpha}
    if given and set(given) != set(pair):
        missing = next(iter(set(pair) - set(given)))
        raise UsageError(
            f"losses.{missing} has no weight",
            expected="a weight for both label and kd, or alpha alone",
            fix=f"--losses.{missing}.weight",
        )
    found = {name: given.get(name, shares.get(name, term.weight)) for name, term in losses.items()}
    counted = {name: weight for name, weight in found.items() if weight != 0}
    if not counted:
        raise UsageError("every loss has weight 0, so nothing would be learned", fix="--alpha 0.7")
    return counted
