"""What trackers have written, read with their own readers: the points of each run, and its images."""

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple


class Tracked(NamedTuple):
    """One tracked run: (step, value) of each metric in order, names of images and of files."""

    points: dict[str, list[tuple[int, float]]]
    images: set[str]
    files: set[str]


def tensorboard(folder: Path) -> dict[str, Tracked]:
    """By TensorBoard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for run in (folder / "tensorboard").iterdir():
        reader = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0})
        reader.Reload()
        points = {
            name: [(point.step, point.value) for point in reader.Scalars(name)]
            for name in reader.Tags()["scalars"]
        }
        texts = {tag.removesuffix("/text_summary") for tag in reader.Tags()["tensors"]}
        images = set(reader.Tags()["images"])
        found[run.name] = Tracked(points, images, texts - {"settings"})
    return found


def mlflow(folder: Path) -> dict[str, Tracked]:
    """By MLflow's client."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder.absolute() / 'mlflow.db'}")
    found = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            points = {
                name: sorted(
                    (point.step, point.value)
                    for point in client.get_metric_history(run.info.run_id, name)
                )
                for name in run.data.metrics
            }
            assert run.info.status == "FINISHED"
            assert run.info.run_name not in found
            files = {
                file.path
                for folder in ("", "confusion")
                for file in client.list_artifacts(run.info.run_id, folder)
                if not file.is_dir
            }
            images = {name for name in files if name.endswith(".png")}
            names = {name.removesuffix(".png") for name in images}
            found[run.info.run_name] = Tracked(points, names, files - images)
    return found


def wandb(folder: Path) -> dict[str, Tracked]:
    """From the records of offline runs, as `wandb sync` reads them."""
    from wandb.proto.wandb_internal_pb2 import Record

    found = {}
    for path in (folder / "wandb").glob("offline-run-*/run-*.wandb"):
        name, images, files = "", set(), set()
        points: dict[str, list[tuple[int, float]]] = {}
        summary: dict[str, list[tuple[int, float]]] = {}
        for raw in _records(path.read_bytes()):
            record = Record.FromString(raw)
            if record.HasField("run"):
                name = record.run.display_name
            if record.HasField("artifact"):
                files.add(record.artifact.name.rpartition("-")[2])
            row = {
                tuple(item.nested_key) or (item.key,): json.loads(item.value_json)
                for item in record.history.item
            }
            for (key, *inner), value in row.items():
                if inner == ["_type"]:
                    images.add(key)
                elif not inner and not key.startswith("_"):
                    points.setdefault(key, []).append((row["_step",], value))
            for item in record.summary.update:
                key, value = "/".join(item.nested_key) or item.key, json.loads(item.value_json)
                if isinstance(value, float):
                    summary[key] = [(0, value)]
        assert name not in found
        found[name] = Tracked({**summary, **points}, images, files)
    return found


def trackio(folder: Path) -> dict[str, Tracked]:
    """By Trackio's own storage, which has one folder in a process."""
    from trackio.sqlite_storage import SQLiteStorage

    project = folder.absolute().parent.name
    found = {}
    for run in SQLiteStorage.get_runs(project):
        points: dict[str, list[tuple[int, float]]] = {}
        images = set()
        for row in SQLiteStorage.get_logs(project, run):
            for key, value in row.items():
                if isinstance(value, dict):
                    images.add(key)
                elif key not in ("step", "timestamp"):
                    points.setdefault(key, []).append((row["step"], value))
        found[run.rpartition("-")[0]] = Tracked(points, images, set())
    files = {artifact["name"] for artifact in SQLiteStorage.get_artifacts(project)}
    found["report"] = found["report"]._replace(files=files)  # they belong to the project
    return found


READ: dict[str, Callable[[Path], dict[str, Tracked]]] = {
    "tensorboard": tensorboard,
    "mlflow": mlflow,
    "wandb": wandb,
    "trackio": trackio,
}


def _records(content: bytes) -> Iterator[bytes]:
    """The records of a log in LevelDB's format behind a header of 7 bytes: blocks of 32 KiB."""
    place, whole = 7, b""
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _sum, length, kind = struct.unpack("<IHB", content[place : place + 7])
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # all of a record, or its last part
            yield whole
            whole = b""
