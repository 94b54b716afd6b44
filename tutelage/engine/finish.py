"""After the last epoch: predictions, scores, cost, latency and the model folders of a run."""

import copy
import time
from pathlib import Path
from typing import Any

from tutelage.config.job import TrainConfig
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
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
from tutelage.engine.specialists import measure_specialists, specialist_facts
from tutelage.engine.teachers import Teachers
from tutelage.engine.train.state import TrainingState
from tutelage.evaluation.cost import file_size
from tutelage.evaluation.latency import measure_latency
from tutelage.models.preprocess import Classifier
from tutelage.models.weights import WeightSource
from tutelage.storage.atomic import write_json
from tutelage.storage.run_results import open_results


def finish_run(
    state: TrainingState,
    settings: TrainConfig,
    pack: Pack,
    context: RunContext,
    *,
    weights: WeightSource,
    teacher_seconds: float | None,
    teachers: Teachers,
) -> None:
    """Measure the last and the best epoch and save both networks.

    Args:
        state: at the end of training.
        settings: of the run.
        pack: the images.
        context: of the run; a stop takes effect between the parts, each of which is whole or absent.
        weights: where its initial weights came from.
        teacher_seconds: what precomputing teacher outputs took.
        teachers: of the run.

    Raises:
        Interrupted: stopped.
    """
    begin, folder, stop = time.monotonic(), context.folder, context.stop
    device = state.runtime.device
    networks = _last_and_best(state, settings)
    last = networks["last"][0]
    teacher_logits = {} if settings.is_specialist else _teacher_logits(settings, pack, context)
    facts: dict[str, Any] = {
        "format": 1,
        "name": context.name,
        "role": settings.role,
        "seed": settings.seed,
        "model": settings.model,
        "weights": str(weights),
        "epochs": settings.epochs,
    }
    logits: Logits = {}
    last_logits: Logits = {}
    for moment, (network, epoch) in networks.items():
        if moment == "last" or network is not last:
            logits = predict_splits(network, pack, device, progress=stop.poll)
        if moment == "last":
            last_logits = logits
        measured = {split: score_split(split, logits, pack, teacher_logits) for split in logits}
        facts[moment] = {"epoch": epoch, **measured}
        save_predictions(folder / "predictions", moment, logits, pack)
    stop.poll()
    facts["best"]["chosen_on"] = "val"
    facts["cost"] = network_cost(last, settings)
    peers = [network for network in state.method.companions if isinstance(network, Classifier)]
    if peers:
        facts |= measure_peers(peers, last_logits, settings, pack, folder, device)
    if settings.is_specialist:
        facts["specialist"] = specialist_facts(pack)
    if teachers.models and teachers.combination == "specialist-ensemble":
        facts["council"] = measure_specialists(teachers, pack)
    for moment, (network, _) in networks.items():
        stop.poll()
        save_model_folder(folder, moment, network, settings, pack, facts)
    facts["cost"]["size_bytes"] = file_size(folder / "model" / "model.safetensors")
    write_json(folder / "scores.json", facts)
    stop.poll()
    _write_timings(folder, state, last, begin, teacher_seconds)


def _last_and_best(
    state: TrainingState, settings: TrainConfig
) -> dict[str, tuple[Classifier, int]]:
    """Collect the networks of the last and of the best epoch, which may be the same, with their epochs."""
    last = state.measured
    assert isinstance(last, Classifier)
    best, best_epoch = last, state.best.epoch or settings.epochs
    if best_epoch != settings.epochs:
        best = copy.deepcopy(last)
        best.load_state_dict(state.best.weights)
    return {"last": (last, settings.epochs), "best": (best, best_epoch)}


def _teacher_logits(settings: TrainConfig, pack: Pack, context: RunContext) -> Logits:
    """Read the teacher's logits by split; empty if its run used another pack."""
    reference = context.reference or next(map(Path, settings.teacher), None)
    if reference is None or not (reference / "run.json").is_file():
        return {}
    found = open_results(reference)
    if found.facts.get("pack") != pack.fingerprint:
        return {}
    return {split: found.logits(split) for split in SPLITS}


def _write_timings(
    folder: Path,
    state: TrainingState,
    network: Classifier,
    begin: float,
    teacher_seconds: float | None,
) -> None:
    training = sum(epoch["seconds"] for epoch in state.epoch_timings)
    timings = {
        "epochs": state.epoch_timings,
        "teacher_pass_seconds": teacher_seconds,
        "latency": measure_latency(
            network.network,
            network.preprocess.size,
            seconds=0.5,
            channels=network.preprocess.channels,
        ),
        "total_seconds": round(
            training + (teacher_seconds or 0.0) + time.monotonic() - begin,
            3,
        ),
    }
    write_json(folder / "timings.json", timings)
