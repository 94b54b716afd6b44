"""Every remedy that a message proposes exists: its verbs, and its flags on a verb that has them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import tutelage
from tutelage.cli.everyday import PAGES
from tutelage.cli.flags import flags_of
from tutelage.cli.parser import app
from tutelage.cli.verbs import GROUPS, VERBS

PACKAGE = Path(tutelage.__file__).parent
GAP = "\0"
"""Stands for what is only known when the message is made."""
OF_OTHERS = {"--help", "--version", "--standalone", "--nproc-per-node"}
"""Flags of every verb, and of `torchrun`."""
VERBS_OF = {
    "commands/evaluate.py": ("evaluate",),
    "commands/inference.py": ("predict", "export"),
    "commands/adopt.py": ("adopt", "train"),
    "commands/sweep.py": ("sweep",),
    "commands/sweep_plan.py": ("sweep",),
    "commands/pack.py": ("pack", "check"),
    "commands/train.py": ("run", "train", "distill"),
    "cli/training.py": ("run", "train", "distill", "sweep"),
    "engine/build.py": ("run", "train", "distill"),
    "models/normalization.py": ("train", "distill", "adopt"),
    "teachers/sanity_check.py": ("run", "distill"),
    "teachers/load.py": ("run", "distill"),
}
"""Files whose messages only some verbs can show."""


class Remedy(NamedTuple):
    """A text that a message proposes, and where it is made."""

    place: str
    text: str


def texts(node: ast.expr) -> Iterator[str]:
    """The texts that an expression can become; what is not known is a gap."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(part.value if isinstance(part, ast.Constant) else GAP for part in node.values)
    elif isinstance(node, ast.IfExp):
        yield from [*texts(node.body), *texts(node.orelse)]
    elif isinstance(node, ast.BinOp):
        yield from (a + b for a in texts(node.left) for b in texts(node.right))
    elif isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.BoolOp):
        yield GAP


def remedies() -> list[Remedy]:
    """All that is given as `fix=`, or assigned to a name `fix`, in the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            values = []
            if isinstance(node, ast.keyword) and node.arg == "fix":
                values.append(node.value)
            elif isinstance(node, ast.Assign | ast.AugAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(
                    isinstance(one, ast.Name) and one.id in ("fix", "_ROOM", "_AGAIN")
                    for one in targets
                ):
                    values.append(node.value)
            found += [Remedy(place, text) for value in values for text in texts(value)]
    return found


def flags_in(text: str) -> list[str]:
    """The flags in a text that are known as a whole: not those that begin or go on with a gap."""
    found = re.findall(rf"(?<![\w{GAP}.-])(--[a-z][a-z0-9.-]*[a-z0-9])(?![\w{GAP}.-]*{GAP})", text)
    return [flag for flag in found if flag not in OF_OTHERS]


def test_there_are_remedies() -> None:
    assert len(remedies()) > 150
    assert sum(len(flags_in(one.text)) for one in remedies()) > 60


@pytest.mark.parametrize("remedy", remedies(), ids=lambda one: f"{one.place}: {one.text[:40]!r}")
def test_remedies_exist(remedy: Remedy) -> None:
    """`tutelage VERB --flag`: the verb's; a flag alone: of the verbs that show it, or of any."""
    for verb, rest in re.findall(r"\btutelage ([a-z]+)\b([^`;,]*)", remedy.text):
        assert verb in VERBS, remedy
        if verb not in GROUPS:
            assert {*flags_in(rest)} <= every_flag(verb), remedy
    if remedy.text.startswith("pip "):
        return
    alone = re.sub(r"\btutelage [a-z]+\b[^`;,]*", "", remedy.text)
    verbs = VERBS_OF.get(remedy.place, tuple(VERBS))
    assert {*flags_in(alone)} <= set().union(*(every_flag(verb) for verb in verbs)), remedy


def every_flag(verb: str) -> set[str]:
    """The flags of a verb: its own, and where it takes settings the short ones and theirs."""
    if verb in PAGES:
        return {*flags_of(verb).names}
    inner = [app[verb][n] for n in app[verb] if n[0] != "-"] if verb in GROUPS else [app[verb]]
    return {
        name
        for one in inner
        for argument in one.assemble_argument_collection()
        for name in argument.names
    }
