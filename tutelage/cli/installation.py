"""The one broken installation that many people have, named before it shows as a riddle."""

import importlib.metadata

from tutelage.errors import MachineError


def require_matching() -> None:
    """Torch and torchvision are of one release, so that torchvision finds its operators.

    Raises:
        MachineError: they are not, or one is missing.
    """
    try:
        import torchvision  # noqa: F401
    except (RuntimeError, ImportError) as error:
        found = ", ".join(f"{name} {_version(name)}" for name in ("torch", "torchvision"))
        raise MachineError(
            "torch and torchvision do not fit together",
            found=f"{found}: {str(error).splitlines()[0]}",
            expected="two packages of the same release",
            fix="pip install --force-reinstall -c constraints.txt torch torchvision",
        ) from error


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
