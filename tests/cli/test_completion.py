"""`tutelage completion`: scripts that their shells accept, and that complete."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tutelage.cli import call
from tutelage.cli.everyday import PAGES
from tutelage.cli.flags import flags_of
from tutelage.cli.verbs import VERBS
from tutelage.errors import UsageError

SHELLS = [
    pytest.param(name, marks=pytest.mark.skipif(not shutil.which(name), reason="no such shell"))
    for name in ("bash", "zsh", "fish")
]

BASH = r"""
source "$1"
read -ra COMP_WORDS <<< "$2"
[[ $2 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_tutelage
printf '%s\n' "${COMPREPLY[@]}"
"""
FISH = 'source $argv[1]; complete -C"$argv[2]"'


@pytest.fixture
def script(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The file of a shell's script."""

    def make(shell: str) -> Path:
        call(["completion", shell])
        (tmp_path / shell).write_text(capsys.readouterr().out)
        return tmp_path / shell

    return make


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_accepts_its_script(shell: str, script) -> None:
    checked = subprocess.run([shell, "-n", script(shell)], capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")


@pytest.mark.parametrize("shell", [*SHELLS[:1], *SHELLS[2:]])
@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("tutelage ru", {"run"}),
        ("tutelage run --te", {"--teacher", "--teacher-weights", "--teacher-epochs", "--temperature"}),
        ("tutelage run --student.l", {"--student.lr", "--student.label-smoothing"}),
        ("tutelage train --losses.kd.dir", {"--losses.kd.direction"}),
        ("tutelage run --recipe dem", {"demo"}),
        ("tutelage run --precision ", {"auto", "fp32", "bf16", "fp16"}),
        ("tutelage evaluate --sp", {"--split"}),
        ("tutelage methods t", {"tf-kd"}),
        ("tutelage cache r", {"remove"}),
        ("tutelage settings losses.hi", {"losses.hint"}),
    ],
)  # fmt: skip
def test_it_completes(shell: str, line: str, wanted: set[str], script) -> None:
    program = {"bash": [BASH, "-"], "fish": [FISH]}[shell]
    done = subprocess.run(
        [shell, "-c", *program, str(script(shell)), line],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {found.split("\t")[0] for found in done.stdout.splitlines()} == wanted, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_verb_and_flag_is_in_it(shell: str, script) -> None:
    """Also says where to put it."""
    text = script(shell).read_text()
    words = set(re.findall(r"[\w.-]+", text))
    assert set(VERBS) <= words
    for verb in PAGES:
        flags = flags_of(verb)
        assert {*flags.own, *flags.short, *(one for one in flags.dotted if "." in one)} <= words
    assert f"tutelage completion {shell} > ~" in text


def test_another_shell() -> None:
    with pytest.raises(UsageError, match="bash"):
        call(["completion", "tcsh"])
