"""The verbs that inspect finished runs: compare, report, verify."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tutelage.errors import InputError, UsageError
from tutelage.text import escape


def compare(
    *folders: Annotated[Path, Parameter(help="The folder of a job, or run folders to compare")],
) -> str:
    if not folders:
        raise UsageError("nothing to compare", fix="tutelage compare JOB, or RUN RUN ...")
    from tutelage.reports.write import comparison

    return "\n".join(comparison(folders))


def report(
    job: Annotated[Path, Parameter(help="The folder of a job that `tutelage run` has finished")],
) -> str:
    from tutelage.reports.write import write_report

    return str(write_report(job))


def verify(
    *paths: Annotated[
        Path, Parameter(help="Run folders, packs, caches, or folders that hold any of them")
    ],
) -> str:
    if not paths:
        raise UsageError("nothing to verify", fix="tutelage verify RUN, PACK, FOLDER ...")
    from tutelage.commands.verify import verify as read_all

    read = [read_all(path) for path in paths]
    whole = sum(len(one.whole) for one in read)
    damaged = {path: told for one in read for path, told in one.damaged.items()}
    for path, told in damaged.items():  # all of them: a message would be cut
        sys.stderr.write(f"damaged: {escape(f'{path}: {told}')}\n")
    if damaged:
        raise InputError(
            f"{_files(len(damaged))} damaged, {_files(whole)} whole",
            fix="a copy of these files, or the command that made them, into another folder",
        )
    return f"{_files(whole)} whole"


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"
