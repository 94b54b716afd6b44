"""The networks trained beside a student: built, then measured and saved, alone and as an ensemble."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

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
from tutelage.errors import UsageError
from tutelage.evaluation.cost import file_size
from tutelage.methods.plan import peer_seed
from tutelage.methods.registry import peers_of
from tutelage.models.build import build_model
from tutelage.models.preprocess import Classifier


def build_peers(
    settings: TrainConfig, pack: Pack, factory: Callable[[int], nn.Module] | None = None
) -> list[Classifier]:
    """Build the networks trained beside a student, each from random weights and a seed of its own.

    Args:
        settings: of the run, which name them.
        pack: the images.
        factory: makes the student where it is a module of the caller's own, given the class count; peers that
            are one more like it are then made so, too.

    Raises:
        UsageError: a finished teacher, which online and self methods do not use, or an unknown network.
    """
    if settings.teacher:
        raise UsageError(
            f"the method {settings.method} uses no finished teacher",
            found=f"teacher = {', '.join(settings.teacher)}",
            fix="without --teacher",
        )
    made = []
    for number, model in enumerate(peers_of(settings, settings.model).values(), 1):
        seed = peer_seed(settings.seed, number)
        torch.manual_seed(seed)
        own = factory(len(pack.classes)) if factory and model == settings.model else None
        built = build_model(
            dataclasses.replace(settings, model=model, weights="none"),
            classes=len(pack.classes),
            stored_size=pack.image_size,
            train_statistics=(pack.mean, pack.std),
            seed=seed,
            network=own,
        )
        made.append(built.classifier)
    return made


def measure_peers(
    networks: Sequence[Classifier],
    student: Logits,
    settings: TrainConfig,
    pack: Pack,
    folder: Path,
    device: torch.device,
) -> dict[str, Any]:
    """Measure peers after the last epoch and save each below `peers/NAME` of the run folder.

    The ensemble is the mean of the probabilities of the student and all peers, at temperature 1.

    Args:
        networks: the peers.
        student: the student's logits after the last epoch.
        settings: of the run.
        pack: the images.
        folder: of the run.
        device: where the networks are.

    Returns:
        Their part of `scores.json`: `companions`, a list of name, model, val, test and cost; `ensemble`, its
        val and test; `best_together`, which of student, peers and ensemble was best on validation.
    """
    peers, logits = [], {"student": student}
    models = peers_of(settings, settings.model).items()
    for (name, model), network in zip(models, networks, strict=True):
        own = dataclasses.replace(settings, model=model, weights="none")
        logits[name] = predict_splits(network, pack, device)
        peers.append(_save_peer(name, network, own, logits[name], pack, folder / "peers" / name))
    together = {split: ensemble_logits([one[split] for one in logits.values()]) for split in SPLITS}
    ensemble = {split: score_split(split, together, pack, {}) for split in SPLITS}
    accuracies = {"student": _accuracy(score_split("val", student, pack, {}))}
    accuracies |= {facts["name"]: _accuracy(facts["val"]) for facts in peers}
    accuracies["ensemble"] = _accuracy(ensemble["val"])
    # The first of equals: the student where nothing beside it is better.
    best = max(accuracies, key=lambda name: accuracies[name])
    return {
        "companions": peers,
        "ensemble": ensemble,
        "best_together": {"name": best, "accuracy": accuracies[best], "chosen_on": "val"},
    }


def ensemble_logits(logits: Sequence[np.ndarray]) -> np.ndarray:
    """Take the log of the mean of several networks' probabilities.

    Args:
        logits: of each network, [N, C] floating point.

    Returns:
        float64 [N, C], whose softmax is that mean.

    >>> np.exp(ensemble_logits([np.log([[0.9, 0.1]]), np.log([[0.3, 0.7]])])).round(6).tolist()
    [[0.6, 0.4]]
    """
    logs = [_log_softmax(np.asarray(values, dtype=np.float64)) for values in logits]
    return np.asarray(np.logaddexp.reduce(logs, axis=0) - np.log(len(logs)))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    if not len(logits):
        return logits
    shifted = logits - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


def _accuracy(metrics: Mapping[str, Any] | None) -> float:
    return -1.0 if metrics is None else float(metrics["accuracy"])


def _save_peer(
    name: str, network: Classifier, settings: TrainConfig, logits: Logits, pack: Pack, folder: Path
) -> dict[str, Any]:
    """Save one peer after the last epoch, and return its facts for scores.json."""
    folder.mkdir(parents=True, exist_ok=True)
    save_predictions(folder / "predictions", "last", logits, pack)
    measured: dict[str, Any] = {split: score_split(split, logits, pack, {}) for split in SPLITS}
    facts: dict[str, Any] = {"name": name, "model": settings.model, **measured}
    facts["cost"] = network_cost(network, settings)
    last = {"epoch": settings.epochs, **measured}
    card = {"weights": "none", "cost": facts["cost"], "last": last}
    save_model_folder(folder, "last", network, settings, pack, card, peer=name)
    facts["cost"]["size_bytes"] = file_size(folder / "model" / "model.safetensors")
    return facts
