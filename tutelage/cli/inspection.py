"""The verbs that tell what there is: compare, report, verify, recipes, show, models."""

import sys
from pathlib import Path

from tutelage.errors import InputError, UsageError
from tutelage.text import escape


def compare(*folders: Path) -> str:
    """A table of finished runs side by side, or of all runs of a job."""
    if not folders:
        raise UsageError("nothing to compare", fix="tutelage compare JOB, or RUN RUN ...")
    from tutelage.reports.write import comparison

    return "\n".join(comparison(folders))


def report(job: Path) -> str:
    """Write the report of a finished job again."""
    from tutelage.reports.write import write_report

    return str(write_report(job))


def verify(*paths: Path) -> str:
    """Read everything that was kept and name each damaged file; exit code 3 where there is one."""
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


def recipes() -> str:
    """The named settings there are."""
    from tutelage.config.recipes import method_names, objective_names, read_recipe, recipe_names

    def told(names: list[str]) -> list[str]:
        firsts = {name: read_recipe(name).comment.partition("\n")[0] for name in names}
        return [f"{name:28}{text}" for name, text in firsts.items()]

    lines = ["Whole jobs:", *told(recipe_names()), ""]
    lines += ["Objectives, laid over a job (--recipe demo+crd):", *told(objective_names()), ""]
    lines += ["Methods, laid over a job (--recipe demo+dml):", *told(method_names())]
    return "\n".join(lines)


def show(recipe: str) -> str:
    """A recipe's settings with every default filled in: itself a valid recipe."""
    from tutelage.config.job import DistillConfig
    from tutelage.config.recipes import read_recipe
    from tutelage.config.schema import build, to_table
    from tutelage.config.toml import to_toml

    job = build(DistillConfig, read_recipe(recipe).table, where=recipe)
    return to_toml(to_table(job)).removesuffix("\n")


def models(*, filter: str = "") -> str:
    """The networks there are, with their weight tags."""
    from tutelage.cli.installation import require_matching

    require_matching()
    import timm

    import tutelage.models.cifar.names  # noqa: F401  so that timm knows them

    lines = []
    for name in timm.list_models(f"*{filter}*"):
        tags = ", ".join(full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*"))
        lines.append(f"{name:40}{tags}")
    return "\n".join(lines)
