"""One ONNX file: raw pixels in, the network's logits out, facts inside, and wrong graphs refused."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from tutelage.config.data import DataConfig
from tutelage.data.pack.pack import Pack
from tutelage.errors import InputError, MachineError
from tutelage.exporters import onnx as deploy
from tutelage.exporters.check import require_same_outputs
from tutelage.exporters.exporter import ExportResult
from tutelage.exporters.onnx import export_onnx
from tutelage.models.build import BuiltModel
from tutelage.models.preprocess import Classifier


@pytest.fixture(scope="module")
def batch_images(small_pack: Pack) -> Tensor:
    """Eight real images, uint8 [8, 3, 32, 32]."""
    rows = small_pack.rows("train")[::25]
    return torch.from_numpy(small_pack.images[rows]).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(scope="module")
def classifier(make_network: Callable[..., BuiltModel]) -> Classifier:
    """A network that sees another size than is stored, so that resizing is exported too."""
    return make_network("test_resnet", input_size=48).classifier.eval()


@pytest.fixture(scope="module")
def exported(
    classifier: Classifier,
    batch_images: Tensor,
    small_pack: Pack,
    tmp_path_factory: pytest.TempPathFactory,
) -> ExportResult:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    return export_onnx(classifier, path, batch_images, small_pack.classes, small_pack.prepared)


@pytest.mark.parametrize("batch", [1, 2, 3, 8, 33])
def test_same_answers(
    exported: ExportResult, classifier: Classifier, batch_images: Tensor, batch: int
) -> None:
    """The file gives the network's logits in onnxruntime at any batch size, from uint8 pixels."""
    images = batch_images.repeat(5, 1, 1, 1)[:batch]
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"pixels": images.numpy()})
    with torch.no_grad():
        expected = classifier(images).logits.numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-3 * float(expected.std()))


def test_facts(exported: ExportResult, small_pack: Pack) -> None:
    """Class names and what must happen before are inside the one file; its input is named pixels."""
    model = onnx.load(str(exported.path))
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(facts["classes"]) == list(small_pack.classes)
    assert "32" in facts["preprocessing"]
    assert [entry.name for entry in model.graph.input] == ["pixels"]
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [entry.name for entry in model.graph.output] == ["logits"]
    names = sorted(path.name for path in exported.path.parent.iterdir())
    assert names == ["model.onnx", "model.onnx.sha256"]
    assert exported.size_bytes == exported.path.stat().st_size
    assert exported.difference < 1e-3
    assert "batch 1, 3 and 8" in str(exported)


class _Other(nn.Module):
    """The network's answer, changed."""

    def __init__(self, classifier: Classifier, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.classifier, self.change = classifier, change

    def forward(self, images: Tensor) -> Tensor:
        return self.change(self.classifier(images).logits)


def only_in_the_eighth_row(logits: Tensor) -> Tensor:
    """Right at batch 1 and 3, wrong at batch 8."""
    return logits + (torch.arange(len(logits)) == 7)[:, None] * 0.5 * logits.std()


@pytest.mark.parametrize(
    "change",
    [
        lambda logits: logits * 1.01,
        lambda logits: logits.flip(1),
        lambda logits: logits[:, :9],
        lambda logits: logits * float("nan"),
        only_in_the_eighth_row,
    ],
    ids=["scaled", "classes swapped", "shape", "not a number", "one batch size"],
)
def test_a_wrong_graph_is_refused(
    exported: ExportResult,
    classifier: Classifier,
    batch_images: Tensor,
    change: Callable[[Tensor], Tensor],
) -> None:
    """A file that answers differently at any checked batch size is refused."""
    content = exported.path.read_bytes()
    with pytest.raises(InputError, match="other outputs than the network"):
        require_same_outputs(deploy._run(content), _Other(classifier, change), batch_images)


def test_not_a_number_in_the_winning_class(
    exported: ExportResult,
    classifier: Classifier,
    batch_images: Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A logit that is no number is refused though the largest is where it should be."""

    def run(_self: object, _names: None, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        with torch.no_grad():
            logits = classifier(torch.from_numpy(feed["pixels"])).logits.clone()
        logits[0, logits[0].argmax()] = float("nan")
        return [logits.numpy()]

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", run)
    graph = _Other(classifier, lambda logits: logits)
    with pytest.raises(InputError, match="other outputs than the network"):
        require_same_outputs(deploy._run(exported.path.read_bytes()), graph, batch_images)


def test_nothing_is_written_when_refused(
    classifier: Classifier, batch_images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that change under way are noticed, and no file is left."""
    other = copy.deepcopy(classifier)
    with torch.no_grad():
        other.network.get_parameter("fc.weight")[0] += 0.1

    def check(run: Callable[[Tensor], Tensor], _graph: nn.Module, images: Tensor) -> float:
        return require_same_outputs(run, _Other(other, lambda logits: logits), images)

    monkeypatch.setattr(deploy, "require_same_outputs", check)
    with pytest.raises(InputError, match="nothing was written"):
        export_onnx(classifier, tmp_path / "m.onnx", batch_images, ["a"] * 10, DataConfig())
    assert list(tmp_path.iterdir()) == []


def test_missing_packages(
    classifier: Classifier, batch_images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the packages of the extra the message says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MachineError, match=r'pip install "tutelage\[onnx\]"'):
        export_onnx(classifier, tmp_path / "m.onnx", batch_images, ["a"] * 10, DataConfig())


def test_nothing_lies_elsewhere_and_no_path_is_told(exported: ExportResult) -> None:
    """No tensor's data are in another file, and no node says where on this machine it was made."""
    model = onnx.load(str(exported.path), load_external_data=False)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    raw = exported.path.read_bytes()
    for place in (Path(torch.__file__).parent, Path(deploy.__file__).parent, Path.home()):
        assert str(place).encode() not in raw
