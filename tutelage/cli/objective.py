"""What `--loss`, `--alpha` and `--temperature` mean together.

`--loss kd+hint` chooses the losses beside that of the label, each with its default settings. `--alpha A`
keeps its meaning: kd has the weight A, the label 1 - A, and any other loss its own.
"""

from collections.abc import Sequence
from typing import Any

from tutelage.config.objective import DEFAULT_ALPHA, ObjectiveConfig, settings_classes
from tutelage.config.recipes import OBJECTIVE, objective_names, read_recipe
from tutelage.config.renamed import current_name
from tutelage.config.schema import flag
from tutelage.errors import UsageError, suggest


def objective_table(text: str, *, alpha: float | None, plugin: bool) -> dict[str, Any]:
    """The settings that `--loss` stands for.

    Args:
        text: names of losses, joined by +, or of a recipe of losses.
        alpha: the value of `--alpha`.
        plugin: whether there may be losses of the user's own.

    Raises:
        UsageError: no such loss.

    >>> objective_table("hint", alpha=None, plugin=False)
    {'losses': {'hint': {}, 'label': {'weight': 1.0}, 'kd': {'weight': 0.0}}}
    """
    given = {} if alpha is None else {"alpha": alpha}
    known = settings_classes()
    names = [name.strip().replace("-", "_") for name in text.split("+")]
    if text in objective_names() and not set(names) <= set(known):
        table = read_recipe(text).table
        return {key: value for key, value in table.items() if key in OBJECTIVE} | given
    unknown = [name for name in names if name not in known]
    if unknown and not plugin:
        raise _no_such_loss(unknown[0].replace("_", "-"))
    losses: dict[str, Any] = {name: {} for name in names if name in known}
    table = {"losses": losses}
    if unknown:
        table["custom"] = {name: {} for name in unknown}
    if "kd" in names:
        return table | given
    losses["label"] = {"weight": 1.0 if alpha is None else round(1 - alpha, 12)}
    losses["kd"] = {"weight": 0.0}
    return table


def _no_such_loss(name: str) -> UsageError:
    if (now := current_name("losses", name)) != name:
        return UsageError(f"--loss: {name} is called {now} now")
    known = [one.replace("_", "-") for one in settings_classes()]
    return UsageError(
        f"no such loss: {name}",
        expected=suggest(name, [*known, *objective_names()]),
        fix="tutelage losses; one of your own: --plugin FILE",
    )


def temperature_path(objective: ObjectiveConfig) -> str:
    """The setting that `--temperature` means: that of kd, or of the one chosen loss that has any.

    Raises:
        UsageError: no chosen loss has one, or several have and kd is not among them.

    >>> temperature_path(ObjectiveConfig())
    'losses.kd.temperature'
    """
    chosen = _chosen(objective)
    warm = [name for name in chosen if hasattr(getattr(objective.losses, name), "temperature")]
    if "kd" in warm:
        warm = ["kd"]
    if len(warm) == 1:
        return f"losses.{warm[0]}.temperature"
    if warm:
        raise UsageError(
            "--temperature may mean several losses",
            found=" and ".join(name.replace("_", "-") for name in warm),
            fix=" or ".join(flag(f"losses.{name}.temperature") for name in warm),
        )
    several = [name for name in chosen if hasattr(getattr(objective.losses, name), "temperatures")]
    others = [flag(f"losses.{name}.temperatures") for name in several]
    raise UsageError(
        "--temperature means nothing here: no chosen loss has a single one",
        found=" and ".join(chosen) or "no losses",
        fix=" or ".join([*others, "a loss that has one, as --loss kd"]),
    )


def _chosen(objective: ObjectiveConfig) -> Sequence[str]:
    """The names of the losses that count."""
    alpha = DEFAULT_ALPHA if objective.alpha is None else objective.alpha
    shares = {"label": 1 - alpha, "kd": alpha}
    found = {name: getattr(objective.losses, name) for name in settings_classes()}
    return [
        name
        for name, loss in found.items()
        if loss and (shares.get(name, 0) if loss.weight is None else loss.weight) != 0
    ]
