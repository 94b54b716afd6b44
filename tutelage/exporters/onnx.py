"""Export to ONNX: one file that takes raw pixels, checked against the network on real images.

The standardisation is part of the graph, so the file takes uint8 pixels [B, C, H, W] and gives
float32 logits [B, classes] for any B. The required preprocessing (resize, crop or pad, range) and the class
names are in the file's metadata. The file is checked in onnxruntime.
"""

import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tutelage.config.data import DataConfig, preparation
from tutelage.config.schema import to_table
from tutelage.data.decode.describe import preparation_steps
from tutelage.data.readers.names import order_note
from tutelage.errors import MachineError
from tutelage.exporters.check import require_same_outputs
from tutelage.exporters.exporter import Exporter, ExportResult, PixelsToLogits
from tutelage.models.preprocess import Classifier
from tutelage.storage.atomic import write_bytes
from tutelage.storage.sidecar import write_checksum

OPSET = 18


def export_onnx(
    classifier: Classifier,
    path: Path,
    images: Tensor,
    classes: Sequence[str],
    settings: DataConfig,
) -> ExportResult:
    """Write and check one ONNX file.

    Args:
        classifier: the network with its preprocessing, on the CPU.
        path: the file.
        images: uint8 [8, C, H, W], real images to check with.
        classes: names in the order of the outputs.
        settings: how an image is prepared for it.

    Raises:
        MachineError: the packages of the extra `onnx` are missing.
        InputError: the outputs of the file differ from those of the network.
    """
    _require_packages()
    import onnx

    graph = PixelsToLogits(classifier).eval()
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        raw = Path(scratch, "model.onnx")
        torch.onnx.export(
            graph,
            (images[:2],),
            str(raw),
            input_names=["pixels"],
            output_names=["logits"],
            dynamic_shapes={"pixels": {0: torch.export.Dim("batch", min=1, max=4096)}},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        model = onnx.load(str(raw))
    steps = [*preparation_steps(settings), "uint8, no scaling: the graph standardises"]
    facts = {
        "classes": json.dumps(list(classes), ensure_ascii=False),
        "preprocessing": "; ".join(steps),
        "producer": "tutelage",
    }
    if note := order_note(classes):
        facts["class_order"] = note
    if prepared := preparation(to_table(settings)):
        facts["preparation"] = json.dumps(prepared | {"background": settings.background})
    _remove_paths(model)
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    difference = require_same_outputs(_run(content), graph, images)
    write_bytes(path, content)
    write_checksum(path, content)
    return ExportResult(path, len(content), difference)


def _remove_paths(model: Any) -> None:
    """Remove the exporter's notes on each node, which contain paths of this machine."""
    for graph in (model.graph, *model.functions):
        values = (*graph.value_info, *model.graph.input, *model.graph.output)
        for part in (graph, *graph.node, *values):
            part.ClearField("metadata_props")
            part.ClearField("doc_string")


def _run(content: bytes) -> Callable[[Tensor], Tensor]:
    """Load the file in onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda pixels: torch.from_numpy(session.run(None, {"pixels": pixels.numpy()})[0])


def _require_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MachineError(
            f"ONNX export needs the package {error.name}", fix='pip install "tutelage[onnx]"'
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings and logs of the exporter; the file is checked afterwards."""
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.getLogger("torch.onnx").setLevel(level)


EXPORTER = Exporter("onnx", ".onnx", "ONNX, fp32; runs in onnxruntime", export_onnx)
