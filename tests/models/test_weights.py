"""First weights: where they come from, what is refused, and that nothing in a file is executed."""

import os
import pickle
import time
import warnings
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from torch import Tensor, nn

from support.examples import examples
from tutelage.config.model import ModelConfig
from tutelage.errors import InputError
from tutelage.models.weights import find_weights, fingerprint_of, load_weights, read_weights


def network(classes: int = 4) -> nn.Sequential:
    torch.manual_seed(classes)
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, classes))


def state(classes: int = 4) -> dict[str, Tensor]:
    return {name: tensor + 1 for name, tensor in network(classes).state_dict().items()}


def test_none_and_untagged() -> None:
    """`none`, and a name without a tag, mean random weights."""
    assert find_weights(ModelConfig(model="resnet34.tv_in1k", weights="none")).kind == "none"
    assert find_weights(ModelConfig(model="resnet18")).kind == "none"


def test_file_and_folder(tmp_path: Path) -> None:
    """A file is found as itself, and a model folder by the file in it; reports name the file."""
    save_file(state(), tmp_path / "model.safetensors")
    for given_path in (tmp_path, tmp_path / "model.safetensors"):
        found = find_weights(ModelConfig(weights=str(given_path)))
        assert (found.kind, found.path) == ("file", tmp_path / "model.safetensors")
        assert str(found) == "file model.safetensors"


def test_missing_file(tmp_path: Path) -> None:
    """A file or folder that is not there, or an empty folder, is refused by the name that was given."""
    for path in (tmp_path / "none.pt", tmp_path, tmp_path / "none" / "model.safetensors"):
        with pytest.raises(InputError, match="no weights at") as caught:
            find_weights(ModelConfig(weights=str(path)), flag="--teacher.weights")
        assert str(path) in str(caught.value)
        assert "--teacher.weights none" in str(caught.value)


def test_tag_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a tag's weights are not here and no network answers, it is said in seconds, by file."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "https://host.invalid")  # a name that never resolves
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    begin = time.monotonic()
    with pytest.raises(InputError, match="no network answers") as caught:
        find_weights(ModelConfig(model="resnet34.tv_in1k"), flag="--teacher.weights")
    assert time.monotonic() - begin < 8
    assert "model.safetensors of timm/resnet34.tv_in1k" in str(caught.value)
    assert "--teacher.weights PATH" in str(caught.value)
    assert "--teacher.weights none" in str(caught.value)


def test_tag_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights in the hub's cache need no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "https://host.invalid")
    repository = tmp_path / "models--timm--resnet34.tv_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"x")
    assert find_weights(ModelConfig(model="resnet34.tv_in1k")).kind == "tag"


def test_every_wrapping(tmp_path: Path) -> None:
    """Plain, wrapped and prefixed tables of tensors are read alike."""
    plain = state()
    prefixed = {f"module.{name}": tensor for name, tensor in plain.items()}
    save_file(plain, tmp_path / "a.safetensors")
    files = [tmp_path / "a.safetensors"]
    contents = [
        plain,
        prefixed,
        {"state_dict": plain, "epoch": 3},
        {"model": prefixed, "args": {"lr": 0.1}},
        {"model_state_dict": {f"_orig_mod.{name}": tensor for name, tensor in plain.items()}},
    ]
    for number, content in enumerate(contents):
        files.append(tmp_path / f"{number}.pt")
        torch.save(content, files[-1])
    for path in files:
        found = read_weights(path)
        assert found.keys() == plain.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in plain.items())


class _Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("kind", ["torch", "torch before 1.6", "pickle"])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_hostile(tmp_path: Path, kind: str, suffix: str) -> None:
    """A file that holds code is refused, and the code does not run."""
    marker, path = tmp_path / "marker", tmp_path / f"hostile{suffix}"
    content = {"a": torch.zeros(1), "b": _Hostile(marker)}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch wonders about the pickle protocol before it refuses
        with pytest.raises(InputError, match="cannot read the weights") as caught:
            read_weights(path)
    assert str(path) in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize("content", [{"a": 1}, {"state_dict": [1, 2]}, torch.zeros(3), [1], {}])
def test_not_a_table(tmp_path: Path, content: object) -> None:
    """A file without a table of tensors is refused, or holds none of the network's."""
    path = tmp_path / "a.pt"
    torch.save(content, path)
    with pytest.raises(InputError):
        load_weights(network(), path, classifier=None)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_not_finite(tmp_path: Path, suffix: str, bad: float) -> None:
    """Weights with a number that is not finite are refused by the tensor's name."""
    tensors = state()
    tensors["2.weight"][1, 1] = bad
    path = tmp_path / f"a{suffix}"
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
    with pytest.raises(InputError, match="not finite") as caught:
        read_weights(path)
    assert "2.weight" in str(caught.value)


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    torch.save(state(), folder / "zip")
    torch.save(state(), folder / "old", _use_new_zipfile_serialization=False)
    files = {name: (folder / name).read_bytes() for name in ("zip", "old")}
    return {"a.pt": files["zip"], "b.pt": files["old"], "c.safetensors": save(state())}


@given(data=st.data())
@examples(150)
def test_damaged(
    whole_files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A file that is cut short, changed or not of this kind at all is read or refused, no more."""
    name = data.draw(st.sampled_from(sorted(whole_files)))
    whole = whole_files[name]
    if data.draw(st.booleans()):
        content = data.draw(st.binary(max_size=40))
    else:
        content = whole[: data.draw(st.integers(0, len(whole) - 1))]
        if content:
            place, value = (
                data.draw(st.integers(0, len(content) - 1)),
                data.draw(st.integers(0, 255)),
            )
            content = content[:place] + bytes([value]) + content[place + 1 :]
    path = tmp_path_factory.getbasetemp() / f"damaged-{name}"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch wonders about the pickle protocol
        try:
            tensors = read_weights(path)
        except InputError as error:
            assert str(path) in str(error)  # noqa: PT017
        else:
            assert all(isinstance(tensor, Tensor) for tensor in tensors.values())


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80", b"PK\x03\x04"])
@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_not_weights(tmp_path: Path, name: str, content: bytes) -> None:
    """An empty file, text and the beginnings of other files are refused by name."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_weights(tmp_path / name)


def test_other_class_count(tmp_path: Path) -> None:
    """A classifier layer of another class count is left random and named; the rest is filled."""
    save_file(state(classes=7), tmp_path / "a.safetensors")
    target = network(4)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    loaded = load_weights(target, tmp_path / "a.safetensors", classifier="2")
    names = loaded.random
    assert sorted(names) == ["2.bias", "2.weight"]
    assert loaded.notes == ("head left random: the file has 7 classes, the network 4",)
    assert (loaded.taken, loaded.of) == (6, 8)
    after = target.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in names)
    for name, tensor in state(7).items():
        assert name in names or torch.equal(after[name], tensor)
    save_file(state(4), tmp_path / "b.safetensors")
    whole = load_weights(target, tmp_path / "b.safetensors", classifier="2")
    assert (whole.random, whole.notes, whole.taken, whole.of) == ((), (), 8, 8)
    assert torch.equal(target.state_dict()["2.weight"], state(4)["2.weight"])


def test_other_network(tmp_path: Path) -> None:
    """Names missing, extra or of another shape are refused and listed; the network is untouched."""
    tensors = state()
    del tensors["0.bias"]
    tensors |= {"extra": torch.zeros(1), "1.weight": torch.zeros(9)}
    save_file(tensors, tmp_path / "a.safetensors")
    target = network()
    before = fingerprint_of(target)
    with pytest.raises(InputError, match="of another network") as caught:
        load_weights(target, tmp_path / "a.safetensors", classifier="2")
    for part in ("missing: 0.bias", "not in the network: extra", "1.weight [9] (network: [5])"):
        assert part in str(caught.value)
    assert fingerprint_of(target) == before
    save_file(state(7), tmp_path / "b.safetensors")
    with pytest.raises(InputError, match=r"2\.weight \[7, 5\] \(network: \[4, 5\]\)"):
        load_weights(target, tmp_path / "b.safetensors", classifier=None)


def test_fingerprint() -> None:
    """Equal weights have one fingerprint in any layout; one bit, buffer or name makes another."""
    one, two = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    two.load_state_dict(one.state_dict())
    base = fingerprint_of(one)
    assert fingerprint_of(two.to(memory_format=torch.channels_last)) == base
    with torch.no_grad():
        two.bias[0] = torch.nextafter(two.bias[0], torch.tensor(9.0))
    assert fingerprint_of(two) != base
    norm = nn.BatchNorm1d(3)
    before = fingerprint_of(norm)
    norm(torch.randn(4, 3))
    assert fingerprint_of(norm) != before
    assert fingerprint_of(nn.Sequential(one)) != base
