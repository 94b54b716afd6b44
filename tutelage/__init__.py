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
    from tutelage.cookbook import recipe
    from tutelage.data.settings import Data
    from tutelage.errors import (
        DivergedError,
        InputError,
        Interrupted,
        MachineError,
        TutelageError,
        UsageError,
    )
    from tutelage.losses.own import use_terms
    from tutelage.losses.response.settings import KD, Label
    from tutelage.losses.settings import Terms
    from tutelage.settings import Job, Single, Trainee
    from tutelage.sweeping import sweep
    from tutelage.use import Model, evaluate, export, load, predict
    from tutelage.verbs import distill, examine, pack, resume, run, train
    from tutelage.verifying import verify

_HOMES = {
    "tutelage.data.settings": ("Data",),
    "tutelage.errors": (
        "DivergedError",
        "InputError",
        "Interrupted",
        "MachineError",
        "TutelageError",
        "UsageError",
    ),
    "tutelage.losses.own": ("use_terms",),
    "tutelage.losses.response.settings": ("KD", "Label"),
    "tutelage.losses.settings": ("Terms",),
    "tutelage.cookbook": ("recipe",),
    "tutelage.settings": ("Job", "Single", "Trainee"),
    "tutelage.sweeping": ("sweep",),
    "tutelage.use": ("Model", "evaluate", "export", "load", "predict"),
    "tutelage.verbs": ("distill", "examine", "pack", "resume", "run", "train"),
    "tutelage.verifying": ("verify",),
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
