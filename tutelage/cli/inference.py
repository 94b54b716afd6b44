"""The verbs that use a finished network: evaluate, predict, export."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from tutelage.cli.everyday import DATA
from tutelage.config.data import DataConfig

Network = Annotated[Path, Parameter(help="A run folder or a model folder")]
MaxUnreadable = Annotated[
    float,
    Parameter(help="Largest share of unreadable files; with more of them nothing is written"),
]
MAX_UNREADABLE = DataConfig().max_unreadable


def evaluate(
    network: Network,
    data: Annotated[str, Parameter(help=DATA.text)],
    *,
    split: Annotated[
        Literal["val", "test", "train", "all"],
        Parameter(help="Which images: a split, the run's own where the data are the run's, or all"),
    ] = "val",
    max_unreadable: MaxUnreadable = MAX_UNREADABLE,
) -> str:
    _require_installed()
    from tutelage.commands.evaluate import evaluate as measure

    found = measure(network, data, split=split, max_unreadable=max_unreadable)
    print(f"measured: {found['measured']}", file=sys.stderr)
    _report((one["file"], one["reason"]) for one in found["unreadable"])
    return json.dumps(found, indent=1, ensure_ascii=False)


def predict(
    network: Network,
    images: Annotated[
        Path,
        Parameter(help="A folder, zip or tar of images, its subfolders included, or one image"),
    ],
    *,
    out: Annotated[Path, Parameter(help="The CSV file to write")] = Path("predictions.csv"),
    top: Annotated[
        int,
        Parameter(help="Classes named for each image: the most probable one and its runners-up"),
    ] = 3,
    max_unreadable: MaxUnreadable = MAX_UNREADABLE,
    links: Annotated[
        Literal["follow"] | None,
        Parameter(name="--data.links", help="Read what links lead to outside the folder, too"),
    ] = None,
) -> str:
    _require_installed()
    from tutelage.commands.inference import predict as classify

    result = classify(network, images, out=out, top=top, max_unreadable=max_unreadable, links=links)
    _report(result.unreadable)
    passed_over = "".join(f"\npassed over: {line}" for line in result.passed_over)
    count = f"{result.classified} images classified, {len(result.unreadable)} unreadable: {out}"
    return count + passed_over


def export(
    network: Network,
    *,
    format: Annotated[str, Parameter(help="Kind of file: onnx, or torch (torch.export)")] = "onnx",
    out: Annotated[Path | None, Parameter(help="The file to write [NETWORK/model.onnx]")] = None,
    data: Annotated[
        str, Parameter(help="Images on which the file must give the same logits as the network")
    ] = "sample",
) -> str:
    _require_installed()
    from tutelage.commands.inference import export as write

    return str(write(network, format=format, out=out, data=data))


def _report(unreadable: Iterable[tuple[str, str]]) -> None:
    for name, reason in unreadable:
        sys.stderr.write(f"unreadable: {name}: {reason}\n")


def _require_installed() -> None:
    from tutelage.cli.installation import require_matching

    require_matching()
