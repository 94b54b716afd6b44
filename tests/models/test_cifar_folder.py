"""Networks that timm has not got, on disk: read back by us, in any process, and by nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tutelage.config.model import ModelConfig
from tutelage.models.build import build_model
from tutelage.models.model_folder import load_model, save_model
from tutelage.models.preprocess import Classifier

STATISTICS = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)


def made(settings: ModelConfig) -> Classifier:
    """A classifier whose norms have seen something."""
    classifier = build_model(
        settings, classes=3, stored_size=32, train_statistics=STATISTICS, seed=1
    ).classifier
    with torch.no_grad():
        classifier.train()(images())
    return classifier.eval()


def images() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 3, 32, 32), generator=generator, dtype=torch.uint8)


def save(folder: Path, classifier: Classifier, settings: ModelConfig) -> None:
    save_model(
        folder,
        classifier,
        settings=settings,
        classes=("a", "b", "c"),
        stored_size=32,
        background="black",
        card="# card\n",
    )


@pytest.mark.parametrize("name", ["cifar_resnet8", "cifar_shufflenetv1"])
def test_round_trip(tmp_path: Path, name: str) -> None:
    """A saved network is read back to the bit, and its folder says that timm alone cannot do so."""
    settings = ModelConfig(model=name)
    classifier = made(settings)
    save(tmp_path, classifier, settings)
    saved = load_model(tmp_path)
    assert saved.model == name
    with torch.no_grad():
        assert torch.equal(saved.classifier(images()).logits, classifier(images()).logits)
    facts = json.loads((tmp_path / "tutelage.json").read_text(encoding="utf-8"))
    assert facts["loads_with"] == 'tutelage.load("FOLDER"): timm has no such network of its own'
    assert not (tmp_path / "config.json").exists()


def test_a_fresh_process(tmp_path: Path) -> None:
    """`tutelage.load` alone makes the names known; nothing is warned of, nothing of timm replaced."""
    settings = ModelConfig(model="cifar_resnet8")
    save(tmp_path, made(settings), settings)
    program = """
import sys, timm, tutelage
before = {name: timm.model_entrypoint(name) for name in timm.list_models()}
print(tutelage.load(sys.argv[1]).classes)
after = {name: timm.model_entrypoint(name) for name in timm.list_models()}
assert {name for name in after if after[name] is not before.get(name)} == set(
    timm.list_models("cifar_*")
)
"""
    command = [sys.executable, "-W", "error", "-c", program, str(tmp_path)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "('a', 'b', 'c')"


def test_first_weights(tmp_path: Path) -> None:
    """A folder's weights start another network; a classifier of other classes stays random."""
    settings = ModelConfig(model="cifar_resnet8")
    save(tmp_path, made(settings), settings)
    again = build_model(
        ModelConfig(model="cifar_resnet8", weights=str(tmp_path), normalization="weights"),
        classes=5,
        stored_size=32,
        train_statistics=STATISTICS,
        seed=2,
    )
    network, old = again.classifier.network, load_model(tmp_path).classifier.network
    assert torch.equal(network.state_dict()["conv1.weight"], old.state_dict()["conv1.weight"])
    assert network.get_submodule("fc").out_features == 5
    assert again.classifier.preprocess.mean.flatten().tolist() == pytest.approx(
        [0.1, 0.2, 0.3]  # of the images that they were trained on
    )
