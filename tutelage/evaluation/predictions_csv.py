"""Write predictions as a CSV file that is safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tutelage.storage.atomic import make_folder, write_bytes
from tutelage.storage.disk import disk_errors
from tutelage.text import escape, escape_csv


def write_predictions(
    path: Path, files: Sequence[str], logits: np.ndarray, classes: Sequence[str], *, top: int = 3
) -> None:
    """Write one row per image: file, class, probability, then class_2, probability_2 and so on.

    A folder that is missing is made.

    Args:
        path: the CSV file.
        files: N file names.
        logits: float [N, C].
        classes: C names.
        top: how many classes to write for each image.
    """
    top = min(top, len(classes))
    extra = [f"{word}_{rank}" for rank in range(2, top + 1) for word in ("class", "probability")]
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["file", "class", "probability", *extra])
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    shares = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    order = np.argsort(-shares, axis=1, kind="stable")[:, :top]
    for name, row, best in zip(files, shares, order, strict=True):
        cells = [part for k in best for part in (_safe(classes[k]), f"{row[k]:.6f}")]
        writer.writerow([_safe(name), *cells])
    with disk_errors(path):
        make_folder(path.parent)
    write_bytes(path, out.getvalue().encode())


def _safe(name: str) -> str:
    """Escape a name for spreadsheets and terminals."""
    return escape_csv(escape(name))
