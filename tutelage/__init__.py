"""Tutelage: from a folder of images to a small, accurate network, with a verdict you can trust.

    import tutelage

    report = tutelage.run("photos", out="runs/photos")
    model = tutelage.load("runs/photos/student-0")

The names in `__all__` are loaded on first use, so that `import tutelage` and the command's help are fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tutelage.commands.adopt import adopt
    from tutelage.commands.evaluate import evaluate
    from tutelage.commands.inference import Model, export, load, predict
    from tutelage.commands.pack import check, pack
    from tutelage.commands.sweep import sweep
    from tutelage.commands.train import distill, resume, run, train
    from tutelage.commands.verify import verify
    from tutelage.config.data import DataConfig
    from tutelage.config.job import DistillConfig, NetworkConfig, TrainConfig
    from tutelage.config.losses.response import KDConfig, LabelConfig
    from tutelage.config.objective import LossConfig
    from tutelage.config.plugins import register_losses
    from tutelage.config.recipes import recipe
    from tutelage.errors import (
        DivergedError,
        InputError,
        Interrupted,
        MachineError,
        TutelageError,
        UsageError,
    )

_HOMES = {
    "tutelage.config.data": ("DataConfig",),
    "tutelage.errors": (
        "DivergedError",
        "InputError",
        "Interrupted",
        "MachineError",
        "TutelageError",
        "UsageError",
    ),
    "tutelage.config.plugins": ("register_losses",),
    "tutelage.config.losses.response": ("KDConfig", "LabelConfig"),
    "tutelage.config.objective": ("LossConfig",),
    "tutelage.config.recipes": ("recipe",),
    "tutelage.config.job": ("DistillConfig", "TrainConfig", "NetworkConfig"),
    "tutelage.commands.sweep": ("sweep",),
    "tutelage.commands.adopt": ("adopt",),
    "tutelage.commands.evaluate": ("evaluate",),
    "tutelage.commands.inference": ("Model", "export", "load", "predict"),
    "tutelage.commands.train": ("distill", "resume", "run", "train"),
    "tutelage.commands.pack": ("check", "pack"),
    "tutelage.commands.verify": ("verify",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "DataConfig",
    "DistillConfig",
    "DivergedError",
    "InputError",
    "Interrupted",
    "KDConfig",
    "LabelConfig",
    "LossConfig",
    "MachineError",
    "Model",
    "NetworkConfig",
    "TrainConfig",
    "TutelageError",
    "UsageError",
    "adopt",
    "check",
    "distill",
    "evaluate",
    "export",
    "load",
    "pack",
    "predict",
    "recipe",
    "register_losses",
    "resume",
    "run",
    "sweep",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tutelage' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
