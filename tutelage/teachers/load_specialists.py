"""A generalist and its specialists as the teacher of a run: opened, made one word, and measured together."""

from collections.abc import Sequence
from pathlib import Path

from tutelage.data.class_subset import class_subset
from tutelage.data.loading.balanced_halves import balanced_halves
from tutelage.data.pack.pack import Pack
from tutelage.errors import InputError
from tutelage.models.model_folder import SavedModel
from tutelage.storage.run_results import open_results
from tutelage.teachers.load import open_specialist, open_teacher
from tutelage.teachers.specialist_ensemble import (
    Specialist,
    SpecialistEnsemble,
    dustbin_correction,
)
from tutelage.teachers.teacher import Teacher


def open_specialists(folders: Sequence[Path], classes: Sequence[str]) -> list[SavedModel]:
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


def specialist_group(specialist: SavedModel) -> tuple[str, ...]:
    """The classes that a specialist tells apart."""
    return specialist.classes[:-1]


def combine_specialists(
    teachers: Sequence[Teacher], groups: Sequence[Sequence[str]], pack: Pack, *, active: int
) -> SpecialistEnsemble:
    """One word of a generalist, the first of these, and its specialists.

    Args:
        teachers: the generalist and each specialist, who answers for its group and the dustbin.
        groups: the classes of each specialist.
        pack: of all classes, whose training images the specialists have learned from.
        active: see `methods.specialists.active`.
    """
    generalist, *specialists = teachers
    members = [
        Specialist(teacher, _numbers(group, pack), _correction(group, pack))
        for teacher, group in zip(specialists, groups, strict=True)
    ]
    return SpecialistEnsemble(generalist, members, active=active)


def _numbers(group: Sequence[str], pack: Pack) -> tuple[int, ...]:
    return tuple(pack.classes.index(name) for name in group)


def _correction(group: Sequence[str], pack: Pack) -> float:
    """What a specialist's dustbin lacks, by the training images that it has learned from."""
    halves = balanced_halves(class_subset(pack, group))
    return dustbin_correction(len(halves.own), len(halves.others))
