"""What the settings of all losses have in common: a weight, and its schedule during training."""

from dataclasses import dataclass

from tutelage.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class WeightedLossConfig:
    """A loss's weight in the total, and its schedule.

    The weight is 0 before `from_epoch`, rises linearly over `warmup_epochs`, and is 0 again from
    `until_epoch` on; with `fade` it falls linearly to 0 on the way there.
    """

    weight: float | None = setting(1.0, at_least=0)
    """Weight in the total."""

    from_epoch: float = setting(0.0, at_least=0)
    """Epoch at which the loss starts to count."""

    warmup_epochs: float = setting(0.0, at_least=0)
    """Epochs over which the weight rises linearly from 0, after `from_epoch`."""

    until_epoch: float | None = setting(None, above=0)
    """Epoch at which the loss stops counting; unset: it counts to the end."""

    fade: bool = False
    """Lower the weight linearly to 0 between the warm-up and `until_epoch` (or the end)."""


@dataclass(frozen=True, kw_only=True)
class FeatureLossConfig(WeightedLossConfig):
    """A loss that compares features inside two networks."""

    student_points: tuple[str, ...] = ()
    """Submodules of the student whose outputs are compared: `layer3`; with `.input`, its input. Unset: chosen
    from the architecture.
    """

    teacher_points: tuple[str, ...] = ()
    """Submodules of the teacher, one for each of the student's."""


def weight_at(settings: WeightedLossConfig, weight: float, *, epoch: float, epochs: float) -> float:
    """Compute the weight after `epoch` of `epochs` epochs; epoch 0 is before the first step.

    >>> weight_at(WeightedLossConfig(warmup_epochs=4), 8.0, epoch=1, epochs=10)
    2.0
    >>> weight_at(WeightedLossConfig(from_epoch=5), 8.0, epoch=4.9, epochs=10)
    0.0
    >>> weight_at(WeightedLossConfig(until_epoch=4, fade=True), 8.0, epoch=3, epochs=10)
    2.0
    """
    end = epochs if settings.until_epoch is None else settings.until_epoch
    if epoch < settings.from_epoch or (settings.until_epoch is not None and epoch >= end):
        return 0.0
    risen = settings.from_epoch + settings.warmup_epochs
    if epoch < risen:
        # The share comes first: it is at most 1, while (weight * done) / all may round above the weight.
        return weight * ((epoch - settings.from_epoch) / settings.warmup_epochs)
    if settings.fade and end > risen:
        return weight * max(0.0, (end - epoch) / (end - risen))
    return weight
