"""MLflow: a SQLite store in TRACKING, or the one that the environment variable MLFLOW_TRACKING_URI names."""

import logging
import os
import shlex
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tutelage.engine.trackers.tracker import LEARNING_RATE, TrackedRun
from tutelage.errors import InputError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

_TAG = "tutelage.run"
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # figures about the use of MLflow, sent to its makers
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a server that does not answer holds up training
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
"""Set unless they are set already."""


class MLflowTracker:
    """Log to MLflow; a continued run is found by its id, kept as a tag, and only lacking epochs are added."""

    def __init__(self) -> None:
        self._uri = self._run = ""
        self._client: MlflowClient
        self._experiment: Experiment
        self._summary: Collection[str] = ()

    def start(self, run: TrackedRun) -> Collection[int]:
        """Find the run in its experiment, or create both."""
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        for package in ("alembic", "mlflow"):  # one line for each table of a new store
            logging.getLogger(package).setLevel(logging.WARNING)
        own = (run.folder / "mlflow.db").absolute()
        self._uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{own}"
        self._client = MlflowClient(tracking_uri=self._uri)
        local = own.with_name("mlflow-artifacts") if self._uri == f"sqlite:///{own}" else None
        self._experiment = self._open_experiment(run.project, local)
        experiment = self._experiment.experiment_id
        found = self._client.search_runs([experiment], f"tags.`{_TAG}` = '{run.id}'", max_results=1)
        if not found:
            return self._create(run)
        self._run, self._summary = found[0].info.run_id, found[0].data.metrics.keys()
        if local is not None:
            _require_below(local, str(found[0].info.artifact_uri))
        self._client.update_run(self._run, status="RUNNING")
        return {point.step for point in self._client.get_metric_history(self._run, LEARNING_RATE)}

    def where(self) -> str:
        """The command that opens a local store, or the address of the server."""
        if self._uri.startswith("sqlite:"):
            return f"mlflow ui --backend-store-uri {shlex.quote(self._uri)}"
        return f"{self._uri}/#/experiments/{self._experiment.experiment_id}/runs/{self._run}"

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add all points of an epoch in one transaction."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        points = [Metric(name, value, now, epoch) for name, value in metrics.items()]
        self._client.log_batch(self._run, metrics=points)

    def summary(self, metrics: Mapping[str, float], *, epoch: int) -> None:
        """Add metrics with a single point, unless the run has them from before."""
        self.log(epoch, {k: v for k, v in metrics.items() if k not in self._summary})

    def image(self, name: str, pixels: NDArray[np.uint8], *, epoch: int) -> None:  # noqa: ARG002
        """Add a PNG file to the run's artifacts."""
        self._client.log_image(self._run, pixels, artifact_file=f"{name}.png")

    def artifact(self, path: Path) -> None:
        """Add a copy of a file to the run's artifacts."""
        self._client.log_artifact(self._run, str(path))

    def finish(self, *, complete: bool) -> None:
        """Mark the run as finished, or as killed until it is continued."""
        self._client.set_terminated(self._run, status="FINISHED" if complete else "KILLED")

    def _open_experiment(self, name: str, local: Path | None) -> "Experiment":
        """Find an experiment or create it; the files of a local store lie beside its database."""
        found = self._client.get_experiment_by_name(name)
        if found is None:
            place = local.as_uri() if local is not None else None
            found = self._client.get_experiment(self._client.create_experiment(name, place))
        if local is not None:
            _require_below(local, str(found.artifact_location))
        return found

    def _create(self, run: TrackedRun) -> Collection[int]:
        from mlflow.entities import Param

        tags = {_TAG: run.id, "group": run.group, "role": run.kind}
        made = self._client.create_run(self._experiment.experiment_id, run_name=run.name, tags=tags)
        self._run = made.info.run_id
        params = [Param(name, str(value)[:500]) for name, value in run.config.items()]
        for start in range(0, len(params), 100):  # MLflow takes no more at once
            self._client.log_batch(self._run, params=params[start : start + 100])
        return ()


def _require_below(folder: Path, address: str) -> None:
    """Refuse a local store whose files go elsewhere: it was moved, or made by a stranger."""
    if address != folder.as_uri() and not address.startswith(f"{folder.as_uri()}/"):
        raise InputError(
            "the MLflow store keeps its files in another folder",
            where=folder.with_name("mlflow.db"),
            found=address,
            expected=folder.as_uri(),
            fix="remove it, or name a store by MLFLOW_TRACKING_URI",
        )
