"""Networks on disk: written, read back to the bit, and loaded by timm without us."""

import json
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from tutelage.config.model import ModelConfig
from tutelage.errors import InputError
from tutelage.models.build import build_model
from tutelage.models.model_folder import load_model, save_model
from tutelage.models.preprocess import Classifier
from tutelage.models.weights import fingerprint_of
from tutelage.storage.checksums import seal

CLASSES = ("a", "Zürich", "日本", "=x")
STATISTICS = (0.1234567, 0.2, 0.3), (0.4, 0.5, 0.6)


def made(settings: ModelConfig, network: nn.Module | None = None) -> Classifier:
    """A network whose norms have seen something, as after training."""
    classifier = build_model(
        settings,
        classes=len(CLASSES),
        stored_size=32,
        train_statistics=STATISTICS,
        seed=1,
        network=network,
    ).classifier
    with torch.no_grad():
        classifier.train()(images(seed=5))
    return classifier.eval()


def images(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, 3, 32, 32), generator=generator, dtype=torch.uint8)


def save(folder: Path, classifier: Classifier, settings: ModelConfig) -> None:
    save_model(
        folder,
        classifier,
        settings=settings,
        classes=CLASSES,
        stored_size=32,
        background="black",
        card="# card\n",
    )


@pytest.mark.parametrize(
    "settings",
    [
        ModelConfig(model="test_resnet"),
        ModelConfig(model="test_resnet", normalization="half", input_size=48),
        ModelConfig(model="test_vit", input_size=160, normalization="weights"),
        ModelConfig(model="resnet10t", zero_init_last=True),
        ModelConfig(model="resnet18", stem="small"),
    ],
    ids=["resnet", "half", "vit", "zero", "small stem"],
)
def test_round_trip(tmp_path: Path, settings: ModelConfig) -> None:
    """A network read back is in eval mode and gives the same logits, to the bit."""
    classifier = made(settings)
    with torch.no_grad():
        expected = classifier(images()).logits
        save(tmp_path / "model", classifier, settings)
        saved = load_model(tmp_path / "model")
        assert not saved.classifier.training
        assert torch.equal(saved.classifier(images()).logits, expected)
    assert (saved.classes, saved.stored_size, saved.background) == (CLASSES, 32, "black")
    assert fingerprint_of(saved.classifier.network) == fingerprint_of(classifier.network)
    assert (tmp_path / "model" / "README.md").read_text(encoding="utf-8") == "# card\n"


@pytest.mark.parametrize("stem", ["standard", "small"])
def test_channels_last(tmp_path: Path, stem: str) -> None:
    """Weights laid out for speed are saved as any others."""
    name = "resnet18" if stem == "small" else "test_resnet"
    settings = ModelConfig(model=name, stem=stem)  # type: ignore[arg-type]
    classifier = made(settings)
    fast = made(settings).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fast.load_state_dict(classifier.state_dict())
    save(tmp_path / "a", classifier, settings)
    save(tmp_path / "b", fast, settings)
    a, b = (tmp_path / name / "model.safetensors" for name in "ab")
    assert a.read_bytes() == b.read_bytes()


def test_timm_alone(tmp_path: Path) -> None:
    """The folder loads with timm alone: the same logits, class names and preprocessing."""
    settings = ModelConfig(model="test_resnet")
    classifier = made(settings)
    save(tmp_path, classifier, settings)
    network = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    pixels = classifier.preprocess(images())
    with torch.no_grad():
        assert torch.equal(network(pixels), classifier.network(pixels))
    config = network.pretrained_cfg
    assert tuple(config["label_names"]) == CLASSES
    assert tuple(config["mean"]) == pytest.approx(STATISTICS[0])
    assert tuple(config["std"]) == pytest.approx(STATISTICS[1])
    assert tuple(config["input_size"]) == (3, 32, 32)
    assert "timm.create_model" in facts(tmp_path)["loads_with"]


def facts(folder: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / "tutelage.json").read_text(encoding="utf-8"))
    return found


def test_a_changed_stem_says_so(tmp_path: Path) -> None:
    """A changed stem, which timm's layout cannot hold, leaves no config.json that claims so."""
    settings = ModelConfig(model="resnet18", stem="small")
    save(tmp_path, made(settings), settings)
    assert not (tmp_path / "config.json").exists()
    assert "timm's layout cannot hold" in facts(tmp_path)["loads_with"]


def own_module() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_own_module(tmp_path: Path) -> None:
    """A module of the user's own is saved by its weights and read back into another of its kind."""
    settings = ModelConfig(model="mine")
    classifier = made(settings, network=own_module())
    save(tmp_path, classifier, settings)
    with pytest.raises(InputError, match="network=YOUR_MODULE"):
        load_model(tmp_path)
    saved = load_model(tmp_path, network=own_module())
    with torch.no_grad():
        assert torch.equal(saved.classifier(images()).logits, classifier(images()).logits)
    with pytest.raises(InputError, match="of another network"):
        load_model(tmp_path, network=nn.Linear(3, 4))


def test_reading_leaves_the_callers_numbers_alone(tmp_path: Path) -> None:
    """Neither saving nor loading takes anything from the global random numbers."""
    settings = ModelConfig(model="test_resnet")
    classifier = made(settings).train()
    before = torch.get_rng_state()
    save(tmp_path, classifier, settings)
    load_model(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert classifier.training


def test_a_wrong_copy_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save that does not come back as it was is our own error, never silent."""
    settings = ModelConfig(model="test_resnet")

    def spoiled(network: nn.Module, folder: str, **_: object) -> None:
        from safetensors.torch import save_file

        state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        state["fc.bias"][0] += 1
        save_file(state, Path(folder, "model.safetensors"))

    monkeypatch.setattr("tutelage.models.model_folder.save_for_hf", spoiled)
    with pytest.raises(RuntimeError, match=r"fc\.bias was not saved"):
        save(tmp_path, made(settings), settings)


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"[]",
        b"{}",
        b'{"format": 2}',
        b'{"format": 1}',
        b"\xff",
        b"[" * 100_000,
        b"sealed",
    ],
)
def test_not_a_model_folder(tmp_path: Path, content: bytes | None) -> None:
    """A folder without readable facts is refused by name."""
    if content is not None:
        whole = seal({"format": 2})
        (tmp_path / "tutelage.json").write_bytes(whole if content == b"sealed" else content)
    with pytest.raises(InputError, match="a model folder") as caught:
        load_model(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_damaged_weights(tmp_path: Path) -> None:
    """Weights that are cut short or missing are refused by name."""
    settings = ModelConfig(model="test_resnet")
    save(tmp_path, made(settings), settings)
    path = tmp_path / "model.safetensors"
    whole = bytearray(path.read_bytes())
    path.write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_model(tmp_path)
    whole[-5] ^= 1
    path.write_bytes(whole)
    with pytest.raises(InputError, match=r"damaged[^$]*model\.safetensors"):
        load_model(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_model(tmp_path)
