"""Weights of one's own bring their own normalization, and what is assumed is said."""

import argparse
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from support.weights_of_others import network
from tutelage.config.model import ModelConfig
from tutelage.config.schema import to_table
from tutelage.errors import UsageError
from tutelage.models.build import BuiltModel, build_model

TRAIN = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def built(**settings: Any) -> tuple[BuiltModel, list[float], list[float]]:
    model = build_model(
        ModelConfig(model="test_resnet", **settings),
        classes=5,
        stored_size=32,
        train_statistics=TRAIN,
        seed=0,
    )
    preprocess = model.classifier.preprocess
    return model, preprocess.mean.flatten().tolist(), preprocess.std.flatten().tolist()


def test_who_decides(tmp_path: Path) -> None:
    """Random weights: the training images. A file: its own. A flag: what it says."""
    torch.save(network(1).state_dict(), tmp_path / "w.pt")
    own = str(tmp_path / "w.pt")
    for settings, mean, said in (
        ({}, [0.1, 0.2, 0.3], "of the training images"),
        ({"weights": "none"}, [0.1, 0.2, 0.3], "of the training images"),
        ({"weights": own}, [0.5, 0.5, 0.5], "timm's record of test_resnet"),
        ({"weights": own, "normalization": "train"}, [0.1, 0.2, 0.3], "of the training images"),
        ({"weights": own, "mean": (0.0, 0.1, 0.2), "std": (1.0, 1.0, 1.0)}, [0, 0.1, 0.2], "given"),
    ):
        model, found, _ = built(**settings)
        assert found == pytest.approx(mean)
        assert said in model.normalization
    with pytest.raises(UsageError, match="a mean without"):
        built(mean=(0.0, 0.0, 0.0))


def test_folders_hold_what_is_meant() -> None:
    """What is unset is written as what it means, and is what it was before it could be unset."""
    assert to_table(ModelConfig())["normalization"] == "train"
    assert to_table(ModelConfig(weights="none"))["normalization"] == "train"
    assert to_table(ModelConfig(weights="w.pt"))["normalization"] == "weights"
    assert not {"mean", "std"} & to_table(ModelConfig()).keys()


@pytest.mark.full
@pytest.mark.parametrize("part", range(4))
def test_random_records(tmp_path: Path, part: int) -> None:
    """In the file, beside it, as texts of any program: the numbers are found, and pixels to 255 are known."""
    state = network(1).state_dict()
    for seed in range(50 * part, 50 * part + 50):
        draw = random.Random(seed)
        mean = [round(draw.uniform(0.05, 0.9), 3) for _ in range(3)]
        std = [round(draw.uniform(0.05, 0.9), 3) for _ in range(3)]
        grey = draw.random() < 0.2
        if grey:
            mean, std = mean[:1], std[:1]
        scale = draw.choice([1, 1, 255])
        written = [[n * scale for n in numbers] for numbers in (mean, std)]
        start = draw.choice(["", "image_", "pixel_", "norm_"])
        record = {f"{start}mean": written[0], f"{start}std": written[1]}
        place = draw.choice(
            ["args", "hyper_parameters", "config.data", "buffers", "beside", "timm", "hub"]
        )
        folder = tmp_path / str(seed)
        folder.mkdir()
        content: dict[str, Any] = {"state_dict": state, "epoch": 3}
        if place == "args":
            content["args"] = argparse.Namespace(lr=0.1, **record)
        elif place == "hyper_parameters":
            content["hyper_parameters"] = record
        elif place == "config.data":
            content["config"] = {"data": record}
        elif place == "buffers":
            table = {"norm.mean": torch.tensor(written[0]).view(1, -1, 1, 1),
                     "norm.std": torch.tensor(written[1]).view(1, -1, 1, 1)}  # fmt: skip
            content["state_dict"] = {**{f"net.{n}": t for n, t in state.items()}, **table}
        elif place == "beside":
            record = {"image_mean": written[0], "image_std": written[1]}
            (folder / "preprocessor_config.json").write_text(json.dumps(record))
        elif place == "timm":
            cfg = {"architecture": "x", "pretrained_cfg": {"mean": written[0], "std": written[1]}}
            (folder / "config.json").write_text(json.dumps(cfg))
        else:
            (folder / "config.json").write_text(json.dumps({"mean": written[0], "std": written[1]}))
        torch.save(content, folder / "w.pt")
        _, found, deviation = built(weights=str(folder / "w.pt"))
        assert found == pytest.approx(mean * 3 if grey else mean), (seed, place)
        assert deviation == pytest.approx(std * 3 if grey else std), (seed, place)
