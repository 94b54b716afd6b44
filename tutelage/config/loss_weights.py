"""The terms that an objective chooses, and the weight of each in the total."""

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
    """The settings of every term that is there, by name, in the order of the table, the user's own last.

    Raises:
        UsageError: a term of the user's own that nobody offers, or without such a setting.
    """
    given = {
        f.name: getattr(objective.losses, f.name) for f in dataclasses.fields(objective.losses)
    }
    known = {name: settings for name, settings in given.items() if settings is not None}
    return {**known, **custom_settings(objective.custom)}


def loss_weights(objective: ObjectiveConfig) -> dict[str, float]:
    """The weight of each term in the total, by name, in the order of the table; none of them is 0.

    Raises:
        UsageError: alpha together with a weight of `label` or `kd`, only one of these two weights, or no
            weight at all.
    """
    losses: Mapping[str, Any] = selected_losses(objective)
    pair = {name: losses[name] for name in ("label", "kd") if name in losses}
    given = {name: term.weight for name, term in pair.items() if term.weight is not None}
    if objective.alpha is not None and given:
        name, weight = next(iter(given.items()))
        raise UsageError(
            "alpha and a weight of label or kd say the same thing twice",
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
        raise UsageError("no term has a weight, so nothing would be learned", fix="--alpha 0.7")
    return counted
