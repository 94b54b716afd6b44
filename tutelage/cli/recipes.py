"""`tutelage recipes` and `tutelage show`: the named settings."""

from typing import Annotated

from cyclopts import Parameter

Recipe = Annotated[str, Parameter(help="A name, several (demo+crd), or the path of a TOML file")]


def recipes() -> str:
    from tutelage.config.recipes import method_names, objective_names, read_recipe, recipe_names

    def listed(names: list[str]) -> list[str]:
        firsts = {name: read_recipe(name).comment.partition("\n")[0] for name in names}
        return [f"{name:28}{text}" for name, text in firsts.items()]

    lines = ["Whole jobs:", *listed(recipe_names()), ""]
    lines += ["Losses, laid over a job (--recipe demo+crd):", *listed(objective_names()), ""]
    lines += ["Methods, laid over a job (--recipe demo+dml):", *listed(method_names())]
    return "\n".join(lines)


def show(recipe: Recipe) -> str:
    from tutelage.config.job import DistillConfig
    from tutelage.config.recipes import read_recipe
    from tutelage.config.schema import build, to_table
    from tutelage.config.toml import to_toml

    job = build(DistillConfig, read_recipe(recipe).table, where=recipe)
    return to_toml(to_table(job)).removesuffix("\n")
