"""The contract of an exporter: one file format, written and checked on real images."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from tutelage.config.data import DataConfig
from tutelage.models.preprocess import Classifier


class ExportResult(NamedTuple):
    """A file that was written and checked."""

    path: Path

    size_bytes: int

    difference: float
    """Largest difference of a logit seen in the check, relative to the spread of the logits."""

    def __str__(self) -> str:
        """Describe it in one line."""
        return (
            f"{self.path}: {self.size_bytes / 1e6:.1f} MB; logits differ by at most "
            f"{self.difference:.1e} of their spread at batch 1, 3 and 8; same classes"
        )


class Exporter(NamedTuple):
    """A format that a trained network can be exported to."""

    name: str
    """Its name for `--format`."""

    suffix: str
    """Of its files, with the dot."""

    line: str
    """One line for help: the format, and what runs it."""

    export: Callable[[Classifier, Path, Tensor, Sequence[str], DataConfig], ExportResult]
    """Write and check a file: (network on the CPU, path, real images uint8 [8, C, H, W], class names, how
    images are prepared).

    Raises:
        MachineError: a package is missing.
        InputError: the outputs of the file differ from those of the network.
    """


class PixelsToLogits(nn.Module):
    """The exported graph: uint8 pixels [B, C, H, W] in, float32 logits [B, C] out."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        """Standardise and classify."""
        logits: Tensor = self.classifier(pixels).logits
        return logits
