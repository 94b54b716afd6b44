"""The folder of one run: what it is a run of, whether it is finished, and where its settings are."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from tutelage.config import fingerprint, table
from tutelage.data.pack import Pack
from tutelage.engine.environment import environment
from tutelage.engine.precision import Runtime
from tutelage.files import read_json, write_bytes, write_json
from tutelage.folder import flat
from tutelage.losses.own import own_term
from tutelage.models.preprocess import Classifier
from tutelage.models.weights import fingerprint_of
from tutelage.settings import Single
from tutelage.toml import to_toml

FORMAT = 3
_MACHINE = ("device", "precision", "compile")

_ELSEWHERE = ("data", "teacher", "cache")
"""Settings that say where inputs are; what is in them counts instead."""


def run_fingerprint(
    settings: Single, pack: Pack, teachers: Sequence[Classifier], network: nn.Module | None
) -> str:
    """What makes two runs the same run: settings, pictures, teacher, own network."""
    plain = {key: value for key, value in table(settings).items() if key not in _ELSEWHERE}
    return fingerprint(
        FORMAT,
        plain,
        pack.fingerprint,
        [fingerprint_of(teacher.network) for teacher in teachers],
        fingerprint_of(network) if network else None,
        {name: own_term(name).version for name in settings.own},
    )


def essence(settings: Single, pack: Pack) -> str:
    """What makes two runs comparable over versions and machines: the settings that are not the defaults, and
    the pictures. A setting that a later version adds does not change it.
    """
    usual = flat(table(Single()))
    own = {key: value for key, value in flat(table(settings)).items() if usual.get(key) != value}
    plain = {k: v for k, v in own.items() if k.partition(".")[0] not in (*_ELSEWHERE, *_MACHINE)}
    return fingerprint(plain, pack.fingerprint)


def is_finished(folder: Path, identity: str) -> bool:
    """Whether a run folder holds this very run, complete."""
    path = folder / "run.json"
    if not path.is_file():
        return False
    facts = read_json(path)
    return bool(facts.get("fingerprint") == identity and facts.get("finished"))


def read_fingerprint(folder: Path) -> str:
    """The fingerprint of a run, from its folder."""
    return str(read_json(folder / "run.json")["fingerprint"])


def begin(
    folder: Path, settings: Single, facts: dict[str, str], runtime: Runtime, *, in_job: bool
) -> None:
    """Make the folder of a run that is about to start, and write what it is.

    Args:
        folder: of the run.
        settings: of the run.
        facts: its name and fingerprint.
        runtime: how it computes.
        in_job: whether it lies in the folder of a job, beside its teacher.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if in_job or not (folder / "config.toml").exists():
        plain = table(settings)
        if settings.teacher and in_job:
            # A job can be moved as a whole.
            plain["teacher"] = [f"../{Path(teacher).name}" for teacher in settings.teacher]
        write_bytes(folder / "config.toml", to_toml(plain).encode())
    write_json(folder / "environment.json", environment(runtime))
    _mark(folder, settings, facts, finished=False)


def end(folder: Path, settings: Single, facts: dict[str, str]) -> None:
    """Mark a run as finished; its checkpoint is no longer needed."""
    _mark(folder, settings, facts, finished=True)
    checkpoint = folder / "checkpoint"
    for file in checkpoint.glob("*"):
        file.unlink()
    if checkpoint.is_dir():
        checkpoint.rmdir()


def _mark(folder: Path, settings: Single, facts: dict[str, str], *, finished: bool) -> None:
    whole = {
        "format": FORMAT,
        "kind": "run",
        "role": settings.role,
        "seed": settings.seed,
        **facts,
        "finished": finished,
    }
    write_json(folder / "run.json", whole)
