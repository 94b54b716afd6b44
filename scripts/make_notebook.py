"""Make examples/distill.ipynb from examples/distill.py: a cell for each numbered step.

python scripts/make_notebook.py
"""

import ast
import json
import re
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parents[1] / "examples" / "distill.py"
NOTEBOOK = SCRIPT.with_suffix(".ipynb")


def notebook(script: str) -> dict[str, Any]:
    """Convert a script: its docstring becomes text, each comment `# N. ...` the text above its code."""
    title = ast.get_docstring(ast.parse(script)) or ""
    opening, *about = title.split("\n\n")
    text = "\n\n".join([f"# {opening.rstrip('.')}", *about[1:]])
    _, _, code = script.partition('"""\n\n')
    parts = re.split(r"^(?=# \d\. )", code, flags=re.MULTILINE)
    cells = [_cell("markdown", text), _cell("code", parts[0])]
    for part in parts[1:]:
        lines = part.splitlines()
        count = next(n for n, line in enumerate(lines) if not line.startswith("#"))
        prose = " ".join(line.removeprefix("# ") for line in lines[:count])
        cells += [_cell("markdown", prose), _cell("code", "\n".join(lines[count:]))]
    for number, cell in enumerate(cells):
        cell["id"] = f"step-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def text(script: str) -> str:
    """Return the notebook as it is stored."""
    return json.dumps(notebook(script), indent=1, ensure_ascii=False) + "\n"


def _cell(kind: str, source: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {}}
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return {**cell, "source": source.strip().splitlines(keepends=True)}


if __name__ == "__main__":
    NOTEBOOK.write_text(text(SCRIPT.read_text(encoding="utf-8")), encoding="utf-8")
