"""After the last epoch: predictions, scores, cost, latency and the model folders of a run."""

import copy
import time
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors.numpy import load_file, save

from tutelage.data.pack import Pack
from tutelage.data.sources import Split
from tutelage.deploy.card import model_card
from tutelage.deploy.table import write_predictions
from tutelage.engine.precision import Runtime
from tutelage.engine.state import TrainingState
from tutelage.evaluation.cost import cost, file_size
from tutelage.evaluation.latency import latency
from tutelage.evaluation.metrics import Metrics, score
from tutelage.evaluation.reading import read_logits
from tutelage.files import whole_folder, write_bytes, write_json
from tutelage.models.folder import beyond_timm, save_model
from tutelage.models.preprocess import Classifier
from tutelage.models.weights import Weights
from tutelage.settings import Single

SPLITS: tuple[Split, ...] = ("val", "test")
Logits = dict[Split, np.ndarray]


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
) -> None:
    """Measure the last and the best epoch and save both networks.

    `reference` is the run folder of the teacher whose answers the network's are compared with.
    """
    begin = time.monotonic()
    last = state.measured
    assert isinstance(last, Classifier)
    best, best_epoch = last, state.best.epoch or settings.epochs
    if best_epoch != settings.epochs:
        best = copy.deepcopy(last)
        best.load_state_dict(state.best.weights)
    moments = {"last": (last, settings.epochs), "best": (best, best_epoch)}
    teacher = _teacher_logits(reference)
    scores: dict[str, Any] = {}
    logits: Logits = {}
    # Measured as it is saved and will be used: in fp32, laid out the ordinary way.
    for moment, (classifier, epoch) in moments.items():
        if moment == "last" or classifier is not last:
            classifier.lay_out(torch.contiguous_format)
            logits = {
                split: read_logits(classifier, pack, pack.rows(split), device=runtime.device)
                for split in SPLITS
            }
        measured = {split: _score(split, logits, pack, teacher) for split in logits}
        scores[moment] = {"epoch": epoch, **measured}
        _write_predictions(folder / "predictions", moment, logits, pack)
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
        "cost": _cost(last, settings),
    }
    for moment, (classifier, _) in moments.items():
        _save(folder, moment, classifier, settings, pack, facts)
    weights_file = folder / "model" / "model.safetensors"
    facts["cost"]["size_bytes"] = file_size(weights_file)
    write_json(folder / "scores.json", facts)
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


def _score(split: Split, logits: Logits, pack: Pack, teacher: Logits) -> Metrics | None:
    """Metrics over the labelled images of a split; None where there are none."""
    labels = pack.labels[pack.rows(split)]
    known = labels >= 0
    if not known.any():
        return None
    word = teacher[split][known] if split in teacher else None
    return score(logits[split][known], labels[known], pack.classes, teacher_logits=word)


def _teacher_logits(reference: Path | None) -> Logits:
    """What the teacher's own run said about the same pictures, by split; empty where unknown."""
    if reference is None:
        return {}
    files = {split: reference / "predictions" / f"{split}.safetensors" for split in SPLITS}
    return {split: load_file(path)["logits"] for split, path in files.items() if path.is_file()}


def _write_predictions(folder: Path, moment: str, logits: Logits, pack: Pack) -> None:
    folder.mkdir(exist_ok=True)
    prefix = "" if moment == "last" else "best-"
    for split, values in logits.items():
        rows = pack.rows(split)
        tensors = {"ids": rows, "labels": np.asarray(pack.labels[rows]), "logits": values}
        write_bytes(folder / f"{prefix}{split}.safetensors", save(tensors))
    test = pack.rows("test")
    if moment == "last" and len(test) and (pack.labels[test] < 0).any():
        files = pack.files()
        names = [files[row] for row in test]
        write_predictions(folder / "test.csv", names, logits["test"], pack.classes)


def _cost(classifier: Classifier, settings: Single) -> dict[str, int | None]:
    size = classifier.preprocess.size
    own = cost(classifier.network, size)
    facts: dict[str, int | None] = {
        "parameters": own.parameters,
        "flops": own.flops,
        "input_size": size,
        "parameters_1000": None,
        "flops_1000_224": None,
    }
    ours = type(classifier.network).__module__.startswith("tutelage.")
    if hasattr(classifier.network, "pretrained_cfg") and not ours:
        with torch.device("meta"):
            full = timm.create_model(settings.model.partition(".")[0], num_classes=1000)
            published = cost(full, _usual_size(full))
        facts |= {"parameters_1000": published.parameters, "flops_1000_224": published.flops}
    return facts


def _usual_size(network: torch.nn.Module) -> int:
    """224, or the only size a network takes."""
    config: Any = getattr(network, "pretrained_cfg", {})
    return int(config["input_size"][1]) if config.get("fixed_input_size") else 224


def _save(
    folder: Path,
    moment: str,
    classifier: Classifier,
    settings: Single,
    pack: Pack,
    facts: dict[str, Any],
) -> None:
    card = model_card(
        settings,
        classes=pack.classes,
        scores=facts,
        moment=moment,
        stored_size=pack.image_size,
        obstacle=beyond_timm(classifier.network, settings),
    )
    with whole_folder(folder / ("model" if moment == "last" else "model-best")) as part:
        save_model(
            part,
            classifier,
            settings=settings,
            classes=pack.classes,
            stored_size=pack.image_size,
            background=str(pack.manifest["settings"].get("background", "white")),
            card=card,
        )
