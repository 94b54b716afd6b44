"""Find networks by timm's names of repositories and folders: `hf_hub:USER/NAME`, `local-dir:FOLDER`."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError

from tutelage.errors import InputError, UsageError
from tutelage.models.names import timm_name
from tutelage.models.reach import answers
from tutelage.storage.atomic import expand_user
from tutelage.storage.json_files import parse_json, read_file

FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of weights in such a folder, the preferred one first."""
_HUB, _LOCAL = re.compile(r"hf[-_]hub:(.+)"), "local-dir:"
_LARGEST = 4 << 20


class NamedNetwork(NamedTuple):
    """A network of timm, and the folder that its weights are in; None: those that its name means."""

    model: str
    weights: str | None


def resolve_network(model: str, *, flag: str = "--model") -> NamedNetwork:
    """Return the network that a name means; any other name as it is.

    Raises:
        UsageError: a folder that does not name a network of timm.
        InputError: no such folder or repository, or no network connection to it.
    """
    if model.startswith(_LOCAL):
        return _in_folder(expand_user(model.removeprefix(_LOCAL)), flag)
    if not (found := _HUB.fullmatch(model)):
        return NamedNetwork(model, None)
    repository = found[1].strip("/")
    known = timm_name(repository) if repository.startswith("timm/") else None
    if known is not None:
        return NamedNetwork(known, None)
    return _in_folder(_downloaded(repository, flag), flag)


def _in_folder(folder: Path, flag: str) -> NamedNetwork:
    config = folder / "config.json"
    if not config.is_file():
        raise InputError(
            "no network there",
            where=folder,
            found="no config.json",
            expected="a folder with config.json and model.safetensors, as timm saves it",
            fix="the weight file itself: --weights FILE --model NAME",
        )
    table: dict[str, Any] = parse_json(read_file(config, largest=_LARGEST), config)
    name = timm_name(str(table.get("architecture", "")))
    if name is None:
        raise UsageError(
            "the folder does not name a network of timm",
            where=config,
            found=f"architecture = {table.get('architecture')}",
            expected="a network that `tutelage models` lists",
            fix=f"{flag} NAME with --weights {folder}",
        )
    return NamedNetwork(name, str(folder))


def _downloaded(repository: str, flag: str) -> Path:
    """Fetch the two files of a repository into the hub's cache, where they are not there yet."""
    names = ("config.json", *FILES)
    cached = (
        [try_to_load_from_cache(repository, name) for name in names] if "/" in repository else []
    )
    if cached and isinstance(cached[0], str) and any(isinstance(path, str) for path in cached[1:]):
        return Path(cached[0]).parent
    offline = InputError(
        f"{repository} is not on this machine and no network answers",
        found=f"{flag} hf_hub:{repository}",
        expected=f"config.json and {FILES[0]} of https://huggingface.co/{repository}",
        fix=f"fetch both elsewhere into one folder: {flag} local-dir:FOLDER",
    )
    if constants.HF_HUB_OFFLINE or not answers(constants.ENDPOINT):
        raise offline
    try:
        folder = Path(hf_hub_download(repository, "config.json")).parent
        for name in FILES:
            try:
                hf_hub_download(repository, name)
            except EntryNotFoundError:
                continue
            return folder
    except (RepositoryNotFoundError, EntryNotFoundError, ValueError) as error:
        raise InputError(
            "no such network on the hub",
            found=f"{flag} hf_hub:{repository}",
            expected="a public repository USER/NAME with config.json and model.safetensors",
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise offline from error
    raise InputError(
        "the repository holds no weights",
        found=f"{flag} hf_hub:{repository}",
        expected=" or ".join(FILES),
    )
