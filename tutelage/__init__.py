"""Tutelage: from a folder of images to a small, accurate network, with a verdict you can trust.

    import tutelage

    report = tutelage.run("photos", out="runs/photos")
    model = tutelage.load("runs/photos/student-0")

The names in `__all__` are loaded when first used, so that `import tutelage` and the command's help
are quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tutelage.commands.inference import Model, evaluate, export, load, predict
    from tutelage.commands.pack import examine, pack
    from tutelage.commands.sweep import sweep
    from tutelage.commands.train import distill, resume, run, train
    from tutelage.commands.verify import verify
    from tutelage.config.data import Data
    from tutelage.config.job import Job, Single, Trainee
    from tutelage.config.losses.response import KD, Label
    from tutelage.config.objective import Terms
    from tutelage.config.plugins import use_terms
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
    "tutelage.config.data": ("Data",),
    "tutelage.errors": (
        "DivergedError",
        "InputError",
        "Interrupted",
        "MachineError",
        "TutelageError",
        "UsageError",
    ),
    "tutelage.config.plugins": ("use_terms",),
    "tutelage.config.losses.response": ("KD", "Label"),
    "tutelage.config.objective": ("Terms",),
    "tutelage.config.recipes": ("recipe",),
    "tutelage.config.job": ("Job", "Single", "Trainee"),
    "tutelage.commands.sweep": ("sweep",),
    "tutelage.commands.inference": ("Model", "evaluate", "export", "load", "predict"),
    "tutelage.commands.train": ("distill", "resume", "run", "train"),
    "tutelage.commands.pack": ("examine", "pack"),
    "tutelage.commands.verify": ("verify",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "KD",
    "Data",
    "DivergedError",
    "InputError",
    "Interrupted",
    "Job",
    "Label",
    "MachineError",
    "Model",
    "Single",
    "Terms",
    "Trainee",
    "TutelageError",
    "UsageError",
    "distill",
    "evaluate",
    "examine",
    "export",
    "load",
    "pack",
    "predict",
    "recipe",
    "resume",
    "run",
    "sweep",
    "train",
    "use_terms",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tutelage' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
