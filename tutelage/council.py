"""A generalist and its specialists as the teacher of a run: opened, made one word, and measured together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.data.grouped import grouped
from tutelage.data.halves import halves_of
from tutelage.data.pack import Pack
from tutelage.data.sources import Split
from tutelage.errors import InputError
from tutelage.measuring import SPLITS, score_on
from tutelage.models.folder import Saved
from tutelage.results import open_results
from tutelage.teachers.council import Council, Member, combined, dustbin_correction, opinion
from tutelage.teachers.open import open_specialist, open_teacher
from tutelage.teachers.source import Teacher


def open_council(folders: Sequence[Path], classes: Sequence[str]) -> list[Saved]:
    """The networks of a generalist and its specialists.

    Args:
        folders: run folders of the generalist, then of each specialist.
        classes: of the data.

    Raises:
        InputError: no finished run there, or one of other classes.
    """
    first, *others = folders
    for folder in folders:
        if not (folder / "run.json").is_file():
            raise InputError(
                "a run folder that is not finished, or none", where=folder, expected="run.json"
            )
        open_results(folder)
    return [
        open_teacher(first, classes),
        *(open_specialist(folder, classes) for folder in others),
    ]


def group_of(specialist: Saved) -> tuple[str, ...]:
    """The classes that a specialist tells apart."""
    return specialist.classes[:-1]


def sit_together(
    teachers: Sequence[Teacher], groups: Sequence[Sequence[str]], pack: Pack, *, active: int
) -> Council:
    """One word of a generalist, the first of these, and its specialists.

    Args:
        teachers: the generalist and each specialist, who answers for its group and the dustbin.
        groups: the classes of each specialist.
        pack: of all classes, whose training pictures the specialists have learned from.
        active: see `methods.specialists.active`.
    """
    generalist, *specialists = teachers
    members = [
        Member(teacher, _numbers(group, pack), _correction(group, pack))
        for teacher, group in zip(specialists, groups, strict=True)
    ]
    return Council(generalist, members, active=active)


def measure_council(
    folders: Sequence[Path], groups: Sequence[Sequence[str]], pack: Pack, *, active: int
) -> dict[str, Any]:
    """How good a generalist and its specialists are together, from what their own runs said.

    Args:
        folders: run folders of the generalist and of each specialist.
        groups: the classes of each specialist.
        pack: of all classes.
        active: see `methods.specialists.active`.

    Returns:
        `active`, `groups`, and for each split (None without labels): `together`, all metrics of the
        combination; `generalist`, its accuracy; `in_groups`, both accuracies over the pictures of classes in
        any group; `by_group`, the same for each group.
    """
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
        opinion(torch.from_numpy(said), _numbers(group, pack), _correction(group, pack))
        for said, group in zip(specialists, groups, strict=True)
    ]
    together = combined(torch.from_numpy(generalist), opinions, active=active).numpy()
    metrics = score_on(split, {split: together}, pack, {})
    if metrics is None:
        return None
    labels = pack.labels[pack.rows(split)]
    right = {
        "generalist": generalist.argmax(1) == labels,
        "together": together.argmax(1) == labels,
    }
    members = [np.isin(labels, _numbers(group, pack)) for group in groups]
    return {
        "together": metrics,
        "generalist": _shares(right, labels >= 0)["generalist"],
        "in_groups": _shares(right, np.logical_or.reduce(members)),
        "by_group": [_shares(right, member) for member in members],
    }


def _shares(right: dict[str, NDArray[np.bool_]], member: NDArray[np.bool_]) -> dict[str, Any]:
    """Images of some classes, and the share that each names rightly; None where there are no images."""
    count = int(member.sum())
    shares = {name: float(found[member].mean()) if count else None for name, found in right.items()}
    return {"images": count, **shares}


def _answers(folder: Path, split: Split) -> NDArray[np.float32]:
    return open_results(folder).logits(split)


def _numbers(group: Sequence[str], pack: Pack) -> tuple[int, ...]:
    return tuple(pack.classes.index(name) for name in group)


def _correction(group: Sequence[str], pack: Pack) -> float:
    """What a specialist's dustbin lacks, by the training pictures that it has learned from."""
    halves = halves_of(grouped(pack, group))
    return dustbin_correction(len(halves.own), len(halves.others))
