"""The model card: what the network in a folder is, how good, how to use it."""

from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.config.data import DataConfig, preparation
from tutelage.config.job import TrainConfig
from tutelage.config.schema import to_table
from tutelage.data.decode.describe import preparation_steps
from tutelage.data.readers.names import order_note
from tutelage.methods.registry import spec_of
from tutelage.storage.scores import measured_classes

_USE = """```python
import timm
network = timm.create_model("local-dir:FOLDER", pretrained=True).eval()
```
"""

_USE_OWN = """```python
import tutelage
model = tutelage.load("FOLDER")      # {why}
```
"""


def model_card(
    settings: TrainConfig,
    *,
    classes: Sequence[str],
    scores: Mapping[str, Any],
    moment: str,
    prepared: DataConfig,
    limitation: str | None,
    peer: str = "",
) -> str:
    """The text of `README.md` in a model folder.

    Args:
        settings: of the run.
        classes: in the order of the outputs.
        scores: what was measured.
        moment: "last" or "best" epoch.
        prepared: how an image becomes the pixels that it takes.
        limitation: why timm alone cannot load it; None where it can.
        peer: its name where it learned beside the student that the settings are of.
    """
    measured = scores[moment]
    split = "test" if measured["test"] else "val"
    metrics = measured[split]
    some = measured_classes(metrics)
    epoch = f"epoch {measured['epoch']} ({moment}"
    epoch += ", chosen on the validation split)" if moment == "best" else ")"
    who = f"Companion of a student ({peer})" if peer else settings.role.capitalize()
    names = "".join(f"- {_plain(name)}\n" for name in classes)
    note = order_note(classes)
    names = f"They are {note}.\n\n{names}" if note else names
    return f"""---
library_name: {"tutelage" if limitation else "timm"}
pipeline_tag: image-classification
---

# {settings.model}: {len(classes)} classes

{who}, {_taught(settings, peer)}; first weights: {scores["weights"]}; {epoch}.

| measure on {metrics["images"]} {"test" if split == "test" else "validation"} images | |
|---|---|
| accuracy | {100 * metrics["accuracy"]:.2f} % |
| macro-F1{f", {some}" if some else ""} | {metrics["macro_f1"]:.4f} |
| expected calibration error | {metrics["ece"]:.4f} |
| parameters | {scores["cost"]["parameters"]:,} |
| operations an image (multiply and add apart) | {scores["cost"]["flops"]:,} |

## Use

{_USE_OWN.format(why=limitation) if limitation else _USE}
{_preparation(prepared)} divided by 255 and
standardised with the mean and standard deviation in `tutelage.json`.

`tutelage predict FOLDER IMAGES --out predictions.csv` does all of it.

## Classes, in the order of the outputs

{names}"""


def _preparation(prepared: DataConfig) -> str:
    """Describe how an image becomes pixels, as the beginning of a sentence."""
    size = prepared.image_size
    if isinstance(size, int) and not preparation(to_table(prepared)):
        return (
            f"An image is turned upright, made RGB, resized so that its shorter edge has {size} pixels\n"
            f"(bilinear, antialiased), cropped at the centre to {size} x {size},"
        )
    steps = ";\n".join(preparation_steps(prepared))
    return f"An image is turned upright; then:\n{steps};"


def _taught(settings: TrainConfig, peer: str) -> str:
    """Describe how the network was trained, as the middle of a sentence."""
    spec = spec_of(settings)
    if settings.is_specialist:
        return (
            "trained on the labels alone, on as many images of its own classes as of all others; the last "
            "class is all others together, and its probability is too small by that"
        )
    if settings.teacher:
        alpha = settings.alpha if settings.alpha is not None else 0.7
        return f"taught by a teacher (alpha {alpha:g} on the teacher's term)"
    is_teacher = bool(peer) and spec.teacher_among_peers
    if settings.is_student and not spec.needs_teacher and not is_teacher:
        return f"taught without a finished teacher (method {settings.method}: {spec.line})"
    return "trained on the labels alone"


def _plain(name: str) -> str:
    """A class name that cannot break out of its line or become markup."""
    kept = "".join(letter if letter.isprintable() else "?" for letter in name)
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>#|&" else letter for letter in kept)
