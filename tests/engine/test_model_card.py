"""The model card: what the network is, its numbers, how to use it, and names that cannot break it."""

import dataclasses
from typing import Any

import pytest

from tutelage.config.data import DataConfig
from tutelage.config.job import TrainConfig
from tutelage.engine.model_card import model_card

DEFAULT = DataConfig(image_size=32)
METRICS = {"images": 80, "accuracy": 0.8912, "macro_f1": 0.8765, "ece": 0.0321}
SCORES: dict[str, Any] = {
    "weights": "file w.pt",
    "last": {"epoch": 5, "val": METRICS, "test": None},
    "best": {"epoch": 3, "val": METRICS, "test": {**METRICS, "images": 70, "accuracy": 0.5}},
    "cost": {"parameters": 11_181_642, "flops": 74_000_000},
}


def card(
    moment: str = "last",
    classes: tuple[str, ...] = ("a", "b"),
    limitation: str | None = None,
    prepared: DataConfig = DEFAULT,
    **changes: Any,
) -> str:
    settings = dataclasses.replace(TrainConfig(model="resnet18", role="student"), **changes)
    return model_card(
        settings,
        classes=classes,
        scores=SCORES,
        moment=moment,
        prepared=prepared,
        limitation=limitation,
    )


def test_numbers() -> None:
    """The numbers are those of the scores, and say of which images and which epoch."""
    text = card()
    for part in ("80 validation images", "89.12 %", "0.8765", "0.0321", "11,181,642", "74,000,000"):
        assert part in text
    assert "epoch 5 (last)" in text
    assert "first weights: file w.pt" in text
    best = card("best")
    assert "70 test images" in best
    assert "50.00 %" in best
    assert "chosen on the validation split" in best


@pytest.mark.parametrize(("alpha", "said"), [(None, "0.7"), (0.25, "0.25"), (1.0, "1")])
def test_taught(alpha: float | None, said: str) -> None:
    """A taught network says so, with alpha; one trained alone says that."""
    assert f"(alpha {said} on the teacher's term)" in card(teacher=("t",), alpha=alpha).replace(
        "\n", " "
    )
    assert "trained on the labels alone" in card()


def test_use() -> None:
    """What timm can load is told for timm; a changed stem or a module of one's own for Tutelage."""
    assert "timm.create_model" in card()
    assert "library_name: timm" in card()
    for why in ("timm's layout cannot hold a changed stem", "the network is a module of your own"):
        other = card(limitation=why)
        assert why in other
        assert "timm.create_model" not in other
        assert "tutelage.load" in other
        assert "library_name: tutelage" in other


def test_class_names_stay_in_their_line() -> None:
    """A class name is one line of plain text, whatever it is made of."""
    names = (
        "a\n# heading",
        "<script>",
        "[x](http://y)",
        "`code`",
        "Zürich 日本",
        "-x",
        "\u202eabc",
    )
    lines = card(classes=names).split("\n")
    start = lines.index("## Classes, in the order of the outputs") + 2
    listed = [line for line in lines[start:] if line]
    assert len(listed) == len(names)
    assert listed[1] == "- \\<script\\>"
    assert listed[2].startswith("- \\[x\\]")
    assert listed[4] == "- Zürich 日本"
    assert "\u202e" not in listed[6]
    assert "\n# heading" not in card(classes=names)


def test_classes_that_are_numbers() -> None:
    """The card says in which order they stand, an old one included; other names need no word."""
    assert "whole numbers in numeric order: output 2 is class 2." in card(classes=("0", "1", "2"))
    old = card(classes=("0", "1", "10", "2"))
    assert "whole numbers in the order of text: output 2 is class 10." in old
    assert "whole numbers" not in card()


def test_preparation() -> None:
    """What an image goes through on its way to the network is told, step by step."""
    text = card().replace("\n", " ")
    assert (
        "made RGB, resized so that its shorter edge has 32 pixels (bilinear, antialiased)" in text
    )
    other = DataConfig(image_size=(24, 64), fit="pad", channels=1, range=(0, 4095))
    text = card(prepared=other).replace("\n", " ")
    assert "values 0 to 4095 of more than 8 bits become 0 to 255; grey; resized to fit into" in text
    assert "padded with white to 24 x 64; divided by 255" in text
