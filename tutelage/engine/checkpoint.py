"""Where training stood, exactly: a folder that is whole or absent, with a checksum of every file.

It holds tensors (safetensors) and plain numbers (JSON); nothing in it can be executed. The teacher is
not in it. A damaged checkpoint is an error that names the file, never a silent restart.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from tutelage.errors import InputError
from tutelage.files import read_json, whole_folder

FORMAT = 3


class Checkpoint(NamedTuple):
    """tensors by name; facts: plain numbers and strings."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint of a run by a newer one.

    Raises:
        MachineError: no room, no permission; the older one is then still there.
    """
    with whole_folder(folder) as part:
        tensors = {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}
        save_file(tensors, part / "tensors.safetensors")
        (part / "facts.json").write_text(json.dumps(checkpoint.facts))
        sums = {file.name: _sha256(file) for file in sorted(part.iterdir())}
        (part / "manifest.json").write_text(json.dumps({"format": FORMAT, "sha256": sums}))


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint in a folder; None where there is none. `files.settle` comes before it.

    Raises:
        InputError: it is damaged or of another format.
    """
    if not (folder / "manifest.json").is_file():
        return None
    manifest = read_json(folder / "manifest.json")
    if manifest.get("format") != FORMAT:
        raise InputError(
            "a checkpoint of another format",
            where=folder,
            found=manifest.get("format"),
            expected=FORMAT,
        )
    sums = manifest.get("sha256", {})
    for name in ("facts.json", "tensors.safetensors"):
        if not (folder / name).is_file() or _sha256(folder / name) != sums.get(name):
            raise InputError(
                "a damaged checkpoint: its checksum does not match",
                where=folder / name,
                fix=f"remove {folder} to start this run anew",
            )
    return Checkpoint(load_file(folder / "tensors.safetensors"), read_json(folder / "facts.json"))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def module_tensors(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """A module's whole state under a prefix."""
    return {f"{prefix}/{name}": tensor for name, tensor in module.state_dict().items()}


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """An optimiser's state by parameter number; rates and decays come from the settings instead."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer/{index}/{name}": torch.as_tensor(value)
        for index, values in state.items()
        for name, value in values.items()
        if value is not None
    }


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors saved under a prefix, by their own names."""
    start = f"{prefix}/"
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }


def restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put an optimiser's state back."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in under("optimizer", tensors).items():
        index, name = key.split("/")
        state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
