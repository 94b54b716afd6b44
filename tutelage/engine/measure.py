"""One network measured and saved: what it says about both splits, its metrics, its cost, its folder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors.numpy import save

from tutelage.config.job import TrainConfig
from tutelage.data.pack.pack import Pack
from tutelage.data.readers.source import Split
from tutelage.engine.model_card import model_card
from tutelage.evaluation.cost import cost
from tutelage.evaluation.metrics import Metrics, scores_of
from tutelage.evaluation.predict import read_logits
from tutelage.evaluation.predictions_csv import write_predictions
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
    """What a network says about both splits, as it is saved and will be used: in fp32, laid out plainly."""
    classifier.lay_out(torch.contiguous_format)
    return {
        split: read_logits(classifier, pack, pack.rows(split), device=device, progress=progress)
        for split in SPLITS
    }


def score_split(split: Split, logits: Logits, pack: Pack, teacher: Logits) -> Metrics | None:
    """Metrics over the labelled images of a split; None where there are none."""
    labels = pack.labels[pack.rows(split)]
    known = labels >= 0
    if not known.any():
        return None
    word = teacher[split][known] if split in teacher else None
    return scores_of(logits[split][known], labels[known], pack.classes, teacher_logits=word)


def save_predictions(folder: Path, moment: str, logits: Logits, pack: Pack) -> None:
    """Write what a network says about both splits; `moment` is "last" or "best" epoch."""
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


def network_cost(classifier: Classifier, settings: TrainConfig) -> dict[str, int | None]:
    """Parameters and operations, for these classes and this size and in the published form."""
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


def save_model_folder(
    folder: Path,
    moment: str,
    classifier: Classifier,
    settings: TrainConfig,
    pack: Pack,
    facts: Mapping[str, Any],
    companion: str = "",
) -> None:
    """Write the model folder of an epoch, with its card; `companion`: its name, where it is one."""
    card = model_card(
        settings,
        classes=pack.classes,
        scores=facts,
        moment=moment,
        stored_size=pack.image_size,
        obstacle=timm_limitation(classifier.network, settings),
        companion=companion,
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
