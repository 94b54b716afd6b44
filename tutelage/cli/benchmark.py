"""`tutelage benchmark`: how long things take on this machine."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from tutelage.cli.everyday import DATA
from tutelage.config.data import DataConfig
from tutelage.config.job import TrainConfig
from tutelage.config.schema import validate
from tutelage.config.training import DeviceConfig
from tutelage.errors import UsageError

app = App(name="benchmark", default_parameter=Parameter(negative=""))

Rounds = Annotated[int, Parameter(help="How often each is timed, in turn; the median is printed")]
Json = Annotated[
    Path | None, Parameter(help="Also write the figures, with machine and versions, to this file")
]
Student = Annotated[str, Parameter(help="The student, a timm network")]
Teacher = Annotated[str, Parameter(help="Its teacher, a timm network")]
Device = Annotated[str, Parameter(help="`auto` (a GPU if there is one), `cpu`, `cuda`")]


@app.command
def step(
    data: Annotated[str, Parameter(help=DATA.text)] = "sample",
    /,
    *,
    model: Student = "resnet18",
    teacher_model: Teacher = "resnet34",
    image_size: Annotated[int, Parameter(help="Pixels a side")] = 224,
    batch_size: Annotated[int, Parameter(help="Images a step")] = 32,
    device: Device = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"], Parameter(help="Number format")
    ] = "auto",
    rounds: Rounds = 15,
    json: Json = None,
) -> str:
    """Time a training step alone, with cached teacher outputs, and with the teacher run live."""
    _at_least_one("--rounds", rounds)
    settings = TrainConfig(
        model=model,
        weights="none",
        batch_size=batch_size,
        device=device,
        precision=precision,
        data=DataConfig(image_size=image_size),
    )
    validate(settings)
    _installed()
    from tutelage.commands.benchmark_step import Kind, first_batch, open_step_benchmark, step_timer
    from tutelage.evaluation.timing import Way, time_interleaved
    from tutelage.evaluation.timing_table import timing_lines, timing_table

    told: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        trial = open_step_benchmark(
            data,
            settings,
            teacher=teacher_model,
            folder=Path(name),
            images=max(100, batch_size),
            say=told.append,
        )
        batch = first_batch(trial)
        kinds: tuple[Kind, ...] = ("plain", "cached", "live")
        ways: dict[str, Way] = {}
        for kind in kinds:
            state = trial.state(kind)
            ways[kind] = step_timer(state, trial.teacher_for(kind, state), batch)
        seconds = time_interleaved(ways, rounds=rounds, settle=trial.settle)
    found = timing_table(seconds, images=len(batch.ids))
    size = trial.pack.image_size
    title = f"{model} at {size} px, batch {len(batch.ids)}, taught by {teacher_model}"
    _write(json, "step", trial.runtime, {"title": title, "figures": found})
    return "\n".join([title, f"{trial.runtime}, {rounds} rounds", *told, "", *timing_lines(found)])


@app.command
def losses(
    *,
    model: Student = "resnet18",
    teacher_model: Teacher = "resnet34",
    image_size: Annotated[int, Parameter(help="Pixels a side")] = 64,
    classes: Annotated[int, Parameter(help="Classes, which are outputs of the networks")] = 100,
    batch_size: Annotated[int, Parameter(help="Images in the batch")] = 32,
    device: Device = "auto",
    rounds: Rounds = 15,
    json: Json = None,
) -> str:
    """Measure time and memory of every loss, beside a plain step of the student."""
    for flag, number in (
        ("--rounds", rounds),
        ("--batch-size", batch_size),
        ("--classes", classes),
        ("--image-size", image_size),
    ):
        _at_least_one(flag, number)
    _installed()
    import torch

    from tutelage.commands.benchmark_losses import LossBenchmark, measure_terms
    from tutelage.engine.runtime.device import resolve_runtime
    from tutelage.evaluation.timing_table import timing_lines, timing_table
    from tutelage.models.build import require_known

    require_known(model)
    require_known(teacher_model, flag="--teacher-model")
    runtime = resolve_runtime(DeviceConfig(device=device, precision="fp32"))
    setting = LossBenchmark(model, teacher_model, image_size, batch_size, classes, runtime.device)
    cost = measure_terms(
        setting,
        rounds=rounds,
        settle=torch.cuda.synchronize if runtime.device.type == "cuda" else lambda: None,
    )
    found = timing_table(cost.seconds, bytes=cost.bytes)
    title = (
        f"{model} at {image_size} px, taught by {teacher_model}: forward and backward in fp32, "
        f"batch {batch_size}, {classes} classes"
    )
    facts = {"title": title, "figures": found, "without": cost.without}
    _write(json, "losses", runtime, facts)
    left_out = [f"{name}: {why}" for name, why in cost.without.items()]
    return "\n".join([title, "", *timing_lines(found), *left_out])


@app.command
def latency(
    network: Annotated[Path, Parameter(help="A run folder or a model folder")],
    /,
    *,
    batch_size: Annotated[
        tuple[int, ...], Parameter(help="One or more batch sizes", consume_multiple=True)
    ] = (1, 32),
    device: Device = "cpu",
    seconds: Annotated[float, Parameter(help="How long each batch size is timed")] = 3.0,
    json: Json = None,
) -> str:
    """Time the forward pass of a finished network in fp32, as it is saved."""
    if not 0 < seconds < float("inf"):
        raise UsageError("--seconds is out of range", found=seconds, expected="above 0")
    _installed()
    from tutelage.commands.inference import load
    from tutelage.engine.runtime.device import resolve_runtime
    from tutelage.evaluation.latency import measure_latency as measure

    classifier = load(network).classifier
    size = classifier.preprocess.size
    runtime = resolve_runtime(DeviceConfig(device=device, precision="fp32"))
    channels = classifier.preprocess.channels
    found = measure(
        classifier.network, size, batch_size, runtime.device, seconds=seconds, channels=channels
    )
    title = f"{network} at {size} px, {found[0]['device']}"
    rows = [
        f"batch {one['batch']:>5}  median {one['p50_ms']:9.3f} ms  95 % below {one['p95_ms']:9.3f} ms"
        f"  {1000 * one['batch'] / one['p50_ms']:9.1f} images/s"
        for one in found
    ]
    _write(json, "latency", runtime, {"title": title, "figures": found})
    return "\n".join([title, "", *rows])


def _at_least_one(flag: str, number: int) -> None:
    if number < 1:
        raise UsageError(f"{flag} is out of range", found=number, expected="at least 1")


def _write(path: Path | None, name: str, runtime: Any, facts: Mapping[str, Any]) -> None:
    if path is None:
        return
    from tutelage.engine.runtime.environment import environment
    from tutelage.storage.atomic import write_json

    facts = {"environment": environment(runtime), "computes": str(runtime), **facts}
    write_json(path, {"benchmark": name, **facts})


def _installed() -> None:
    from tutelage.cli.installation import require_matching

    require_matching()
