"""The rows of the performance table that need a GPU, in one command and within ten minutes.

    python benchmarks/gpu.py

Rows 10 to 12: ResNet-34 teaches ResNet-18 at 224 px, batch 256, bf16, compiled, on the bundled sample's
images, which lie in the GPU's memory. A window is 20 steps, or an epoch of 30; the device is waited for at
the end of each. Row 10 is `whole_epochs` of steps.py. Networks have random weights, which cost a step
the same.

Row 13: the recipe `resnet34-resnet18` from photographs (500 x 375 JPEGs, enlarged from the sample, with
noise so that they are as long as photographs are) to a saved student: 13,000 packed, the teacher's 5 epochs
and the student's 50 on 7,800 images, both with validation and saving, in a process of its own with
nothing compiled before. The control, which the recipe also trains, is not in it. ImageNet's weights are
used where a file of them is given; without, the teacher begins at random, which takes as long.

Ends with exit code 5 where there is no GPU.
"""

import argparse
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from result import write
from steps import whole_epochs

import tutelage
from tutelage import DataConfig, TrainConfig
from tutelage.commands.benchmark_step import (
    Kind,
    StepBenchmark,
    first_batch,
    open_step_benchmark,
    step_timer,
)
from tutelage.config.training import DeviceConfig
from tutelage.data.readers.zip import SAMPLE
from tutelage.engine.runtime.device import resolve_runtime
from tutelage.engine.train.compile import compile_network
from tutelage.evaluation.timing import Way, median_ratio, time_interleaved
from tutelage.methods.registry import plan_job
from tutelage.models.preprocess import Classifier

WHOLE = 570.0
"""Seconds for everything."""

FOR_STEPS = 240.0
"""Seconds for rows 10 to 12 at most."""

ROWS = {
    "10": ("end-to-end / bare compiled step", "at least", 0.97),
    "11": ("cached step / plain step", "at most", 1.02),
    "12": ("ResNet-18 distillation, images/s", "at least", 17_000),
    "13": ("the whole canonical recipe, seconds", "at most", 120),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--teacher-weights", default="none", help="file of ImageNet's, for row 13")
    parser.add_argument("--recipe-in", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    try:
        resolve_runtime(DeviceConfig(device=chosen.device))
    except tutelage.TutelageError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error
    if chosen.recipe_in:
        canonical(Path(chosen.recipe_in))
        return
    begin = time.monotonic()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        if {"10", "11", "12"} & set(chosen.rows):
            found |= _attempt(lambda: _steps(Path(name), chosen.device), FOR_STEPS)
        if "13" in chosen.rows:
            job = _canonical_job(chosen.device, chosen.teacher_weights)
            left = WHOLE - (time.monotonic() - begin)
            found["recipe"] = _attempt(lambda: recipe(Path(name), job, limit=left), left)
    rows = told(found)
    write("gpu", gpu=_gpu(), rows=rows, **found)
    for number, row in rows.items():
        value = "not measured" if row["found"] is None else f"{row['found']:.4g}"
        print(f"{number}  {row['measure']:40}{value:>14}   {row['reach']}", file=sys.stderr)


def told(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The rows of the table: what was found (None: not measured), and what was to be reached."""
    epochs, recipe = found.get("epochs", {}), found.get("recipe", {})
    values = {
        "10": epochs.get("cached", {}).get("ratio", {}).get("median"),
        "11": found.get("cached_by_plain", {}).get("median"),
        "12": epochs.get("cached", {}).get("images_per_second"),
        "13": recipe.get("seconds"),
    }
    return {
        number: {"measure": measure, "found": values[number], "reach": f"{word} {bound}"}
        for number, (measure, word, bound) in ROWS.items()
    }


def _steps(folder: Path, device: str) -> dict[str, Any]:
    settings = TrainConfig(
        weights="none",
        batch_size=256,
        device=device,
        precision="bf16",
        data=DataConfig(image_size=224),
    )
    trial = open_step_benchmark(
        "sample", settings, teacher="resnet34", folder=folder / "trial", images=30 * 256, say=print
    )
    return step_rows(
        trial, partial(compile_network, mode="default"), windows=9, window=20, epochs=9
    )


def step_rows(
    trial: StepBenchmark,
    compiling: Callable[[Classifier], None],
    *,
    windows: int,
    window: int,
    epochs: int,
) -> dict[str, Any]:
    """Rows 10 to 12.

    Args:
        trial: images and networks.
        compiling: compiles a network in place.
        windows: timed windows of single steps, of each kind.
        window: steps in each.
        epochs: timed epochs of each kind.
    """
    batch = first_batch(trial)
    kinds: tuple[Kind, ...] = ("plain", "cached")
    states = {kind: trial.state(kind) for kind in kinds}
    ways: dict[str, Way] = {}
    for kind, state in states.items():
        student = state.method.student
        assert isinstance(student, Classifier)
        compiling(student)
        state.compiled_for = len(batch.ids)
        ways[kind] = _often(step_timer(state, trial.teacher_for(kind, state), batch), window)
    seconds = time_interleaved(ways, rounds=windows, settle=trial.settle)
    return {
        "computes": f"{trial.runtime}, compiled",
        "batch": len(batch.ids),
        "cached_by_plain": median_ratio(seconds["cached"], seconds["plain"]),
        "epochs": {kind: whole_epochs(trial, kind, epochs, states[kind]) for kind in kinds},
    }


def _often(way: Way, times: int) -> Way:
    def several() -> None:
        for _ in range(times):
            way()

    return several


def _canonical_job(device: str, weights: str) -> tutelage.DistillConfig:
    job = tutelage.recipe("resnet34-resnet18")
    random = {"model": "resnet34"} if weights == "none" else {}
    teacher = dataclasses.replace(job.teacher, weights=weights, **random)
    return dataclasses.replace(job, device=device, teacher=teacher)


def recipe(folder: Path, job: tutelage.DistillConfig, *, limit: float) -> dict[str, Any]:
    """Row 13: photographs are written, then a new process does the job and is timed from outside."""
    from tutelage.config.schema import to_table
    from tutelage.config.toml import to_toml

    photos(folder / "photos", int(sum(job.data.split)))
    (folder / "recipe.toml").write_text(to_toml(to_table(job)))
    command = [sys.executable, __file__, "--device", job.device, "--recipe-in", str(folder)]
    cold = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor")}
    begin = time.perf_counter()
    subprocess.run(command, env=cold, check=True, timeout=limit, stdout=subprocess.DEVNULL)
    seconds = round(time.perf_counter() - begin, 1)
    return {"seconds": seconds, **json.loads((folder / "parts.json").read_text())}


def canonical(folder: Path) -> None:
    """What the new process does: pack, teacher, student; the seconds of each go into `parts.json`."""
    job = tutelage.recipe(str(folder / "recipe.toml"))
    teacher, student = (step.settings for step in plan_job(job)[:2])
    pack, out = folder / "pack", {name: folder / name for name in ("teacher", "student")}
    taught = dataclasses.replace(student, teacher=(str(out["teacher"]),))
    jobs = {
        "pack": lambda: tutelage.pack(folder / "photos", job.data, out=pack, quiet=True),
        "teacher": lambda: tutelage.train(pack, teacher, out=out["teacher"], quiet=True),
        "student": lambda: tutelage.distill(pack, taught, out=out["student"], quiet=True),
    }
    parts: dict[str, Any] = {"teacher_weights": teacher.weights}
    for name, do in jobs.items():
        begin = time.perf_counter()
        do()
        parts[f"{name}_seconds"] = round(time.perf_counter() - begin, 1)
    for name, run in out.items():
        scores = json.loads((run / "scores.json").read_text())
        parts[f"{name}_accuracy"] = scores["last"]["val"]["accuracy"]
    (folder / "parts.json").write_text(json.dumps(parts))


def photos(folder: Path, count: int) -> None:
    """JPEGs of 500 x 375 in one folder a class, from the sample's labelled images in turn."""
    with zipfile.ZipFile(SAMPLE) as sample:
        names = [name for name in sample.namelist() if name.count("/") == 2]
        chosen = [names[number * len(names) // count % len(names)] for number in range(count)]
        raw = [(name.split("/")[1], sample.read(name)) for name in chosen]

    def one(number: int) -> None:
        label, content = raw[number]
        with Image.open(io.BytesIO(content)) as image:
            large = image.convert("RGB").resize((500, 375), Image.Resampling.BICUBIC)
        noise = np.random.default_rng(number).integers(-16, 17, (375, 500, 1))
        pixels = (np.asarray(large, np.int16) + noise).clip(0, 255).astype(np.uint8)
        (folder / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / label / f"{number:05}.jpg", quality=90)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, range(count)))


def _attempt(part: Any, limit: float) -> dict[str, Any]:
    """A part's figures, or why there are none: the other parts are measured all the same."""
    try:
        with _within(limit):
            return dict(part())
    except (TimeoutError, subprocess.TimeoutExpired):
        return {"failed": f"not finished in {limit:.0f} s"}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"[:2000]}


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1.0))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _gpu() -> str | None:
    """The name and the power limit, which is not always the card's own."""
    command = ["nvidia-smi", "--query-gpu=name,power.limit,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


if __name__ == "__main__":
    main()
