"""Export with torch.export: one `.pt2` file that PyTorch runs without Tutelage, checked on real images.

As in the ONNX file the standardisation is part of the graph: uint8 pixels [B, C, H, W] for any B up to
4096 -> float32 logits [B, C]. Class names are in the file's `classes.json`, and in
`preparation.json` how images are prepared, where not as by default.
"""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from tutelage.config.data import DataConfig, preparation
from tutelage.config.schema import to_table
from tutelage.exporters.check import require_same_outputs
from tutelage.exporters.exporter import Exporter, ExportResult, PixelsToLogits
from tutelage.models.preprocess import Classifier
from tutelage.storage.atomic import write_bytes
from tutelage.storage.sidecar import write_checksum


def export_torch(
    classifier: Classifier,
    path: Path,
    images: Tensor,
    classes: Sequence[str],
    settings: DataConfig,
) -> ExportResult:
    """Write and check one `.pt2` file.

    Args:
        classifier: the network with its preprocessing, on the CPU.
        path: the file.
        images: uint8 [8, C, H, W], real images to check with.
        classes: names in the order of the outputs.
        settings: how an image is prepared for it.

    Raises:
        InputError: the outputs of the file differ from those of the network.
    """
    graph = PixelsToLogits(classifier).eval()
    batch = torch.export.Dim("batch", min=1, max=4096)
    with torch.no_grad():
        program = torch.export.export(graph, (images[:2],), dynamic_shapes={"pixels": {0: batch}})
    buffer = io.BytesIO()
    files = {"classes.json": json.dumps(list(classes), ensure_ascii=False)}
    if prepared := preparation(to_table(settings)):
        files["preparation.json"] = json.dumps(prepared | {"background": settings.background})
    torch.export.save(program, buffer, extra_files=files)
    content = buffer.getvalue()
    difference = require_same_outputs(_run(content), graph, images)
    write_bytes(path, content)
    write_checksum(path, content)
    return ExportResult(path, len(content), difference)


def _run(content: bytes) -> Callable[[Tensor], Tensor]:
    """Load the file as a user would."""
    module = torch.export.load(io.BytesIO(content)).module()

    def run(pixels: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = module(pixels)
        return logits

    return run


EXPORTER = Exporter(
    "torch", ".pt2", "torch.export; runs in PyTorch, without Tutelage", export_torch
)
