"""After the last epoch: predictions, scores, cost, latency and the model folders of a run."""

import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tutelage.config.job import TrainConfig
from tutelage.data.pack.pack import Pack
from tutelage.engine.measure import (
    SPLITS,
    Logits,
    network_cost,
    predict_splits,
    save_model_folder,
    save_predictions,
    score_split,
)
from tutelage.engine.peers import measure_peers
from tutelage.engine.runtime.device import Runtime
from tutelage.engine.runtime.signals import StopRequest
from tutelage.engine.specialists import measure_specialists, specialist_facts
from tutelage.engine.train.state import TrainingState
from tutelage.evaluation.cost import file_size
from tutelage.evaluation.latency import measure_latency
from tutelage.models.model_folder import SavedModel
from tutelage.models.preprocess import Classifier
from tutelage.models.weights import WeightSource
from tutelage.storage.atomic import write_json
from tutelage.storage.run_results import open_results
from tutelage.teachers.load_specialists import specialist_group


def finish_run(
    state: TrainingState,
    settings: TrainConfig,
    pack: Pack,
    *,
    name: str,
    folder: Path,
    runtime: Runtime,
    weights: WeightSource,
    reference: Path | None,
    teacher_seconds: float | None,
    teachers: Sequence[SavedModel] = (),
    stop: StopRequest,
) -> None:
    """Measure the last and the best epoch and save both networks.

    Args:
        state: at the end of training.
        settings: of the run.
        pack: the images.
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
            logits = predict_splits(classifier, pack, runtime.device, progress=stop.poll)
            said.append(logits)
        measured = {split: score_split(split, logits, pack, teacher) for split in logits}
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
        "cost": network_cost(last, settings),
    }
    if state.method.companions:
        companions = [
            network for network in state.method.companions if isinstance(network, Classifier)
        ]
        facts |= measure_peers(companions, said[0], settings, pack, folder, runtime.device)
    if special:
        facts["specialist"] = specialist_facts(pack)
    if settings.method == "specialists" and teachers:
        facts["council"] = measure_specialists(
            [Path(teacher) for teacher in settings.teacher],
            [specialist_group(teacher) for teacher in teachers[1:]],
            pack,
            active=settings.methods.specialists.active,
        )
    for moment, (classifier, _) in moments.items():
        stop.poll()
        save_model_folder(folder, moment, classifier, settings, pack, facts)
    weights_file = folder / "model" / "model.safetensors"
    facts["cost"]["size_bytes"] = file_size(weights_file)
    write_json(folder / "scores.json", facts)
    stop.poll()
    network, size = last.network, last.preprocess.size
    timings = {
        "epochs": state.epoch_timings,
        "teacher_pass_seconds": teacher_seconds,
        "latency": measure_latency(network, size, seconds=0.5),
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
    """What the teacher's own run said about these very images, by split; empty where it was of others."""
    if reference is None or not (reference / "run.json").is_file():
        return {}
    found = open_results(reference)
    if found.facts.get("pack") != pack.fingerprint:
        return {}
    return {split: found.logits(split) for split in SPLITS}
