"""Measure a finished network, and say on which images: a figure is over those that its reader thinks of."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, TypedDict

import numpy as np
import torch

from tutelage.commands.inference import MOST, Model, answer_all, load
from tutelage.commands.network_data import open_for_network
from tutelage.commands.run_images import RunImages, run_images
from tutelage.config.data import DataConfig
from tutelage.config.schema import validate
from tutelage.data.pack.pack import Pack, open_pack
from tutelage.data.prepared_alike import require_prepared_alike
from tutelage.data.readers.source import Source
from tutelage.data.readers.split_names import split_of_path
from tutelage.data.requirements import require_readable
from tutelage.data.split_index import SPLIT_NAMES, index_of_pack
from tutelage.errors import InputError
from tutelage.evaluation.metrics import Metrics, scores_of
from tutelage.evaluation.predict import read_logits
from tutelage.text import escape

Part = Literal["train", "val", "test", "all"]


class UnreadableFile(TypedDict):
    """A file that could not be used, and why."""

    file: str
    reason: str


class EvaluationResult(Metrics):
    """The metrics of a network on some images, and which images they are."""

    measured: str
    """Which images, in words."""
    seen: dict[str, int] | None
    """How many were in train, val and test of the run, and how many it never saw; None: not known."""
    left_out: int
    """Images of the wanted split that the run was trained on: they are not measured."""
    unreadable: list[UnreadableFile]
    """Files that could not be used."""


class _Measured(NamedTuple):
    """What was measured: logits [N, C], labels and keys [N], the name of these images, and what was left."""

    logits: np.ndarray
    labels: np.ndarray
    keys: list[int]
    name: str
    left_out: int
    unreadable: list[tuple[str, str]]


def evaluate(
    folder: str | Path, data: str | Path, *, split: Part = "val", max_unreadable: float = MOST
) -> EvaluationResult:
    """Measure a finished network on labelled images, and say which they are.

    Where the data are those of the network's run, `split` is the run's own. Other data are measured by their
    own splits, or all together where they have none. What the run was trained on is left out of val and test.

    Args:
        folder: a run or model folder.
        data: a pack, or whatever can be packed.
        split: which images; `all` takes every labelled one.
        max_unreadable: largest share of files that may be set aside; they are listed in the result.

    Raises:
        InputError: no labelled images, classes the network does not know, too many unreadable files.
    """
    validate(DataConfig(max_unreadable=max_unreadable))
    model, run = load(folder), run_images(Path(folder))
    if (Path(data) / "manifest.json").is_file():
        pack = open_pack(Path(data))
        if pack.fingerprint == run.pack:
            run = run._replace(splits=index_of_pack(pack))
        found = _measure_pack(model, pack, split, run)
    else:
        settings = replace(model.settings(), max_unreadable=max_unreadable)
        source = open_for_network(data, settings, run)
        found = _measure_source(model, source, split, run, max_unreadable)
    if not len(found.labels):
        raise _nothing_to_measure(data, split, found)
    seen = None if run.splits is None else run.splits.count_splits(found.keys)
    return EvaluationResult(
        **scores_of(found.logits, found.labels, model.classes),
        measured=_sentence(found, seen),
        seen=seen,
        left_out=found.left_out,
        unreadable=[UnreadableFile(file=name, reason=why) for name, why in found.unreadable],
    )


def _measure_pack(model: Model, pack: Pack, split: Part, run: RunImages) -> _Measured:
    _require_known(model, pack.classes)
    require_prepared_alike(pack.preparation, model.preparation, where=pack.folder)
    rows = np.arange(len(pack)) if split == "all" else pack.rows(split)
    rows = rows[pack.labels[rows] >= 0]
    own, left_out = pack.fingerprint == run.pack, 0
    if run.splits and not own and split in ("val", "test"):
        fresh = [not run.splits.trained_on(key) for key in pack.keys[rows].tolist()]
        left_out = len(rows) - sum(fresh)
        rows = rows[np.asarray(fresh, bool)]
    logits = read_logits(model.classifier, pack, rows, device=torch.device("cpu"))
    labels = _indices(model, [pack.classes[label] for label in pack.labels[rows]])
    keys = pack.keys[rows].tolist()
    return _Measured(logits, labels, keys, _name(own, split), left_out, pack.quarantine())


def _measure_source(
    model: Model, source: Source, split: Part, run: RunImages, most: float
) -> _Measured:
    _require_known(model, source.classes)
    items = [item for item in source.items if item.label is not None]
    refused, index = source.refused, run.splits
    given = any(item.split for item in items)
    own = index is not None and run.made_from(source)
    if split != "all" and index and own:
        names = index.files(split)
        items = [item for item in items if escape(item.name) in names]
        refused = [one for one in refused if one[0] in names]
    elif split != "all" and given:
        items = [item for item in items if item.split == split]
        refused = [one for one in refused if split_of_path(one[0]) == split]
    answers = answer_all(model, items)
    unreadable = sorted([*refused, *answers.unreadable])
    require_readable(unreadable, len(items) + len(refused), most, flag="--max-unreadable")
    rows, left_out = np.arange(len(answers.items)), 0
    if split != "all" and index and not own:
        parts = [index.split_of(key) for key in answers.keys]
        # A folder without splits that mostly holds the run's images is the run's data, moved or added to.
        own = not given and 2 * sum(part is not None for part in parts) > len(parts)
        if own:
            rows = np.flatnonzero([part == split for part in parts])
        elif split != "train" and given:
            rows = np.flatnonzero([not index.trained_on(key) for key in answers.keys])
            left_out = len(parts) - len(rows)
        if given and [parts[row] for row in rows] == [split] * len(index.files(split)):
            own = True  # the run's images, whatever else lies beside them now
    labels = _indices(model, [str(answers.items[row].label) for row in rows])
    keys = [answers.keys[row] for row in rows]
    part: Part = split if given or own else "all"
    return _Measured(answers.logits[rows], labels, keys, _name(own, part), left_out, unreadable)


def _name(own: bool, split: Part) -> str:
    if split == "all":
        return ""
    return f"of {'the run' if own else 'the data'}'s {SPLIT_NAMES[split]} split"


def _sentence(found: _Measured, seen: dict[str, int] | None) -> str:
    """Say which images were measured.

    Examples: "2,600 images of the run's validation split", "120 images, 96 of them trained on".
    """
    text = f"{len(found.labels):,} images {found.name}".rstrip()
    if found.left_out:
        text += f"; {found.left_out:,} more are left out: the run was trained on them"
    if seen is None:
        return f"{text}; which images the run was trained on is not known"
    if seen["train"] and "training" not in found.name:
        text += f", {seen['train']:,} of them trained on"
    return text


def _nothing_to_measure(data: object, split: Part, found: _Measured) -> InputError:
    if found.left_out:
        return InputError(
            f"no images of split {split} that the run was not trained on",
            where=data,
            found=f"{found.left_out:,} images, all of them in the run's training split",
            fix="--split all, which measures them and says so",
        )
    return InputError(
        "no labelled images",
        where=data,
        found=f"split {split}",
        fix="another --split, or --split all",
    )


def _indices(model: Model, labels: Sequence[str]) -> np.ndarray:
    """Match labels by name, so that the order of the classes does not matter."""
    number = {name: index for index, name in enumerate(model.classes)}
    return np.asarray([number[label] for label in labels], dtype=np.int64)


def _require_known(model: Model, classes: Sequence[str]) -> None:
    unknown = sorted(set(classes) - set(model.classes))
    if unknown:
        raise InputError(
            "the network does not know these classes",
            found=", ".join(unknown[:8]),
            expected=", ".join(model.classes[:8]),
        )
