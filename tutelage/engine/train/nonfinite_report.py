"""Report skipped steps, and stop training when there are too many."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from tutelage.data.pack.pack import Pack
from tutelage.engine.checkpoint.rotation import latest_folder
from tutelage.engine.train.nonfinite_guard import (
    NONFINITE,
    GuardedStep,
    NonfiniteGuard,
    SkippedSteps,
)
from tutelage.errors import DivergedError
from tutelage.text import escape

if TYPE_CHECKING:
    from tutelage.engine.train.context import FitArguments

IN_A_ROW = 5
"""Steps skipped in a row at which training stops."""

_FEW = 3
"""Images of a batch that are named on the console; the event log has all."""


def report_skipped_steps(guard: NonfiniteGuard, masked: SkippedSteps, args: "FitArguments") -> None:
    """Read the steps ended since the last call, and report those that were skipped.

    Args:
        guard: is read, which waits for the device.
        masked: brought up to date.
        args: of the run.

    Raises:
        DivergedError: `IN_A_ROW` of them came one after the other.
    """
    for step in guard.read():
        if step.mark != NONFINITE:
            masked.taken += 1
            masked.row.clear()
            continue
        _report(step, masked, args)
        if len(masked.row) == IN_A_ROW:
            raise _diverged(f"{IN_A_ROW} steps in a row, up to step {step.step}", masked, args)


def require_any_step(masked: SkippedSteps, args: "FitArguments", *, epoch: int) -> None:
    """Refuse an epoch in which every step was skipped; restart the count for the next.

    Raises:
        DivergedError: all of its steps were left out.
    """
    if masked.row and not masked.taken:
        raise _diverged(f"all steps of epoch {epoch + 1}", masked, args)
    masked.taken = 0


def require_finite_weights(method: nn.Module, args: "FitArguments") -> None:
    """Refuse weights that are not finite: far too high a rate breaks them by a finite gradient.

    Raises:
        DivergedError: one of them is not finite; it is named.
    """
    named = list(method.named_parameters())
    finite = torch.stack([parameter.detach().isfinite().all() for _, parameter in named])
    for (name, _), good in zip(named, finite.tolist(), strict=True):
        if not good:
            raise DivergedError(
                "training stopped itself: a weight is no longer finite",
                where=args.context.folder,
                found=name,
                fix=f"a lower --lr, or --clip-grad 1; {_last_checkpoint(args)}",
            )


def _report(step: GuardedStep, masked: SkippedSteps, args: "FitArguments") -> None:
    ids = [number for part in args.context.world.all_gather(step.ids) for number in part]
    masked.count += 1
    masked.row.append(ids)
    if args.journal is not None:
        args.journal.write("masked", epoch=step.epoch + 1, step=step.step, images=ids)
    args.context.console.line(
        f"{args.context.name}: step {step.step} in epoch {step.epoch + 1} skipped, its loss or gradient "
        f"is not finite: images {_named(ids, args.loader.pack)}"
    )


def _diverged(what: str, masked: SkippedSteps, args: "FitArguments") -> DivergedError:
    batches = [_named(ids, args.loader.pack) for ids in masked.row[-IN_A_ROW:]]
    return DivergedError(
        f"training stopped itself: the loss or its gradient is not finite in {what}",
        where=args.context.folder,
        found="images " + "; ".join(batches),
        expected="finite: such steps change nothing",
        fix=f"a lower --lr, --clip-grad 1, or --precision fp32; {_last_checkpoint(args)}",
    )


def _last_checkpoint(args: "FitArguments") -> str:
    folder = latest_folder(args.context.folder)
    return f"the last finite checkpoint is {folder}" if folder else "no checkpoint was saved before"


def _named(ids: Sequence[int], pack: Pack) -> str:
    """Name the first images of a batch, with their files if the pack still lists them."""
    files = pack.files() if (pack.folder / "images.csv").is_file() else []
    named = [
        f"{number} ({escape(files[number])})" if files else str(number) for number in ids[:_FEW]
    ]
    more = f" and {len(ids) - _FEW} more" if len(ids) > _FEW else ""
    return ", ".join(named) + more
