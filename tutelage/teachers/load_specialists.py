"""Load a generalist and its specialists, and combine them into one teacher."""

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
    """Load the networks of a generalist and its specialists.

    Args:
        folders: run folders of the generalist, then of each specialist.
        classes: classes of the data.

    Raises:
        InputError: no finished run there, or one with other classes.
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
    """List the classes that a specialist distinguishes."""
    return specialist.classes[:-1]


def combine_specialists(
    teachers: Sequence[Teacher], groups: Sequence[Sequence[str]], pack: Pack, *, active: int
) -> SpecialistEnsemble:
    """Combine the generalist (first) and its specialists into one target distribution.

    Args:
        teachers: the generalist and each specialist, whose outputs are its group and the dustbin class.
        groups: the classes of each specialist.
        pack: pack of all classes, on whose training images the specialists were trained.
        active: see `methods.specialists.active`.
    """
    generalist, *specialists = teachers
    corrected = [
        Specialist(teacher, class_numbers(group, pack), group_correction(group, pack))
        for teacher, group in zip(specialists, groups, strict=True)
    ]
    return SpecialistEnsemble(generalist, corrected, active=active)


def class_numbers(group: Sequence[str], pack: Pack) -> tuple[int, ...]:
    """Number the classes of a group as the pack does."""
    return tuple(pack.classes.index(name) for name in group)


def group_correction(group: Sequence[str], pack: Pack) -> float:
    """Return the dustbin correction for the images of other classes that a specialist's training left out."""
    halves = balanced_halves(class_subset(pack, group))
    return dustbin_correction(len(halves.own), len(halves.others))
