"""Documentation that cannot be run is wrong: every command and every example of the pages is executed."""

import json
import re
import runpy
import shlex
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from support.images.known_sets import write_competition, write_ham10000

pytestmark = pytest.mark.timeout(900)  # a page is walked as a whole, training and all

DOCS = Path(__file__).parents[2] / "docs"
README = Path(__file__).parents[2] / "README.md"


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language in a page."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE
    )


@pytest.fixture(scope="module")
def workplace(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with the reader's images in `photos`."""
    place = tmp_path_factory.mktemp("reader")
    shutil.copytree(images, place / "photos")
    return place


def run_page(page: str, least: int, place: Path, tutelage_command: Callable) -> None:
    """Run every command of a page, in its order."""
    commands = [line for block in blocks(DOCS / page, "bash") for line in block.splitlines()]
    assert len(commands) >= least
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "tutelage"
        answer = tutelage_command(*arguments, cwd=place)
        assert answer.returncode == 0, f"{command}\n{answer.stderr}"


@pytest.fixture(scope="module")
def walked(workplace: Path, tutelage_command: Callable) -> Path:
    """What docs/walk.md leaves: `runs/photos` and the folders of its single steps."""
    run_page("walk.md", 14, workplace, tutelage_command)
    return workplace


@pytest.mark.parametrize(
    ("page", "least"),
    [
        ("losses.md", 5),
        ("data.md", 2),
        ("your-data.md", 2),
        ("your-images.md", 3),
        ("deploy.md", 5),
        ("your-networks.md", 6),
    ],
)
def test_commands_of_a_page_run(
    page: str, least: int, walked: Path, tutelage_command: Callable
) -> None:
    """Every command of a page does what the page says, in its order, after docs/walk.md."""
    run_page(page, least, walked, tutelage_command)


def test_the_page_of_tables_holds(tmp_path: Path, tutelage_command: Callable) -> None:
    """Its commands run on replicas of the data sets that it names, and `check` says what it shows."""
    write_ham10000(tmp_path / "HAM10000")
    write_competition(tmp_path / "birds", numbered=True, test_table=True)
    run_page("your-tables.md", 4, tmp_path, tutelage_command)
    (shown,) = blocks(DOCS / "your-tables.md", "text")
    assert shown in tutelage_command("check", "HAM10000", cwd=tmp_path).stdout


def test_python_of_the_deploy_page_runs(walked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every example of docs/deploy.md runs on the student of docs/walk.md."""
    monkeypatch.chdir(walked)
    for number, example in enumerate(blocks(DOCS / "deploy.md", "python")):
        Path(f"deploy_{number}.py").write_text(example)
        runpy.run_path(f"deploy_{number}.py")


@pytest.mark.parametrize("page", [README, DOCS / "index.md"], ids=lambda page: page.name)
def test_first_example_runs(
    page: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Python that a newcomer sees first runs, here with tiny networks, small images and one epoch."""
    (example,) = blocks(page, "python")
    for old, new in (
        (r'"resnet\d\d[.\w]*"', '"test_resnet", batch_size=40'),
        (r"epochs=\d+", "epochs=1"),
        (r"seeds=3", "seeds=1, data=tutelage.DataConfig(image_size=32), skip_teacher_check=True"),
    ):
        example, count = re.subn(old, new, example)
        assert count, old
    shutil.copytree(images, tmp_path / "photos")
    shutil.copytree(images / "test", tmp_path / "new_photos")
    monkeypatch.chdir(tmp_path)
    Path("example.py").write_text(example)
    runpy.run_path("example.py")
    for made in ("runs/photos/report/report.html", "predictions.csv", "student.onnx"):
        assert Path(made).is_file()


def test_examples_of_the_python_page_run(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every example of docs/python.md runs as it stands."""
    monkeypatch.chdir(workplace)
    examples = blocks(DOCS / "python.md", "python")
    assert len(examples) >= 4
    for number, example in enumerate(examples):
        script = tmp_path / f"example_{number}.py"
        script.write_text(example)
        runpy.run_path(str(script))


def test_a_loss_of_ones_own(
    workplace: Path, tutelage_command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/extend.md as it stands: its files under the names it says, proved, run, and made a recipe."""
    monkeypatch.chdir(workplace)
    page = DOCS / "extend.md"
    (file, proof), (recipe, entry) = blocks(page, "python"), blocks(page, "toml")
    (command,) = re.findall(r"^tutelage run (?:.*\\\n)*.*$", page.read_text(), flags=re.MULTILINE)
    for name, text in (("pairs.py", file), ("preference.toml", recipe)):
        assert page.read_text().count(f"`{name}`") == 1
        Path(name).write_text(text)
    Path("proof.py").write_text(proof)
    runpy.run_path("proof.py")

    program, *words = shlex.split(command.replace("\\\n", " "))
    assert program == "tutelage"
    answer = tutelage_command(*words)
    assert answer.returncode == 0, answer.stderr
    lines = Path("runs/preference/student-0/journal.jsonl").read_text().splitlines()
    epoch = next(event for event in map(json.loads, lines) if event["event"] == "epoch")
    assert set(epoch["train"]["terms"]) == {"label", "kd", "preference"}
    assert epoch["train"]["terms"]["preference"] > 0
    used = tomllib.loads(Path("runs/preference/config.toml").read_text())
    assert used["custom"] == {"preference": {"weight": 0.5, "margin": 2}}

    for name in ("preference.toml", "demo+preference.toml"):
        shown = tutelage_command("show", name)
        assert shown.returncode == 0, shown.stderr
        told = tomllib.loads(shown.stdout)
        assert (told["alpha"], told["custom"]) == (0.7, used["custom"])

    (group,) = tomllib.loads(entry)["project"]["entry-points"]
    from tutelage.config.plugins import GROUP

    assert group == GROUP


def test_what_extending_needs_is_there() -> None:
    """Every place to look that docs/extend.md names is one that there is."""
    from tutelage.losses.layer_pairs import Wants

    text = (DOCS / "extend.md").read_text()
    wants = re.search(r"what it `wants`:(.*?)\. Points", text, flags=re.DOTALL)
    assert wants is not None
    assert set(re.findall(r"`(\w+)`", wants[1])) == set(get_args(Wants))


def test_catalogue_of_losses_is_that_of_the_table() -> None:
    """docs/losses.md lists every term, and says rightly where it looks and whether it is gathered."""
    from tutelage.config.objective import settings_classes
    from tutelage.losses.registry import term_class

    rows = re.findall(
        r"^\| (`[a-z`, -]+) \|(.*)\|$", (DOCS / "losses.md").read_text(), re.MULTILINE
    )
    told = {
        name: [cell.strip() for cell in cells.split("|")]
        for names, cells in rows
        for name in re.findall(r"`([a-z-]+)`", names)
    }
    assert set(told) == {name.replace("_", "-") for name in settings_classes()} - {"label"}
    for name, (_, points, _, gathered, _) in told.items():
        term = term_class(name.replace("-", "_"))
        assert points == getattr(term, "wants", "logits"), name
        assert gathered == ("yes" if term.across_batch else ""), name


def test_objective_of_the_losses_page_holds(tmp_path: Path) -> None:
    """The recipe the page shows is one."""
    from tutelage.commands.sweep import method_of
    from tutelage.config.loss_weights import loss_weights

    (block,) = blocks(DOCS / "losses.md", "toml")
    (tmp_path / "page.toml").write_text(block)
    assert loss_weights(method_of(str(tmp_path / "page.toml"))) == {
        "label": 0.3, "kd": 0.7, "hint": 100.0,
    }  # fmt: skip
