"""Help: every verb has a page that fits a screen, says everything once, and is there at once."""

import inspect
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module

import pytest

from tutelage.__main__ import main
from tutelage.cli.everyday import PAGES
from tutelage.cli.flags import flags_of, read_command
from tutelage.cli.help_page import default_text, rows, verb_page
from tutelage.cli.parser import app
from tutelage.cli.verbs import GROUPS, VERBS
from tutelage.errors import UsageError

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process, on a terminal of 100 columns: exit code, output, errors."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["tutelage", *words])
        code = main()
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


SUBVERBS = [(group, name) for group in GROUPS for name in app[group] if not name.startswith("-")]


@pytest.mark.parametrize("words", [(), *((verb,) for verb in VERBS), *SUBVERBS], ids=" ".join)
def test_a_page_fits_a_screen(words: tuple[str, ...], command: Command) -> None:
    """At most 60 lines of 100 columns."""
    code, out, err = command(*words, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: tutelage {' '.join(words) or 'COMMAND'}")
    lines = out.splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100
    assert (code, out) == command(*words, "-h")[:2]


def test_the_first_page(command: Command) -> None:
    """Without words, as with --help: every verb with its one sentence, below what it is for."""
    code, out, _ = command()
    assert (code, out) == command("--help")[:2]
    for verb in VERBS.values():
        assert verb.text in " ".join(out.split())
        assert f"\n{verb.group}\n" in out


@pytest.mark.parametrize("verb", PAGES)
def test_a_page_names_all_that_the_verb_takes(verb: str) -> None:
    """The flags of a page that are no settings are the arguments of the verb's function, and no others."""
    function = getattr(import_module(f"tutelage.cli.{VERBS[verb].module}"), verb)
    own = {f"--{name.replace('_', '-')}" for name in inspect.signature(function).parameters}
    assert own - {"--data", "--settings"} == flags_of(verb).own


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in (*PAGES, *GROUPS)])
def test_each_argument_is_explained(verb: str) -> None:
    for argument in app[verb].assemble_argument_collection():
        assert argument.parameter.help, argument.name


def test_headings_of_the_job() -> None:
    """The page of `run` has the groups in which people think."""
    wanted = ["", "Data", "Teacher", "Student", "Distillation", "Training", "Output"]
    assert list(PAGES["run"].groups) == wanted
    page = verb_page("run", "")
    for name in ("--teacher NAME", "--loss NAME+NAME", "--out FOLDER", "[resnet18]", "[0.001]"):
        assert name in page


@pytest.mark.parametrize(
    ("verb", "example"), [(verb, one) for verb, page in PAGES.items() for one in page.examples]
)
def test_examples_can_be_typed(verb: str, example: str) -> None:
    words = shlex.split(example)
    assert words[:2] == ["tutelage", verb]
    left, _ = read_command(verb, words[1:])
    app.parse_args(left)


def test_a_verb_that_there_is_not(command: Command) -> None:
    code, _, err = command("rum", "--help")
    assert code == 2
    assert "run" in err


def test_after_two_dashes_nothing_is_help(command: Command) -> None:
    code, _, err = command("check", "--", "--help")
    assert code == 3
    assert "no such data" in err


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["predict", "-h"], ["settings"]])
def test_no_page_waits_for_large_libraries(words: list[str]) -> None:
    """Neither torch nor numpy is imported; the bound on time leaves room for a busy machine."""
    program = (
        "import sys; from tutelage.cli import call; call(sys.argv[1:])\n"
        "sys.exit(bool({'torch', 'numpy', 'timm', 'rich.console'} & set(sys.modules)))"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    finished = subprocess.run(
        [sys.executable, "-c", program, *words], check=False, capture_output=True, env=os.environ
    )
    assert finished.returncode == 0, finished.stderr
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 1.5  # 0.2 when quiet


def test_no_verb_needs_torch_to_be_understood() -> None:
    modules = ", ".join(sorted({f"tutelage.cli.{verb.module}" for verb in VERBS.values()}))
    program = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_long_name_has_a_line_of_its_own() -> None:
    assert rows([("short", "a"), ("x" * 50, "b")]) == [
        "  short" + " " * 29 + "a",
        f"  {'x' * 50}",
        " " * 36 + "b",
    ]


def test_defaults_as_they_would_be_typed() -> None:
    assert [default_text(value) for value in (0, 0.0, 1e-4, (), {}, ("a", "b"))] == [
        "0", "0", "0.0001", "", "", "a b",
    ]  # fmt: skip


def test_each_verb_has_its_own_flags(command: Command) -> None:
    """`--split` of `evaluate` is a name, that of `run` three numbers; neither has the other's."""
    code, _, err = command("evaluate", "nowhere", "nowhere", "--split", "test")
    assert code == 3
    assert "not a model folder" in err
    code, _, err = command("evaluate", "nowhere", "nowhere", "--splits", "test")
    assert code == 2
    assert "--split" in err
    with pytest.raises(UsageError, match="needs 3 values"):
        read_command("run", ["run", "photos", "--split", "test"])
