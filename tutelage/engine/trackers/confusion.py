"""A confusion matrix as an image."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tutelage.reports.render.figures import style

_NAMED = 30
"""Classes up to which each has its name at the axes."""

_NUMBERED = 12
"""Classes up to which each cell has its number."""


def draw_confusion(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> NDArray[np.uint8]:
    """Draw a confusion matrix.

    Args:
        confusion: [C, C] images, a row for each label, a column for each prediction.
        classes: their names.

    Returns:
        [H, W, 3]; the shade of a cell is its share of the row.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = np.asarray(confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(9.0, 3.5 + 0.28 * len(classes))
    with mpl.rc_context(style(dark=False).rules):
        figure = Figure(figsize=(side, side), dpi=100, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        axes.set_xlabel("prediction")
        axes.set_ylabel("label")
        if len(classes) <= _NAMED:
            names = [name.replace("$", r"\$") for name in classes]  # a pair of them is a formula
            axes.set_xticks(range(len(names)), names, rotation=90)
            axes.set_yticks(range(len(names)), names)
        if len(classes) <= _NUMBERED:
            for (row, column), count in np.ndenumerate(counts):
                colour = "white" if shares[row, column] > 0.5 else "#24262b"
                axes.text(column, row, str(count), ha="center", va="center", color=colour)
        canvas.draw()  # type: ignore[no-untyped-call]
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
