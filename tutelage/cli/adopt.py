"""The verb that takes in a finished network."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from tutelage.cli.everyday import DATA

Numbers = tuple[float, float, float] | None


def adopt(
    weights: Annotated[Path, Parameter(help="A weight file in any form, or a run or model folder")],
    *,
    model: Annotated[str, Parameter(help="Name of the timm network that the weights are of")],
    classes: Annotated[
        tuple[str, ...],
        Parameter(
            consume_multiple=True,
            help="Names of the outputs in their order, or a file of them: a name a line, CSV or JSON",
        ),
    ],
    out: Annotated[Path | None, Parameter(help="The folder to make [runs/FILE-MODEL]")] = None,
    mean: Annotated[
        Numbers,
        Parameter(help="Of R, G, B from 0 to 1 [what is recorded with the weights, or by timm]"),
    ] = None,
    std: Annotated[Numbers, Parameter(help="As --mean: the standard deviations")] = None,
    input_size: Annotated[
        int | None, Parameter(help="Side of the input in pixels [what timm records]")
    ] = None,
    data: Annotated[str | None, Parameter(help=f"Measure it at once. {DATA.text}")] = None,
    split: Annotated[
        Literal["val", "test", "train"], Parameter(help="The split of the data to measure")
    ] = "val",
) -> str:
    from tutelage.cli.installation import require_matching

    require_matching()
    from tutelage.commands.adopt import adopt as take_in

    out = out or Path("runs", f"{weights.resolve().name.partition('.')[0]}-{model}")
    made = take_in(
        weights,
        model=model,
        classes=classes,
        out=out,
        mean=mean,
        std=std,
        input_size=input_size,
        data=data,
        split=split,
    )
    preprocess = made.built.classifier.preprocess
    lines = [
        f"{model}, {len(made.classes)} classes, {preprocess.size} pixels; weights: {made.built.weights}",
        made.built.normalization,
    ]
    if found := made.measured:
        low, high = (100 * share for share in found["accuracy_interval"])
        lines.append(
            f"measured on {found['measured']} ({data}): "
            f"{100 * found['accuracy']:.2f} %  (95 % interval {low:.2f} to {high:.2f})"
        )
    return "\n".join([*lines, f"model: {out}"])
