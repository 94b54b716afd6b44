"""Describe what a result was made with: versions, machine, precision, commit."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

import torch

from tutelage.engine.runtime.device import Runtime
from tutelage.evaluation.latency import device_name

_PACKAGES = ("tutelage", "torch", "torchvision", "timm", "numpy", "pillow")


def environment(runtime: Runtime) -> dict[str, str | int | None]:
    """Collect the content of `environment.json`; nothing personal, no paths."""
    versions = {name: _version(name) for name in _PACKAGES}
    return {
        **versions,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": device_name(torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "device": device_name(runtime.device),
        "precision": "fp32"
        if runtime.autocast is None
        else str(runtime.autocast).removeprefix("torch."),
        "commit": _commit(),
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit of a source checkout; None if Tutelage was installed from a package."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
