"""Tutelage against a plain PyTorch script that does the same job, written well.

    python benchmarks/against_script.py --size 224
    python benchmarks/against_script.py --size 32

The job: ResNet-34 teaches ResNet-18 from random weights, loss 0.7 * T^2 * KL + 0.3 * cross-entropy with
T = 4, batches of 32, Adam 1e-3, no augmentation; the same image files, epochs, teacher's weights
(strictly loaded, its logits compared), resizing and normalisation. Each side initialises its own student.

The script: torchvision's ImageFolder and ResNets, a DataLoader with persistent workers (as many as torch
has threads), the teacher live under `no_grad`, bf16 autocast and channels-last for both networks, torch's
Adam. Where a timed step in fp32 is faster than in bf16, the script gets fp32.

What is measured: seconds an epoch. **Validation on the same images after each epoch is part of it on both
sides**; `--val 10` leaves next to nothing but training steps. One run of each side for each seed, in turn,
each side in a process of its own; the first epoch of a run counts as its warm-up. Accuracy is that after
the last epoch.

The whole job, without and with what a run takes beside its epochs:

    50 * their epoch / (our packing + our teacher pass + 50 * our epoch)
    (their rest + 50 * their epoch) / (our packing + our teacher pass + our rest + 50 * our epoch)

Our rest: probing the precision, checking the teacher's answers, measuring scores and latency, saving. Theirs:
building networks and loaders; nothing more is measured and nothing is saved.

Not counted on either side: starting Python, and training the teacher.
"""

import json
import shutil
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context, get_start_method, set_start_method
from statistics import mean, median
from typing import Any, NamedTuple

import torch
from folder_of_images import Task, prepared
from result import write
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax
from torch.utils.data import DataLoader
from torchvision.models import resnet18

import tutelage
from tutelage.evaluation.timing import median_range, median_ratio, time_interleaved

BATCH, LR, TEMPERATURE, ALPHA = 32, 1e-3, 4.0, 0.7
LONG = 50
DEFAULTS = {
    224: {"images": 320, "val": 160, "epochs": 3, "seeds": 2, "teacher_epochs": 2},
    32: {"images": 4000, "val": 1000, "epochs": 5, "seeds": 3, "teacher_epochs": 4},
}


class Run(NamedTuple):
    """epochs: seconds of each; rest: seconds beside them; accuracy: after the last epoch, of 1."""

    epochs: list[float]
    rest: float
    accuracy: float
    teacher_pass: float | None = None

    @property
    def epoch(self) -> float:
        """Seconds of an epoch after the first, where there is one."""
        return median(self.epochs[1:] or self.epochs)


def ours(task: Task, seed: int) -> Run:
    """One `tutelage.distill` from a model folder; its own clock says what an epoch took."""
    out = task.folder / f"ours-{seed}"
    settings = tutelage.TrainConfig(
        model="resnet18",
        weights="none",
        zero_init_last=False,
        teacher=(str(task.folder / "teacher" / "model"),),
        data=tutelage.DataConfig(image_size=task.size),
        epochs=task.epochs,
        batch_size=task.batch,
        optimizer="adam",
        lr=LR,
        alpha=ALPHA,
        losses=tutelage.LossConfig(kd=tutelage.KDConfig(temperature=TEMPERATURE)),
        seed=seed,
    )
    begin = time.perf_counter()
    tutelage.distill(task.folder / "pack", settings, out=out, quiet=True)
    wall = time.perf_counter() - begin
    timings = json.loads((out / "timings.json").read_text())
    scores = json.loads((out / "scores.json").read_text())
    shutil.rmtree(out)
    epochs = [epoch["seconds"] for epoch in timings["epochs"]]
    teacher_pass = timings["teacher_pass_seconds"]
    rest = wall - sum(epochs) - (teacher_pass or 0.0)
    return Run(epochs, rest, scores["last"]["val"]["accuracy"], teacher_pass)


class Script:
    """The other side: networks, optimizer, one step, one validation."""

    def __init__(self, task: Task) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        half = task.precision == "bf16"
        self.autocast = partial(torch.autocast, self.device.type, torch.bfloat16, enabled=half)
        # On a CPU channels-last is the faster layout for bf16 and the slower one for fp32.
        last = half or self.device.type == "cuda"
        self.layout = torch.channels_last if last else torch.contiguous_format
        where: dict[str, Any] = {"device": self.device, "memory_format": self.layout}
        self.teacher = task.teacher().to(**where)
        self.student = resnet18(num_classes=len(task.classes)).to(**where)
        self.optimizer = torch.optim.Adam(self.student.parameters(), lr=LR)

    def step(self, images: Tensor, labels: Tensor) -> None:
        images = images.to(self.device, memory_format=self.layout, non_blocking=True)
        labels = labels.to(self.device, non_blocking=True)
        with torch.no_grad(), self.autocast():
            answers = self.teacher(images)
        with self.autocast():
            logits = self.student(images)
        learned = log_softmax(logits.float() / TEMPERATURE, dim=1)
        taught = log_softmax(answers.float() / TEMPERATURE, dim=1)
        soft = kl_div(learned, taught, reduction="batchmean", log_target=True) * TEMPERATURE**2
        loss = ALPHA * soft + (1 - ALPHA) * cross_entropy(logits.float(), labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def accuracy(self, loader: DataLoader[Any]) -> float:
        right = torch.zeros((), device=self.device, dtype=torch.long)
        count = 0
        self.student.eval()
        with torch.no_grad(), self.autocast():
            for images, labels in loader:
                images = images.to(self.device, memory_format=self.layout, non_blocking=True)
                found = self.student(images).argmax(dim=1)
                right += (found == labels.to(self.device, non_blocking=True)).sum()
                count += len(labels)
        self.student.train()
        return right.item() / count


def script(task: Task, seed: int) -> Run:
    """The other side, from building the networks to the last validation."""
    begin = time.perf_counter()
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = True
    job = Script(task)
    loading: dict[str, Any] = {
        "num_workers": task.workers,
        "persistent_workers": task.workers > 0,
        "pin_memory": job.device.type == "cuda",
    }
    train = DataLoader(task.photos("train"), batch_size=task.batch, shuffle=True, **loading)
    val = DataLoader(task.photos("val"), batch_size=2 * task.batch, **loading)
    epochs, accuracy = [], 0.0
    for _ in range(task.epochs):
        start = time.perf_counter()
        for images, labels in train:
            job.step(images, labels)
        accuracy = job.accuracy(val)
        epochs.append(time.perf_counter() - start)
    return Run(epochs, time.perf_counter() - begin - sum(epochs), accuracy)


def faster_precision(task: Task) -> str:
    """bf16 or fp32: whichever makes the script's step faster here."""
    seconds = {}
    for precision in ("bf16", "fp32"):
        job = Script(task._replace(precision=precision))
        images = torch.randn(task.batch, 3, task.size, task.size)
        labels = torch.zeros(task.batch, dtype=torch.long)
        taken = []
        for _ in range(4):
            begin = time.perf_counter()
            job.step(images, labels)
            if job.device.type == "cuda":
                torch.cuda.synchronize()
            taken.append(time.perf_counter() - begin)
        seconds[precision] = min(taken[1:])
    return min(seconds, key=lambda precision: seconds[precision])


def options(description: str) -> Namespace:
    """What to compare, and how long."""
    parser = ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--size", type=int, choices=sorted(DEFAULTS), required=True)
    parser.add_argument("--images", type=int, help="training images")
    parser.add_argument("--val", type=int, help="validation images")
    parser.add_argument("--epochs", type=int, help="of each student; the first is warm-up")
    parser.add_argument("--seeds", type=int, help="runs of each side, in turn")
    parser.add_argument("--teacher-epochs", type=int)
    parser.add_argument(
        "--workers", type=int, default=torch.get_num_threads(), help="of their loaders"
    )
    size = parser.parse_known_args()[0].size
    parser.set_defaults(**DEFAULTS[size])
    return parser.parse_args()


def compare(
    name: str, theirs: Callable[[Task, int], Run], chosen: Namespace, *, precision: str | None
) -> None:
    """Run both sides in turn, once a seed, and write `results/NAME-SIZE.json`.

    `precision` is that of the other side; None: bf16 or fp32, as is faster.
    """
    with prepared(chosen, batch=BATCH, lr=LR) as (task, facts), _alone() as mine, _alone() as other:
        found = precision or other.submit(faster_precision, task).result()
        task = task._replace(precision=found)
        runs: dict[str, list[Run]] = {"ours": [], "theirs": []}

        def do(side: str, pool: ProcessPoolExecutor, how: Callable[[Task, int], Run]) -> None:
            run = pool.submit(how, task, len(runs[side])).result()
            runs[side].append(run)
            print(
                f"{side} {len(runs[side])}/{chosen.seeds}: {run.epoch:.2f} s an epoch, "
                f"{run.rest:.2f} s beside, accuracy {100 * run.accuracy:.1f} %",
                file=sys.stderr,
            )

        ways = {
            "ours": partial(do, "ours", mine, ours),
            "theirs": partial(do, "theirs", other, theirs),
        }
        time_interleaved(ways, rounds=chosen.seeds, warm_up=0)
    settings = {**vars(chosen), "batch": BATCH, "their_precision": found}
    write(f"{name}-{chosen.size}", settings=settings, **figures(runs, facts))


def _alone() -> ProcessPoolExecutor:
    """A fresh process, so that neither side meets the other's threads or settings."""
    return ProcessPoolExecutor(
        1, get_context("spawn"), initializer=_as_a_script, initargs=(get_start_method(),)
    )


def _as_a_script(method: str) -> None:
    """Start children as a plain script does.

    A spawned process would spawn its own children too: a loader's workers would each import torch anew, and
    without persistent workers in every epoch.
    """
    set_start_method(method, force=True)


def figures(runs: dict[str, list[Run]], facts: dict[str, Any]) -> dict[str, Any]:
    """Seconds of each side, what is paid once, the ratios round by round, and accuracy."""
    epochs = {side: [run.epoch for run in done] for side, done in runs.items()}
    rest = {side: median(run.rest for run in done) for side, done in runs.items()}
    # Asked once and kept for the later seeds, or never, where the teacher is live.
    passes = [run.teacher_pass for run in runs["ours"] if run.teacher_pass is not None]
    teacher_pass = median(passes) if passes else 0.0
    once = {"ours": facts["pack_seconds"] + teacher_pass, "theirs": 0.0}
    job = {side: [once[side] + LONG * epoch for epoch in epochs[side]] for side in runs}
    whole = {side: [rest[side] + seconds for seconds in job[side]] for side in runs}
    return {
        **facts,
        "teacher_pass_seconds": teacher_pass,
        "rest_seconds": rest,
        "epoch_seconds": {side: median_range(epochs[side]) for side in runs},
        "every_epoch": {
            side: [[round(seconds, 3) for seconds in run.epochs] for run in done]
            for side, done in runs.items()
        },
        "accuracy": {side: [run.accuracy for run in done] for side, done in runs.items()},
        "mean_accuracy": {side: mean(run.accuracy for run in done) for side, done in runs.items()},
        "ratio_of_epochs": median_ratio(epochs["theirs"], epochs["ours"]),
        f"ratio_of_{LONG}_epochs": median_ratio(job["theirs"], job["ours"]),
        f"ratio_of_{LONG}_epochs_and_rest": median_ratio(whole["theirs"], whole["ours"]),
    }


if __name__ == "__main__":
    compare("against-script", script, options(__doc__), precision=None)
