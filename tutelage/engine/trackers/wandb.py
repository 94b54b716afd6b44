"""Weights & Biases: online or, with WANDB_MODE=offline, in TRACKING/wandb for `wandb sync`."""

import os
import re
import shlex
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tutelage.engine.trackers.tracker import TrackedRun
from tutelage.errors import UsageError

if TYPE_CHECKING:
    from wandb import Run

_ENVIRONMENT = {"WANDB_ERROR_REPORTING": "false"}  # reports of crashes, sent to its makers
_QUIET = {
    "silent": True,
    "console": "off",
    "symlink": False,
    "init_timeout": 30.0,
    "finish_timeout": 120.0,  # what is not sent by then is left to `wandb sync`
    "disable_git": True,
    "disable_code": True,
    "x_disable_stats": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
}
"""Nothing about the machine, the working directory or the console is recorded, and nothing printed."""


class WandbTracker:
    """Log to W&B; a continued run has the same id.

    Online, the server keeps the points that it has. An offline run cannot be continued, so that its folder is
    written anew with all points.
    """

    def __init__(self) -> None:
        self._run: Run
        self._tracked: TrackedRun
        self._next = 1

    def start(self, run: TrackedRun) -> Collection[int]:
        """Begin or resume the run with this id."""
        wandb, self._tracked = _package(), run
        run.folder.mkdir(parents=True, exist_ok=True)
        for old in (run.folder / "wandb").glob(f"offline-run-*-{run.id}"):
            shutil.rmtree(old)
        mode = _mode()
        self._run = wandb.init(
            id=run.id,
            name=run.name,
            group=run.group,
            project=re.sub(r"[/\\#?%:]", "-", run.project)[:128],
            job_type=run.kind,
            config=dict(run.config),
            dir=str(run.folder),
            mode=mode,
            resume="allow" if mode == "online" else None,
            reinit="finish_previous",
            settings=wandb.Settings(**_QUIET),
        )
        self._remove_links()
        self._next = max(1, self._run.step)
        return range(self._next)

    def where(self) -> str:
        """The run's address, or the command that sends an offline run to the server."""
        if self._run.offline:
            return " ".join(["wandb sync", *(shlex.quote(str(one)) for one in self._folders())])
        return self._run.url or "nowhere, W&B is disabled"

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add one row; W&B counts its steps as we count epochs."""
        self._run.log(dict(metrics), step=epoch, commit=True)
        self._next = epoch + 1

    def summary(self, metrics: Mapping[str, float], *, epoch: int) -> None:  # noqa: ARG002
        """Set values of the run's summary."""
        self._run.summary.update(dict(metrics))

    def image(self, name: str, pixels: NDArray[np.uint8], *, epoch: int) -> None:
        """Add a row with an image behind that of the last epoch."""
        if self._next <= epoch + 1:
            self._run.log({name: _package().Image(pixels)}, step=epoch + 1, commit=False)

    def artifact(self, path: Path) -> None:
        """Add a version of a file to the project's artifacts."""
        name = re.sub(r"[^A-Za-z0-9_.-]", "-", f"{self._tracked.group}-{path.name}")
        found = _package().Artifact(name, type="report")
        for folder in self._folders():  # `wandb sync` sends the copy, maybe much later
            copy = shutil.copy(path, folder)
            found.add_file(str(copy), name=path.name, policy="immutable", skip_cache=True)
        self._run.log_artifact(found)

    def finish(self, *, complete: bool) -> None:
        """End the run; one that is paused counts as failed until it is continued."""
        self._run.finish(exit_code=0 if complete else 1)
        self._remove_links()

    def _folders(self) -> list[Path]:
        """The folder that W&B made for the run; none where W&B is disabled."""
        made = (self._tracked.folder / "wandb").glob(f"*run-*-{self._tracked.id}*")
        return sorted(path for path in made if path.is_dir())[-1:]

    def _remove_links(self) -> None:
        """Links lead out of the job's folder, to log files of W&B; such a folder would be refused."""
        for folder in self._folders():
            for path in folder.rglob("*"):
                if path.is_symlink():
                    path.unlink()


def require_login() -> None:
    """Refuse what W&B would ask for in the terminal when the first run starts.

    Raises:
        UsageError: there is no API key on this machine.
    """
    wandb = _package()
    if _mode() != "online":
        return
    wandb.setup(wandb.Settings(silent=True))
    if not wandb.login(prompt=False):
        raise UsageError(
            "--track wandb needs an account",
            found="no API key on this machine",
            fix="wandb login, or WANDB_MODE=offline, which keeps all here until `wandb sync`",
        )


def _package() -> Any:
    """The package; it takes this environment when it is imported."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import wandb

    return wandb


def _mode() -> str:
    """online, offline or disabled: by the environment, else by W&B's own settings."""
    return os.environ.get("WANDB_MODE") or str(_package().setup().settings.mode)
