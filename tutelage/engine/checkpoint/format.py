"""One checkpoint on disk: a folder that is whole or absent, with the length and the checksum of every file.

    tensors.safetensors   weights, averages, the optimizer's state, random states
    facts.json            where training stands, in plain numbers, and what it is a training of
    manifest.json         written last and sealed: format, and bytes and SHA-256 of the two

Nothing in it can be executed. The teacher is not in it. Its bytes are hashed while they are written.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer

from tutelage.config.renamed import current_name
from tutelage.errors import InputError
from tutelage.storage.atomic import read_json, whole_folder, write_new
from tutelage.storage.checksums import read_sealed, require_checksums, seal

FORMAT = 4
KIND = "a checkpoint"
TENSORS, FACTS, MANIFEST = "tensors.safetensors", "facts.json", "manifest.json"

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


class Checkpoint(NamedTuple):
    """tensors by name; facts: plain numbers and strings."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> int:
    """Write a checkpoint and flush it to the disk; returns its bytes.

    Raises:
        MachineError: no room, no permission; what was in its place is still there.
    """
    with whole_folder(folder) as part:
        sums = {
            TENSORS: write_new(part / TENSORS, _chunks(checkpoint.tensors)),
            FACTS: write_new(part / FACTS, [json.dumps(checkpoint.facts).encode()]),
        }
        files = {name: one._asdict() for name, one in sums.items()}
        write_new(part / MANIFEST, [seal({"format": FORMAT, "files": files})])
    return sum(one.bytes for one in sums.values())


def load_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in a folder, after every byte of it has been checked.

    Raises:
        InputError: it is damaged or of another format.
    """
    check_checkpoint(folder)
    facts = read_json(folder / FACTS)
    try:
        found = load_file(folder / TENSORS)
    except SafetensorError as error:  # its checksum fits, so it was made like this
        raise InputError(
            "a checkpoint of no tensors", where=folder / TENSORS, found=error
        ) from error
    if isinstance(names := facts.get("tensors"), list):
        facts["tensors"] = [current_tensor_name(str(name)) for name in names]
    return Checkpoint({current_tensor_name(n): tensor for n, tensor in found.items()}, facts)


def check_checkpoint(folder: Path) -> None:
    """Read a checkpoint as it lies on the disk, and compare it with its manifest.

    Raises:
        InputError: it is damaged or of another format.
    """
    manifest = read_sealed(folder / MANIFEST, kind=KIND, version=FORMAT)
    sums = manifest.get("files")
    require_checksums(folder, sums if isinstance(sums, dict) else {}, (TENSORS, FACTS), kind=KIND)


def _chunks(tensors: dict[str, Tensor]) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file, one tensor after the other, the widest numbers first."""
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header: dict[str, Any] = {}
    end = 0
    for name, tensor in ordered:
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for _, tensor in ordered:
        yield tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def module_tensors(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """A module's whole state under a prefix."""
    return {f"{prefix}/{name}": tensor for name, tensor in module.state_dict().items()}


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """An optimizer's state by parameter number; rates and decays come from the settings instead."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer/{index}/{name}": torch.as_tensor(value)
        for index, values in state.items()
        for name, value in values.items()
        if value is not None
    }


def tensors_under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors saved under a prefix, by their own names."""
    start = f"{prefix}/"
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }


def current_tensor_name(name: str) -> str:
    """What a tensor is called now: a loss that was renamed is a part of the names of its weights.

    >>> current_tensor_name("method/terms.correlation.maps.0.weight")
    'method/terms.cc.maps.0.weight'
    """
    if not name.startswith("method/") or name.startswith(("method/student.", "method/peers.")):
        return name
    return ".".join(current_name("losses", part) for part in name.split("."))


def restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put an optimizer's state back."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors_under("optimizer", tensors).items():
        index, name = key.split("/")
        state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
