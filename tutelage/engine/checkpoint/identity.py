"""What a checkpoint is a training of: compared field by field before anything is taken from it."""

from collections.abc import Mapping
from typing import Any

import torch

from tutelage.errors import InputError

_ELSEWHERE = {
    "torch": "another version of torch may round differently",
    "processes": "the order of the images is the same; weights are equal up to rounding",
    "device": "another kind of processor rounds differently",
}
"""Fields whose change is allowed and told, and what it means."""


def training_identity(**inputs: Any) -> dict[str, Any]:
    """Settings and inputs by name, as plain values, with what computes them.

    Args:
        inputs: fingerprints of settings, images, classes, teachers; number of processes; device.
    """
    return {
        **inputs,
        "torch": torch.__version__,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def require_same_training(saved: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """Refuse a checkpoint of anything else; returns what a person should know all the same.

    Raises:
        InputError: naming each field that differs.
    """
    changed = {
        name: f"{name}: {saved.get(name)} there, {own.get(name)} here"
        for name in sorted({*saved, *own})
        if saved.get(name) != own.get(name)
    }
    refused = [line for name, line in changed.items() if name not in _ELSEWHERE]
    if refused:
        raise InputError(
            "the checkpoint is of a run with other settings or inputs",
            found="; ".join(refused),
            fix="the settings and inputs it was started with, or another --out",
        )
    return [f"{line}; {_ELSEWHERE[name]}" for name, line in changed.items()]
