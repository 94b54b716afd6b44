"""One specialist: what it sees of the images, the weights it goes on from, and what it must be given.

Hinton, Vinyals and Dean 2015, arXiv:1503.02531, section 5.2: it begins as the generalist, but for the last
layer, which has a class for each of its group and one for all others.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.config.job import TrainConfig
from tutelage.data.class_subset import class_subset
from tutelage.data.loading.balanced_halves import balanced_halves, refuse_mixed
from tutelage.data.pack.pack import Pack
from tutelage.data.readers.source import Split
from tutelage.engine.measure import SPLITS, score_split
from tutelage.engine.teachers import Teachers
from tutelage.errors import UsageError
from tutelage.models.build import BuiltModel
from tutelage.models.model_folder import network_folder
from tutelage.models.weights import WeightSource, load_weights
from tutelage.storage.run_results import open_results
from tutelage.teachers.load_specialists import class_numbers, group_correction, specialist_group
from tutelage.teachers.specialist_ensemble import (
    combine_outputs,
    specialist_output,
)


def require_group(settings: TrainConfig) -> None:
    """Refuse a specialist without classes of its own, or with mixed views, and such classes for other roles.

    Raises:
        UsageError: a specialist without classes, or with views of two images; classes for another role.
    """
    special, known = settings.is_specialist, bool(settings.specialist.classes)
    if special and not known:
        raise UsageError(
            "a specialist without classes of its own",
            expected="--specialist.classes NAME NAME ...",
            fix="tutelage run --method specialists, which finds them",
        )
    if known and not special:
        raise UsageError(
            "classes of a specialist, and the run is none",
            found=f"role = {settings.role}, specialist.classes = {', '.join(settings.specialist.classes)}",
            fix="--role specialist",
        )
    if special:
        refuse_mixed(settings)


def specialist_pack(settings: TrainConfig, pack: Pack) -> Pack:
    """Restrict the pack to what a run sees: all of it, unless it is a specialist's.

    Raises:
        InputError: classes that the data do not have, or all of them.
    """
    return class_subset(pack, settings.specialist.classes) if settings.is_specialist else pack


def init_from_generalist(built: BuiltModel, generalist: Path) -> BuiltModel:
    """Initialize a network from a generalist's weights, but for the classifier, which stays random.

    Args:
        built: of the same kind, for the classes of a group and the dustbin.
        generalist: its run folder or model folder.

    Raises:
        InputError: weights of another network.
    """
    path = network_folder(generalist) / "model.safetensors"
    config: Any = getattr(built.classifier.network, "pretrained_cfg", None) or {}
    load_weights(built.classifier.network, path, classifier=config.get("classifier"))
    return built._replace(weights=WeightSource("file", path))


def specialist_facts(pack: Pack) -> dict[str, Any]:
    """Describe a specialist for scores.json: its classes, and its images of them and of others."""
    halves = balanced_halves(pack)
    return {
        "classes": list(pack.classes[:-1]),
        "own": len(halves.own),
        "others": len(halves.others),
        "drawn": halves.drawn,
    }


def measure_specialists(teachers: Teachers, pack: Pack) -> dict[str, Any]:
    """Measure a generalist and its specialists together, from the predictions of their own runs.

    Args:
        teachers: the generalist and its specialists, whose settings name their run folders.
        pack: of all classes.

    Returns:
        `active`, `groups`, and for each split (None without labels): `together`, all metrics of the
        combination; `generalist`, its accuracy; `in_groups`, both accuracies over the images of classes in
        any group; `by_group`, the same for each group.
    """
    folders = [Path(folder) for folder in teachers.settings.teacher]
    groups = [specialist_group(saved) for saved in teachers.models[1:]]
    active = teachers.settings.methods.specialists.active
    found: dict[str, Any] = {"active": active, "groups": [list(group) for group in groups]}
    for split in SPLITS:
        answers = [_answers(folder, split) for folder in folders]
        found[split] = _measured(split, answers, groups, pack, active)
    return found


def _measured(
    split: Split,
    answers: Sequence[NDArray[np.float32]],
    groups: Sequence[Sequence[str]],
    pack: Pack,
    active: int,
) -> dict[str, Any] | None:
    generalist, *specialists = answers
    opinions = [
        specialist_output(
            torch.from_numpy(said), class_numbers(group, pack), group_correction(group, pack)
        )
        for said, group in zip(specialists, groups, strict=True)
    ]
    together = combine_outputs(torch.from_numpy(generalist), opinions, active=active).numpy()
    metrics = score_split(split, {split: together}, pack, {})
    if metrics is None:
        return None
    labels = pack.labels[pack.rows(split)]
    right = {
        "generalist": generalist.argmax(1) == labels,
        "together": together.argmax(1) == labels,
    }
    members = [np.isin(labels, class_numbers(group, pack)) for group in groups]
    return {
        "together": metrics,
        "generalist": _shares(right, labels >= 0)["generalist"],
        "in_groups": _shares(right, np.logical_or.reduce(members)),
        "by_group": [_shares(right, member) for member in members],
    }


def _shares(right: dict[str, NDArray[np.bool_]], member: NDArray[np.bool_]) -> dict[str, Any]:
    """Count the images of some classes, and the share each predicts correctly; None where there are none."""
    count = int(member.sum())
    shares = {name: float(found[member].mean()) if count else None for name, found in right.items()}
    return {"images": count, **shares}


def _answers(folder: Path, split: Split) -> NDArray[np.float32]:
    return open_results(folder).logits(split)
