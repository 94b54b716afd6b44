"""Steps that were left out: counted, told to a person, and a reason to stop where there are too many."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from tutelage.data.pack.pack import Pack
from tutelage.engine.checkpoint.rotation import latest_folder
from tutelage.engine.train.nonfinite_guard import SKIPPED, GuardedStep, NonfiniteGuard, SkippedSteps
from tutelage.errors import DivergedError
from tutelage.text import escape

if TYPE_CHECKING:
    from tutelage.engine.train.context import FitArguments

IN_A_ROW = 5
"""Steps left out one after the other at which training stops."""

_FEW = 3
"""Images of a batch that are named to a person; the journal has all."""


def report_skipped_steps(
    guard: NonfiniteGuard, masked: SkippedSteps, course: "FitArguments"
) -> None:
    """Read the steps closed since the last time, and report those that were left out.

    Args:
        guard: is read, which waits for the device.
        masked: brought up to date.
        course: of the run.

    Raises:
        DivergedError: `IN_A_ROW` of them came one after the other.
    """
    for step in guard.read():
        if step.mark != SKIPPED:
            masked.taken += 1
            masked.row.clear()
            continue
        _report(step, masked, course)
        if len(masked.row) == IN_A_ROW:
            raise _diverged(f"{IN_A_ROW} steps in a row, up to step {step.step}", masked, course)


def require_any_step(masked: SkippedSteps, course: "FitArguments", *, epoch: int) -> None:
    """At least one step of an epoch was taken; the next epoch's are counted anew.

    Raises:
        DivergedError: all of its steps were left out.
    """
    if masked.row and not masked.taken:
        raise _diverged(f"all steps of epoch {epoch + 1}", masked, course)
    masked.taken = 0


def require_finite_weights(method: nn.Module, course: "FitArguments") -> None:
    """Weights that a checkpoint may hold: a rate far too high breaks them by a gradient that is finite.

    Raises:
        DivergedError: one of them is not finite; it is named.
    """
    named = list(method.named_parameters())
    finite = torch.stack([parameter.detach().isfinite().all() for _, parameter in named])
    for (name, _), good in zip(named, finite.tolist(), strict=True):
        if not good:
            raise DivergedError(
                "training stopped itself: a weight is no longer finite",
                where=course.folder,
                found=name,
                fix=f"a lower --lr, or --clip-grad 1; {_last_checkpoint(course)}",
            )


def _report(step: GuardedStep, masked: SkippedSteps, course: "FitArguments") -> None:
    ids = [number for part in course.world.everyone(step.ids) for number in part]
    masked.count += 1
    masked.row.append(ids)
    if course.journal is not None:
        course.journal.write("masked", epoch=step.epoch + 1, step=step.step, images=ids)
    course.screen.line(
        f"{course.name}: step {step.step} in epoch {step.epoch + 1} left out, its loss or gradient is not "
        f"finite: images {_named(ids, course.loader.pack)}"
    )


def _diverged(what: str, masked: SkippedSteps, course: "FitArguments") -> DivergedError:
    batches = [_named(ids, course.loader.pack) for ids in masked.row[-IN_A_ROW:]]
    return DivergedError(
        f"training stopped itself: the loss or its gradient is not finite in {what}",
        where=course.folder,
        found="images " + "; ".join(batches),
        expected="finite: such steps change nothing",
        fix=f"a lower --lr, --clip-grad 1, or --precision fp32; {_last_checkpoint(course)}",
    )


def _last_checkpoint(course: "FitArguments") -> str:
    folder = latest_folder(course.folder)
    return f"the last finite checkpoint is {folder}" if folder else "no checkpoint was saved before"


def _named(ids: Sequence[int], pack: Pack) -> str:
    """The first images of a batch with their files, where the pack still has their list."""
    files = pack.files() if (pack.folder / "images.csv").is_file() else []
    named = [
        f"{number} ({escape(files[number])})" if files else str(number) for number in ids[:_FEW]
    ]
    more = f" and {len(ids) - _FEW} more" if len(ids) > _FEW else ""
    return ", ".join(named) + more
