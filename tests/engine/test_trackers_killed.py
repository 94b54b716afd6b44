"""The real trackers: a run that was killed and continued, read back with each tracker's own reader."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from support.child import environment
from support.tracked import READ, Tracked
from tutelage.config.job import TrainConfig
from tutelage.config.schema import to_table
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.engine.runtime.journal import read_events
from tutelage.engine.trackers import wandb
from tutelage.engine.trackers.open import track_report
from tutelage.engine.trackers.registry import TRACKERS
from tutelage.errors import UsageError

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:sqlalchemy"),
]
Settings = Callable[..., TrainConfig]
Place = Callable[..., RunContext]
REPORT = {"report.html", "report.md"}

KILLED = """
import json, os, signal, sys
from pathlib import Path
from tutelage.config.job import TrainConfig
from tutelage.config.schema import build
from tutelage.data.pack.pack import open_pack
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.journal import EventLog
from tutelage.engine.runtime.signals import StopRequest
from tutelage.engine.train import loop

pack, out, settings = sys.argv[1:]
loop.CHECKPOINT_SECONDS = 0.0
write = EventLog.write

def write_and_die(self, event, **facts):
    write(self, event, **facts)
    if event == "epoch" and facts["epoch"] == 3:
        os.kill(os.getpid(), signal.SIGKILL)

EventLog.write = write_and_die
context = RunContext("run", Path(out), Path(out).parent / "cache", Console(quiet=True), StopRequest())
train_one(build(TrainConfig, json.loads(settings), where=""), open_pack(Path(pack)), context)
"""


@pytest.fixture(autouse=True)
def _no_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trackers keep nothing outside, and send nothing."""
    places = ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR")
    for name in places:
        monkeypatch.setenv(name, str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def require_same_points(tracked: Mapping[str, Tracked], folder: Path) -> None:
    """One run, with each epoch of the journal once, the scores and the confusion matrix."""
    assert tracked.keys() == {"run", "report"}
    assert tracked["report"].files in (REPORT, {"report"})  # a text in TensorBoard
    run = tracked["run"]
    journal = read_events(folder / "journal.jsonl")
    epochs = {event["epoch"]: event for event in journal if event["event"] == "epoch"}
    wanted = {
        "lr": {epoch: event["lr"] for epoch, event in epochs.items()},
        "train/loss": {epoch: event["train"]["loss"] for epoch, event in epochs.items()},
        "val/accuracy": {epoch: event["val"]["accuracy"] for epoch, event in epochs.items()},
    }
    for metric, values in wanted.items():
        assert [step for step, _ in run.points[metric]] == [1, 2, 3, 4]
        assert dict(run.points[metric]) == pytest.approx(values, rel=1e-6)
    assert len(run.points["time/images_per_second"]) == 4
    scores = json.loads((folder / "scores.json").read_text())
    ((_, accuracy),) = run.points["scores/best/val/accuracy"]
    assert accuracy == pytest.approx(scores["best"]["val"]["accuracy"], rel=1e-6)
    assert run.images == {"confusion/val"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("names", [("tensorboard", "mlflow", "wandb"), ("trackio",)], ids="+".join)
def test_killed_and_continued(
    names: tuple[str, ...],
    single: Settings,
    place: Place,
    small_pack: Pack,
    home: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A killed run goes on as the same tracked run: no point twice, none lost."""
    del home
    for name in names:
        pytest.importorskip(TRACKERS[name].package)
    context = place(f"out-{names[0]}")
    monkeypatch.delenv("WANDB_SERVICE", raising=False)  # that of this process outlives the child
    monkeypatch.setenv("TRACKIO_DIR", str(context.folder / "tracking" / "trackio"))
    settings = single(epochs=4, track=names)
    arguments = [str(small_pack.folder), str(context.folder), json.dumps(to_table(settings))]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments],
        env=environment(),
        cwd=context.folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    lines: list[str] = []
    monkeypatch.setattr(context.console, "line", lines.append)
    train_one(settings, small_pack, context)
    assert not [line for line in lines if "failed" in line]
    for file in REPORT:
        (context.folder / file).write_text("# Report\n")
    for _ in range(2):  # the job was killed before it was marked as finished
        track_report(settings, context, context.folder / "report.html")
    for name in names:
        require_same_points(READ[name](context.folder / "tracking"), context.folder)
    assert not [path for path in context.folder.rglob("*") if path.is_symlink()]


def test_server_out_of_reach(
    single: Settings, place: Place, small_pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody answers at the address of the MLflow server: the run goes on."""
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    context, lines = place(), list[str]()
    monkeypatch.setattr(context.console, "line", lines.append)
    train_one(single(track=("mlflow",)), small_pack, context)
    assert len([line for line in lines if "mlflow failed" in line]) == 1
    assert json.loads((context.folder / "run.json").read_text())["finished"]


def test_no_account(home: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """W&B would ask for a key in the terminal: without one it is refused before."""
    del home
    wandb.require_login()
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(UsageError, match="needs an account"):
        wandb.require_login()
