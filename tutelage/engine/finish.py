"""After the last epoch: predictions, scores, cost, latency and the model folders of a run."""

import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tutelage.config.job import Single
from tutelage.data.pack.pack import Pack
from tutelage.engine.measure import (
    SPLITS,
    Logits,
    cost_of,
    logits_of,
    save_folder,
    save_predictions,
    score_on,
)
from tutelage.engine.peers import measure_beside
from tutelage.engine.runtime.device import Runtime
from tutelage.engine.runtime.signals import StopRequest
from tutelage.engine.specialists import measure_council, told_of_specialist
from tutelage.engine.train.state import TrainingState
from tutelage.evaluation.cost import file_size
from tutelage.evaluation.latency import latency
from tutelage.models.model_folder import Saved
from tutelage.models.preprocess import Classifier
from tutelage.models.weights import Weights
from tutelage.storage.atomic import write_json
from tutelage.storage.run_results import open_results
from tutelage.teachers.load_specialists import group_of


def finish(
    state: TrainingState,
    settings: Single,
    pack: Pack,
    *,
    name: str,
    folder: Path,
    runtime: Runtime,
    weights: Weights,
    reference: Path | None,
    teacher_seconds: float | None,
    teachers: Sequence[Saved] = (),
    stop: StopRequest,
) -> None:
    """Measure the last and the best epoch and save both networks.

    Args:
        state: at the end of training.
        settings: of the run.
        pack: the pictures.
        name: of the run.
        folder: of the run.
        runtime: how it computes.
        weights: where its first weights came from.
        reference: run folder of the teacher whose answers the network's are compared with, where they are
            about the same classes.
        teacher_seconds: that asking ahead took.
        teachers: of the run.
        stop: looked at between the parts, each of which is whole or absent.

    Raises:
        Interrupted: asked to stop.
    """
    begin = time.monotonic()
    last = state.measured
    assert isinstance(last, Classifier)
    best, best_epoch = last, state.best.epoch or settings.epochs
    if best_epoch != settings.epochs:
        best = copy.deepcopy(last)
        best.load_state_dict(state.best.weights)
    moments = {"last": (last, settings.epochs), "best": (best, best_epoch)}
    special = settings.role == "specialist"
    teacher = {} if special else _teacher_logits(reference, pack)
    scores: dict[str, Any] = {}
    logits: Logits = {}
    said: list[Logits] = []
    for moment, (classifier, epoch) in moments.items():
        if moment == "last" or classifier is not last:
            logits = logits_of(classifier, pack, runtime.device, progress=stop.poll)
            said.append(logits)
        measured = {split: score_on(split, logits, pack, teacher) for split in logits}
        scores[moment] = {"epoch": epoch, **measured}
        save_predictions(folder / "predictions", moment, logits, pack)
    stop.poll()
    scores["best"]["chosen_on"] = "val"
    facts: dict[str, Any] = {
        "format": 1,
        "name": name,
        "role": settings.role,
        "seed": settings.seed,
        "model": settings.model,
        "weights": str(weights),
        "epochs": settings.epochs,
        **scores,
        "cost": cost_of(last, settings),
    }
    if state.method.companions:
        companions = [
            network for network in state.method.companions if isinstance(network, Classifier)
        ]
        facts |= measure_beside(companions, said[0], settings, pack, folder, runtime.device)
    if special:
        facts["specialist"] = told_of_specialist(pack)
    if settings.method == "specialists" and teachers:
        facts["council"] = measure_council(
            [Path(teacher) for teacher in settings.teacher],
            [group_of(teacher) for teacher in teachers[1:]],
            pack,
            active=settings.methods.specialists.active,
        )
    for moment, (classifier, _) in moments.items():
        stop.poll()
        save_folder(folder, moment, classifier, settings, pack, facts)
    weights_file = folder / "model" / "model.safetensors"
    facts["cost"]["size_bytes"] = file_size(weights_file)
    write_json(folder / "scores.json", facts)
    stop.poll()
    network, size = last.network, last.preprocess.size
    timings = {
        "epochs": state.epoch_timings,
        "teacher_pass_seconds": teacher_seconds,
        "latency": latency(network, size, seconds=0.5),
        "total_seconds": round(
            sum(epoch["seconds"] for epoch in state.epoch_timings)
            + (teacher_seconds or 0.0)
            + time.monotonic()
            - begin,
            3,
        ),
    }
    write_json(folder / "timings.json", timings)


def _teacher_logits(reference: Path | None, pack: Pack) -> Logits:
    """What the teacher's own run said about these very pictures, by split; empty where it was of others."""
    if reference is None or not (reference / "run.json").is_file():
        return {}
    found = open_results(reference)
    if found.facts.get("pack") != pack.fingerprint:
        return {}
    return {split: found.logits(split) for split in SPLITS}
