"""What a step of a student costs under one, two and four finished teachers whose answers are kept.

    python benchmarks/teachers.py
    python benchmarks/teachers.py --student test_resnet --teacher test_resnet --images 160 --name tiny

For each count and each way of combining: the seconds of a training step (forward, backward, update) with
all teachers in the cache, the ways in turn, several rounds; beside them one teacher asked live. `bytes` is
the most that the tensors of a step take at once, beyond what is there between steps, by count of teachers.
Networks have random weights: how long a step takes does not depend on what they know.
"""

import argparse
import dataclasses
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from result import write

from tutelage.asking import Surroundings
from tutelage.cli.trial import Trial, open_trial
from tutelage.engine.interrupt import StopRequest
from tutelage.engine.journal import Screen
from tutelage.engine.state import TrainingState
from tutelage.engine.step import train_on
from tutelage.methods.settings import Methods, Several
from tutelage.methods.teaching import Lesson, make_method
from tutelage.models.build import build
from tutelage.models.folder import Saved
from tutelage.models.padding import skip_padding
from tutelage.models.preprocess import Classifier
from tutelage.models.settings import Network
from tutelage.nouns import Batch, Progress
from tutelage.panel import open_word
from tutelage.settings import Single
from tutelage.teachers.source import Teacher
from tutelage.timing.memory import peak_bytes
from tutelage.timing.rounds import interleave, ratio, spread
from tutelage.world import ALONE

COUNTS = (1, 2, 4)
COMBINED = ("probabilities", "logits", "divergences")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--student", default="resnet18")
    parser.add_argument("--teacher", default="resnet34")
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--name", default="teachers", help="of the file of results")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        trial = _trial(chosen, Path(name))
        write(
            chosen.name,
            networks={"student": chosen.student, "teacher": chosen.teacher},
            pixels=chosen.size,
            batch=chosen.batch,
            steps=_steps(trial, chosen.rounds),
            bytes=_bytes(trial),
        )


def _trial(chosen: argparse.Namespace, folder: Path) -> Trial:
    settings = Single(
        model=chosen.student, weights="none", batch_size=chosen.batch, device=chosen.device
    )
    settings = dataclasses.replace(
        settings, data=dataclasses.replace(settings.data, image_size=chosen.size)
    )
    return open_trial(
        "sample",
        settings,
        teacher=chosen.teacher,
        folder=folder,
        images=chosen.images,
        say=lambda line: print(line, file=sys.stderr),
    )


def _network(trial: Trial, settings: Network, seed: int) -> Classifier:
    pack = trial.pack
    return build(
        settings,
        classes=len(pack.classes),
        stored_size=pack.image_size,
        train_statistics=(pack.mean, pack.std),
        seed=seed,
    ).classifier


def _class(trial: Trial, count: int, combine: Any, ask: Any) -> tuple[TrainingState, Teacher]:
    """A student in training and the word of so many teachers."""
    pack, name = trial.pack, trial.teacher
    own = Methods(several=Several(combine=combine))
    settings = dataclasses.replace(trial.settings, method="several", methods=own, ask=ask)
    network = Network(model=name, weights="none")
    teachers = [_network(trial, network, seed) for seed in range(1, count + 1)]
    student = _network(trial, settings, 0)
    trial.runtime.place(student)
    skip_padding(student.network, on=trial.runtime.device.type == "cpu")
    shares = (1 / count,) * count
    ids = torch.from_numpy(pack.rows("train"))
    lesson = Lesson(settings.epochs, len(pack.classes), ids, pack.image_size, shares=shares)
    method = make_method(settings, student, teachers, lesson).to(trial.runtime.device).train()
    saved = [Saved(one, pack.classes, pack.image_size, "white", name) for one in teachers]
    around = Surroundings(
        "trial", trial.folder / "cache", trial.runtime, Screen(quiet=True), StopRequest(), ALONE
    )
    word = open_word(saved, settings, pack, method, around, shares=shares)
    return TrainingState(method, settings, trial.runtime), word.teacher


def _step(state: TrainingState, teacher: Teacher, batch: Batch) -> None:
    progress = Progress(0, state.step, 0.0)
    train_on(state, batch, teacher(batch, progress), progress, rate=1e-4, clip=None)


def _steps(trial: Trial, rounds: int) -> dict[str, Any]:
    batch = next(iter(trial.loader().epoch(0)))
    ways = {}
    for count in COUNTS:
        for combine in COMBINED if count > 1 else COMBINED[:1]:
            state, teacher = _class(trial, count, combine, "ahead")
            ways[f"{count} {combine}"] = _way(state, teacher, batch)
    state, teacher = _class(trial, 1, COMBINED[0], "live")
    ways["1 live"] = _way(state, teacher, batch)
    found = interleave(ways, rounds=rounds, warm_up=3, settle=trial.settle)
    first = found[f"1 {COMBINED[0]}"]
    return {
        name: {"seconds": spread(seconds), "beside_one": ratio(seconds, first)}
        for name, seconds in found.items()
    }


def _way(state: TrainingState, teacher: Teacher, batch: Batch) -> Any:
    return lambda: _step(state, teacher, batch)


def _bytes(trial: Trial) -> dict[str, int]:
    """The most bytes of tensors alive at once in a step, beyond those that are there between steps."""
    batch, found = next(iter(trial.loader().epoch(0))), {}
    for count in COUNTS:
        step = _way(*_class(trial, count, COMBINED[0], "ahead"), batch)
        step()  # the optimiser makes its state, the cache turns to the view
        found[str(count)] = peak_bytes(step, trial.runtime.device)
    return found


if __name__ == "__main__":
    main()
