"""Find and load a network's first weights; where they come from is decided before any long work.

Files are read as tensors only: safetensors first, PyTorch files with an explicit `weights_only=True`. Weights
that cannot be reached are an error that names the file to fetch, never a silent random start.
"""

import hashlib
import json
import socket
import threading
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import urlparse

import timm
import torch
from huggingface_hub import constants, try_to_load_from_cache
from safetensors.torch import load_file
from torch import Tensor, nn

from tutelage.config.model import ModelConfig
from tutelage.errors import InputError
from tutelage.models.metadata import FIX, KIND, read_metadata
from tutelage.models.pickle_scan import require_only_tensors
from tutelage.storage.atomic import expand_user
from tutelage.storage.checksums import require_checksums
from tutelage.storage.safe_paths import find_irregular, is_within

LARGEST_HEADER = 16 << 20
"""Bytes."""
MOST_TIMES = 4
"""How many times its size a file's tensors may add up to; tied weights count each time."""
_FILES = ("model.safetensors", "pytorch_model.bin")


class WeightSource(NamedTuple):
    """Where a network's first weights come from."""

    kind: str
    """`none` (random), `tag` (timm's pretrained) or `file`."""
    path: Path | None = None
    """Of the file, where they come from one."""

    def __str__(self) -> str:
        """Return the text for the report."""
        return f"file {self.path.name}" if self.path else self.kind


def find_weights(settings: ModelConfig, *, flag: str = "--weights") -> WeightSource:
    """Decide where the weights come from; fast, and offline unless a tag needs a download.

    Raises:
        InputError: a file is missing, or a tag's weights are neither on this machine nor within reach.
    """
    if settings.weights == "none":
        return WeightSource("none")
    if settings.weights is not None:
        path = expand_user(settings.weights)
        if path.is_dir():
            folder, path = path, path / "model.safetensors"
            if not is_within(path, folder):
                raise InputError(
                    "the weights in the folder are a link out of it",
                    where=path,
                    found=path.resolve(),
                    fix=f"name the file itself: {flag} FILE",
                )
            if (folder / "tutelage.json").is_file():
                sums = read_metadata(folder)["files"]
                require_checksums(folder, sums, [path.name], kind=KIND, fix=FIX)
        if not path.is_file():
            raise InputError(
                f"no weights at {settings.weights}",
                expected="a .safetensors or checkpoint file, a model folder, or none",
                fix=f"{flag} none   (random weights)",
            )
        return WeightSource("file", path)
    if "." not in settings.model:
        return WeightSource("none")
    _require_within_reach(settings.model, flag)
    return WeightSource("tag")


def _require_within_reach(model: str, flag: str) -> None:
    """Fail within seconds where a download would fail after a minute."""
    config = timm.models.get_pretrained_cfg(model)
    hub, url = (str(config.hf_hub_id or ""), str(config.url or "")) if config else ("", "")
    if hub and any(isinstance(try_to_load_from_cache(hub, name), str) for name in _FILES):
        return
    if url:
        cached = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)
        if cached.is_file():
            return
    host = urlparse(constants.ENDPOINT if hub else url).hostname
    if not constants.HF_HUB_OFFLINE and host and _answers(host):
        return
    files = [f"{_FILES[0]} of {hub}" if hub else "", url]
    raise InputError(
        f"the pretrained weights of {model} are not on this machine and no network answers",
        expected=" or ".join(filter(None, files)),
        fix=f"fetch that file elsewhere and pass it: {flag} PATH; or start from random weights: {flag} none",
    )


def _answers(host: str, seconds: float = 3.0) -> bool:
    """Return whether a TCP connection to the host's port 443 opens; a slow name look-up counts as no."""
    opened = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection((host, 443), timeout=seconds).close()
            opened.set()
        except OSError:
            pass

    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(seconds)
    return opened.is_set()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors or PyTorch checkpoint file; nothing in it is executed.

    Memory stays below `MOST_TIMES` the file's size: a file that would unpack to more is refused first.

    Raises:
        InputError: no such file, a file that holds code, or tensors that are not finite.
    """
    try:
        if kind := find_irregular(path.stat().st_mode):
            raise ValueError(kind)
        if path.suffix == ".safetensors":
            _require_header(path)
            state = load_file(path)
        else:
            require_only_tensors(path)
            loaded = torch.load(path, map_location="cpu", weights_only=True)
            state = _tensors(loaded)
            _require_modest(state, path)
    except Exception as error:  # on damaged files torch's reader raises a dozen kinds, some empty
        raise InputError(
            "cannot read the weights",
            where=path,
            found=_reason(error),
            expected="a whole .safetensors file, or a PyTorch file of tensors only",
            fix="save the weights with safetensors.torch.save_file(model.state_dict(), PATH)",
        ) from error
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(
                "weights that are not finite",
                where=path,
                found=name,
                fix="other weights: these come from a network that has diverged",
            )
    return state


def _reason(error: Exception) -> str:
    """Return the first line of the error, but never torch's advice to load the file unsafely."""
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return "it holds more than tensors" if "weights_only" in str(error) else first


def _require_header(path: Path) -> None:
    """Check the header of a safetensors file: it is of a bounded length, and no name occurs twice in it."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > LARGEST_HEADER:
            raise ValueError(f"its header claims {length:,} bytes, more than {LARGEST_HEADER:,}")
        json.loads(file.read(length), object_pairs_hook=_each_once)


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("its header holds a name twice")
    return table


def _require_modest(state: dict[str, Tensor], path: Path) -> None:
    """Refuse tensors that are much larger than their storage (for example stride 0)."""
    for name, tensor in state.items():
        if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise ValueError(f"{name} is not a plain tensor")
        if tensor.nbytes > tensor.untyped_storage().nbytes():
            raise ValueError(f"{name} has more numbers than the file stores")
    if sum(tensor.nbytes for tensor in state.values()) > MOST_TIMES * path.stat().st_size:
        raise ValueError("its tensors share their numbers too often")


def _tensors(loaded: object) -> dict[str, Tensor]:
    """Return the state dict inside the usual wrappers (`state_dict`, `model`), names without `module.`."""
    for key in ("state_dict", "model", "model_state_dict", "state_dict_ema"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
            break
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise RuntimeError(f"it holds a {type(loaded).__name__}, not a table of tensors")
    tensors = cast(dict[str, Tensor], loaded)
    for prefix in ("module.", "_orig_mod."):
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def load_weights(network: nn.Module, path: Path, *, classifier: str | None) -> list[str]:
    """Fill a network from a file, by name and shape.

    Args:
        network: changed in place.
        path: the file.
        classifier: parameter prefix of the classifier layer, which stays random where its shape differs;
            None: everything must fit. Nothing else may be missing, extra or of another shape.

    Returns:
        The names left random.

    Raises:
        InputError: other names or shapes; the first ten of each are printed.
    """
    state, current = read_weights(path), network.state_dict()
    head = {name for name in current if classifier and name.startswith(f"{classifier}.")}
    replaced = {n for n in head if n not in state or state[n].shape != current[n].shape}
    missing = [n for n in current if n not in state and n not in replaced]
    extra = [n for n in state if n not in current]
    shapes = [
        f"{n} {list(state[n].shape)} (network: {list(current[n].shape)})"
        for n in current
        if n in state and n not in replaced and state[n].shape != current[n].shape
    ]
    kinds = [
        f"{n} {state[n].dtype}".replace("torch.", "")
        for n in current
        if n in state and current[n].is_floating_point() and not state[n].is_floating_point()
    ]
    parts = {
        "missing": missing,
        "not in the network": extra,
        "of another shape": shapes,
        "whole numbers": kinds,
    }
    if any(parts.values()):
        found = "; ".join(f"{what}: {', '.join(n[:10])}" for what, n in parts.items() if n)
        raise InputError(
            "these weights are of another network",
            where=path,
            found=found,
            expected="the names and shapes of --model, as floating-point numbers",
        )
    network.load_state_dict({**current, **{n: state[n] for n in current if n not in replaced}})
    return sorted(replaced)


def fingerprint_of(network: nn.Module) -> str:
    """Return the SHA-256 of names, shapes and bytes of a network's state, 16 hex digits."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()[:16]


def _bytes(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()
