"""Measure and save one network: predictions on both splits, metrics, cost, model folder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors.numpy import save

from tutelage.config.image_size import ImageSize
from tutelage.config.job import TrainConfig
from tutelage.data.pack.pack import Pack
from tutelage.data.readers.source import Split
from tutelage.engine.model_card import model_card
from tutelage.evaluation.classification import CLASSIFICATION
from tutelage.evaluation.cost import cost
from tutelage.evaluation.predict import read_logits
from tutelage.evaluation.task import Task
from tutelage.models.model_folder import save_model, timm_limitation
from tutelage.models.preprocess import Classifier
from tutelage.storage.atomic import whole_folder, write_bytes

SPLITS: tuple[Split, ...] = ("val", "test")
Logits = dict[Split, np.ndarray]


def predict_splits(
    classifier: Classifier,
    pack: Pack,
    device: torch.device,
    *,
    progress: Callable[[int, int], None] = lambda _done, _count: None,
) -> Logits:
    """Run a network over both splits as it will be used: in fp32, laid out plainly."""
    classifier.lay_out(torch.contiguous_format)
    return {
        split: read_logits(classifier, pack, pack.rows(split), device=device, progress=progress)
        for split in SPLITS
    }


def score_split(
    split: Split, logits: Logits, pack: Pack, teacher: Logits, task: Task = CLASSIFICATION
) -> Mapping[str, Any] | None:
    """Compute metrics over the labelled images of a split; None where there are none."""
    rows, targets = task.targets(pack, split)
    if not len(rows):
        return None
    known = np.isin(pack.rows(split), rows)
    teacher_logits = teacher[split][known] if split in teacher else None
    return task.score(logits[split][known], targets, pack.classes, teacher_logits)


def save_predictions(
    folder: Path, moment: str, logits: Logits, pack: Pack, task: Task = CLASSIFICATION
) -> None:
    """Write a network's outputs for both splits; `moment` is "last" or "best" epoch."""
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
        task.write_predictions(folder / "test.csv", names, logits["test"], pack.classes)


def network_cost(classifier: Classifier, settings: TrainConfig) -> dict[str, ImageSize | None]:
    """Count parameters and operations, for these classes and this size and in the published form."""
    size = classifier.preprocess.size
    own = cost(classifier.network, size, classifier.preprocess.channels)
    facts: dict[str, ImageSize | None] = {
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
    """Return 224, or the only size a network takes."""
    config: Any = getattr(network, "pretrained_cfg", {})
    return int(config["input_size"][1]) if config.get("fixed_input_size") else 224


def save_model_folder(
    folder: Path,
    moment: str,
    classifier: Classifier,
    settings: TrainConfig,
    pack: Pack,
    facts: Mapping[str, Any],
    peer: str = "",
) -> None:
    """Write the model folder of an epoch, with its card; `peer`: its name, where it is one."""
    card = model_card(
        settings,
        classes=pack.classes,
        scores=facts,
        moment=moment,
        prepared=pack.prepared,
        limitation=timm_limitation(classifier.network, settings),
        peer=peer,
    )
    with whole_folder(folder / ("model" if moment == "last" else "model-best")) as part:
        save_model(
            part,
            classifier,
            settings=settings,
            classes=pack.classes,
            stored_size=pack.image_size,
            background=pack.prepared.background,
            preparation=pack.preparation,
            card=card,
        )
