"""The verbs that use a finished network: evaluate, predict, export."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from tutelage.cli.arguments import DataArgument
from tutelage.config.data import DataConfig

Most = Annotated[
    float,
    Parameter(
        help="Largest share of unreadable files; above it the job stops, below they are listed."
    ),
]
MOST = DataConfig().max_unreadable


def evaluate(
    network: Path,
    data: DataArgument,
    *,
    split: Literal["val", "test", "train"] = "val",
    max_unreadable: Most = MOST,
) -> str:
    """Measure a run's or model folder's network on labelled images; prints JSON."""
    _installed()
    from tutelage.commands.inference import evaluate as measure

    found = measure(network, data, split=split, max_unreadable=max_unreadable)
    _tell((one["file"], one["reason"]) for one in found["unreadable"])
    return json.dumps(found, indent=1, ensure_ascii=False)


def predict(
    network: Path,
    images: Path,
    *,
    out: Path = Path("predictions.csv"),
    top: int = 3,
    max_unreadable: Most = MOST,
) -> str:
    """Classify a folder of images: file, class, probability and runners-up in a CSV."""
    _installed()
    from tutelage.commands.inference import predict as classify

    result = classify(network, images, out=out, top=top, max_unreadable=max_unreadable)
    _tell(result.unreadable)
    return f"{result.classified} images classified, {len(result.unreadable)} unreadable: {out}"


def export(
    network: Path,
    *,
    format: Annotated[Literal["onnx"], Parameter(help="File format.")] = "onnx",
    out: Path | None = None,
    data: str = "sample",
) -> str:
    """One deployable file, checked against the network on real images."""
    _installed()
    from tutelage.commands.inference import export as hand_over

    return str(hand_over(network, format=format, out=out, data=data))


def _tell(unreadable: Iterable[tuple[str, str]]) -> None:
    for name, reason in unreadable:
        sys.stderr.write(f"unreadable: {name}: {reason}\n")


def _installed() -> None:
    from tutelage.cli.installation import require_matching

    require_matching()
