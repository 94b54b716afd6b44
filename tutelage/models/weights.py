"""Find and load a network's first weights; where they come from is decided before any long work.

Files are read as data, and nothing in them is executed (`weight_files`). Weights that cannot be reached are
an error that names the file to fetch, never a silent random start.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse

import timm
import torch
from huggingface_hub import constants, try_to_load_from_cache
from torch import Tensor, nn

from tutelage.config.model import ModelConfig
from tutelage.errors import InputError
from tutelage.models.hub import FILES
from tutelage.models.metadata import FIX, KIND, network_folder, read_metadata
from tutelage.models.reach import answers
from tutelage.models.weight_files.candidates import require_bytes
from tutelage.models.weight_files.contents import channel_numbers, list_contents
from tutelage.models.weight_files.fit import fit_contents
from tutelage.models.weight_files.nearest import suggest_network
from tutelage.models.weight_files.tables import bare_tables
from tutelage.models.weight_files.timm_rules import TimmRules, timm_rules
from tutelage.storage.atomic import expand_user
from tutelage.storage.checksums import require_checksums
from tutelage.storage.safe_paths import find_irregular, is_within

MOST_TIMES = 4
"""How many times its size a file's tensors may add up to; tied weights count each time."""


class LoadedWeights(NamedTuple):
    """What of a network came from a file."""

    taken: int
    """Tensors that it gave."""

    of: int
    """Tensors of the network, without the counters that torch fills in."""

    random: tuple[str, ...]
    """Names of the classifier layer that were left random."""

    notes: tuple[str, ...]
    """What else is to be said: which table was taken, what was adapted."""

    says: Mapping[str, Any]
    """What the file itself tells of its network; see `weight_files.contents`."""


class WeightSource(NamedTuple):
    """Where a network's first weights come from."""

    kind: str
    """`none` (random), `tag` (timm's pretrained) or `file`."""
    path: Path | None = None
    """Of the file, where they come from one."""
    loaded: LoadedWeights | None = None
    """What was taken from it, once it is loaded."""

    def __str__(self) -> str:
        """Return the text for screen, model card and report."""
        if self.path is None:
            return self.kind
        if self.loaded is None:
            return f"file {self.path.name}"
        taken, of, random, notes, _ = self.loaded
        start = f"{taken} of {of} tensors from" if random else "file"
        return "; ".join([f"{start} {self.path.name}", *notes])


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
            folder = network_folder(path)
            path = next((folder / n for n in FILES if (folder / n).is_file()), folder / FILES[0])
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
                expected="a .safetensors or checkpoint file, a run or model folder, or none",
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
    if hub and any(isinstance(try_to_load_from_cache(hub, name), str) for name in FILES):
        return
    if url:
        cached = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)
        if cached.is_file():
            return
    if not constants.HF_HUB_OFFLINE and answers(constants.ENDPOINT if hub else url):
        return
    files = [f"{FILES[0]} of {hub}" if hub else "", url]
    raise InputError(
        f"the pretrained weights of {model} are not on this machine and no network answers",
        expected=" or ".join(filter(None, files)),
        fix=f"fetch that file elsewhere and pass it: {flag} PATH; or start from random weights: {flag} none",
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the likeliest table of tensors of a file, without prefixes; nothing in it is executed.

    Memory stays below `MOST_TIMES` the file's size: tensors that would unpack to more are refused first.

    Raises:
        InputError: no such file, one without a table of tensors, or tensors that are not finite.
    """
    with _reading(path):
        contents = list_contents(path)
        names = next(iter(bare_tables(contents)), None)
        if names is None:
            raise ValueError("it holds no table of tensors")
        tensors = {name: contents.tensors[stored] for name, stored in names.items()}
        require_bytes(tensors, MOST_TIMES * path.stat().st_size)
        state = {name: tensor.read() for name, tensor in tensors.items()}
    _require_finite(state, path)
    return state


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Tell whatever goes wrong while a file is read as one error for the user."""
    try:
        if kind := find_irregular(path.stat().st_mode):
            raise ValueError(kind)
        yield
    except Exception as error:  # on damaged files the readers raise a dozen kinds, some empty
        raise InputError(
            "cannot read the weights",
            where=path,
            found=next(iter(str(error).splitlines()), type(error).__name__),
            expected="a whole .safetensors file, or a PyTorch file with a table of tensors",
            fix="save the weights with safetensors.torch.save_file(model.state_dict(), PATH)",
        ) from error


def _require_finite(state: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(
                "weights that are not finite",
                where=path,
                found=name,
                fix="other weights: these come from a network that has diverged",
            )


def load_weights(
    network: nn.Module, path: Path, *, classifier: str | tuple[str, ...] | None
) -> LoadedWeights:
    """Fill a network from a file, by name and shape.

    Args:
        network: changed in place.
        path: the file.
        classifier: the classifier layers, which stay random where their shape differs or the file has none;
            None: everything must fit. Nothing else may be missing, extra or of another shape.

    Raises:
        InputError: other names or shapes; the first ten of each are printed.
    """
    rules = TimmRules() if classifier is None else timm_rules(network, classifier)
    with _reading(path):
        contents = list_contents(path)
        says = {**contents.says, **channel_numbers(contents)}
        fit = fit_contents(contents, network, rules, most=MOST_TIMES * path.stat().st_size)
    if fit.misfits:
        found = "; ".join(f"{what}: {', '.join(n[:10])}" for what, n in fit.misfits.items())
        raise InputError(
            "these weights are of another network",
            where=path,
            found=f"under {fit.key}: {found}" if fit.key else found,
            expected="the names and shapes of --model, as floating-point numbers",
            fix=None if classifier is None else suggest_network(contents, network),
        )
    _require_finite(fit.state, path)
    current = network.state_dict()
    network.load_state_dict({**current, **fit.state})
    numbers = {name for name, tensor in current.items() if tensor.is_floating_point()}
    return LoadedWeights(len(numbers & fit.state.keys()), len(numbers), fit.random, fit.notes, says)


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
