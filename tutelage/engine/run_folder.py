"""The folder of one run: its identity, whether it is finished, and its settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from tutelage.config.job import TrainConfig
from tutelage.config.plugins import custom_loss
from tutelage.config.renamed import first_names
from tutelage.config.schema import fingerprint, flatten, to_table
from tutelage.config.toml import to_toml
from tutelage.config.tracking import TRACKING
from tutelage.data.pack.pack import Pack
from tutelage.distributed import World
from tutelage.engine.checkpoint.identity import training_identity
from tutelage.engine.checkpoint.rotation import remove_checkpoints
from tutelage.engine.runtime.device import Runtime
from tutelage.engine.runtime.environment import environment
from tutelage.models.preprocess import Classifier
from tutelage.models.weights import fingerprint_of
from tutelage.storage.atomic import make_folder, recover_partial_writes, write_bytes, write_json
from tutelage.storage.checksums import write_sealed
from tutelage.storage.run_results import FORMAT, read_run_facts, require_whole, seal_run

_IDENTITY = 3
"""Goes up when equal settings come to mean other runs; the layout of the folder has a number of its own."""

_MACHINE = ("device", "precision", "compile")

_ELSEWHERE = ("data", "teacher", "cache", "skip_teacher_check", *TRACKING)
"""Settings that say where inputs are, or let them in, and where a run is shown: none makes another run."""


def run_inputs(
    settings: TrainConfig, pack: Pack, teachers: Sequence[Classifier], network: nn.Module | None
) -> dict[str, Any]:
    """Collect what makes two runs the same: settings, images, teachers, own network, custom losses."""
    plain = {key: value for key, value in to_table(settings).items() if key not in _ELSEWHERE}
    return {
        "settings": first_names(plain),
        "pack": pack.fingerprint,
        "teachers": [fingerprint_of(teacher.network) for teacher in teachers],
        "network": fingerprint_of(network) if network else None,
        "own terms": {name: custom_loss(name).version for name in settings.custom},
    }


def run_fingerprint(inputs: Mapping[str, Any]) -> str:
    """Hash the inputs of a run."""
    return fingerprint(_IDENTITY, *inputs.values())


def checkpoint_identity(
    inputs: Mapping[str, Any], pack: Pack, runtime: Runtime, world: World
) -> dict[str, Any]:
    """Collect what a checkpoint belongs to; see `engine.checkpoint.identity`."""
    return training_identity(
        **{name: fingerprint(found) for name, found in inputs.items()},
        classes=fingerprint(pack.classes),
        processes=world.size,
        device=runtime.device.type,
    )


def portable_identity(settings: TrainConfig, pack: Pack) -> str:
    """Hash what makes runs comparable over versions and machines: settings that are not the defaults, and
    the images. A setting that a later version adds does not change it.
    """
    usual = flatten(_named_first(TrainConfig()))
    plain = flatten(_named_first(settings))
    own = {key: value for key, value in plain.items() if usual.get(key) != value}
    return fingerprint(own, pack.fingerprint)


def _named_first(settings: TrainConfig) -> dict[str, Any]:
    """Return settings by first names, without those of the machine and of where inputs are."""
    table = to_table(settings)
    return first_names({k: v for k, v in table.items() if k not in (*_ELSEWHERE, *_MACHINE)})


def is_finished(folder: Path, identity: str) -> bool:
    """Return whether a run folder holds this very run, complete.

    Raises:
        InputError: it does, and a file of it is damaged.
    """
    if not (folder / "run.json").is_file():
        return False
    facts = read_run_facts(folder)
    if facts.get("fingerprint") != identity or not facts.get("finished"):
        return False
    require_whole(folder)
    return True


def read_fingerprint(folder: Path) -> str:
    """Read the fingerprint of a run from its folder."""
    return str(read_run_facts(folder)["fingerprint"])


def begin_run(
    folder: Path, settings: TrainConfig, facts: dict[str, str], runtime: Runtime, *, in_job: bool
) -> None:
    """Create the folder of a run that is about to start.

    Args:
        folder: of the run.
        settings: of the run.
        facts: its name and fingerprint.
        runtime: how it computes.
        in_job: whether it lies in the folder of a job, beside its teacher.
    """
    make_folder(folder)
    if in_job or not (folder / "config.toml").exists():
        plain = {k: v for k, v in to_table(settings).items() if k not in TRACKING}
        if settings.teacher and in_job:
            # A job can be moved as a whole.
            plain["teacher"] = [f"../{Path(teacher).name}" for teacher in settings.teacher]
        write_bytes(folder / "config.toml", to_toml(plain).encode())
    write_json(folder / "environment.json", environment(runtime))
    write_sealed(
        folder / "run.json", {"format": FORMAT, **_told(settings, facts), "finished": False}
    )


def end_run(folder: Path, settings: TrainConfig, facts: dict[str, str]) -> None:
    """Mark a run as finished; its checkpoints are no longer needed."""
    seal_run(folder, _told(settings, facts))
    remove_checkpoints(folder)


def tidy_run(folder: Path, world: World) -> None:
    """Repeat the end of `end_run`: the run may have been killed right before it."""
    if world.first:
        recover_partial_writes(folder)
        remove_checkpoints(folder)


def _told(settings: TrainConfig, facts: dict[str, str]) -> dict[str, object]:
    return {"kind": "run", "role": settings.role, "seed": settings.seed, **facts}
