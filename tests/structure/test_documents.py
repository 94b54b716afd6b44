"""What the documents state about the project is so: links, files, tables, names, figures."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import tutelage
from tutelage.cli.verbs import VERBS
from tutelage.config.objective import settings_classes
from tutelage.methods.registry import METHODS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
HISTORY = {"CHANGELOG.md", "log.md"}
"""What they name may be gone."""


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


def sources_of(loss: str) -> str:
    """All that a loss's file states about its sources, from which this test imports no torch."""
    kind = settings_classes()[loss].__module__.rpartition(".")[2]
    file = "cross_entropy" if loss == "label" else f"{kind}/{loss}"
    return (ROOT / "tutelage" / "losses" / f"{file}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link or image of a page is a file of the repository."""
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)", text) + re.findall(r"^\[[^]]+\]: (\S+)$", text, re.M)
    for target in targets:
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in HISTORY], ids=ids)
def test_files_that_are_named_exist(page: Path) -> None:
    """A path of the repository in a page is one; NAME, KIND and FAMILY stand for any."""
    folders = "tutelage|tests|benchmarks|docs|examples|scripts"
    named = re.findall(rf"`((?:{folders})/[\w./-]+)`", page.read_text(encoding="utf-8"))
    for path in named:
        pattern = re.sub("NAME|KIND|FAMILY", "*", path)
        assert list(ROOT.glob(pattern.rstrip("/"))), path


def test_lines_of_the_readme_fit() -> None:
    """No line is longer than 120 characters."""
    assert not [line for line in README.splitlines() if len(line) > 120]


def cells(text: str) -> dict[str, str]:
    """Name -> source, of cells such as `kd` [Hinton 2015]."""
    return {
        name: source.strip("[]() ")
        for name, source in re.findall(
            r"\| `([a-z-]+)` (\[[^]]+\]|\([^)]+\))", text.replace("| ", "| | ")
        )
    }


def test_the_readme_lists_every_loss_and_method_with_its_source() -> None:
    """Each has a cell with author and year, as its docstring or declaration has them; links agree."""
    found = cells(README)
    losses = {name.replace("_", "-"): sources_of(name) for name in settings_classes()}
    methods = {name: method.source for name, method in METHODS.items()}
    assert set(found) == {*losses, *methods}
    links = dict(re.findall(r"^\[([^]]+)\]: https://arxiv\.org/abs/(\S+)$", README, re.M))
    for name, source in found.items():
        if name == "label":
            continue
        stated = losses.get(name) or methods[name]
        author, year = re.match(r"(\S+) (\d{4})", source).groups()  # type: ignore[union-attr]
        assert author in stated, name
        assert year in stated, name
        if source in links:
            assert f"arXiv:{links[source]}" in stated, name
    bracketed = set(re.findall(r"\| `[a-z-]+` \[([^]]+)\]", README))
    assert bracketed == set(links)


def test_the_start_page_counts_losses_and_methods() -> None:
    """It states how many there are."""
    text = (DOCS / "index.md").read_text()
    assert f": {len(settings_classes())} losses" in text
    assert f": {len(METHODS)} methods" in text


def test_the_families_of_the_readme_are_those_of_the_code() -> None:
    """A loss stands in the column of its kind, a method in that of its family."""
    kinds = {
        name.replace("_", "-"): ["response", "feature", "relation"].index(
            settings.__module__.rpartition(".")[2]
        )
        for name, settings in settings_classes().items()
    }
    families = {name: ["offline", "online", "self"].index(m.family) for name, m in METHODS.items()}
    for line in README.splitlines():
        for column, cell in enumerate(line.split("|")[1:-1]):
            name = re.match(r" `([a-z-]+)` [\[(]", cell)
            if name is not None:
                assert column == {**kinds, **families}[name[1]], name[1]


def test_the_speed_of_the_readme_is_that_of_the_results() -> None:
    """Each figure is the median of a committed result."""
    for what, name in (("torchdistill", "against-torchdistill"), ("a plain", "against-script")):
        (row,) = re.findall(rf"^\| {what}.*$", README, re.M)
        shown = re.findall(r"(\d\.\d\d) times", row)
        for size, figure in zip((224, 32), shown, strict=True):
            result = json.loads((ROOT / f"benchmarks/results/{name}-{size}.json").read_text())
            assert f"{result['ratio_of_50_epochs']['median']:.2f}" == figure


def test_the_file_tree_of_the_readme_is_that_of_the_package() -> None:
    """Every folder of the package has a line."""
    shown = set(re.findall(r"^      ([a-z]+)/", README, re.M)) | {"samples"}
    folders = {path.name for path in (ROOT / "tutelage").iterdir() if path.is_dir()}
    assert shown == folders - {"__pycache__"}


def test_the_version_to_cite_is_the_package_s() -> None:
    """CITATION.cff, pyproject.toml agree."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(cited["version"]) == project["version"]
    assert cited["license"] == project["license"]


def test_every_page_is_in_the_menu() -> None:
    """The site leads to each page once."""
    menu: list[str] = []

    def collect(entry: object) -> None:
        if isinstance(entry, str):
            menu.append(entry)
        elif isinstance(entry, dict):
            for value in entry.values():
                collect(value)
        elif isinstance(entry, list):
            for value in entry:
                collect(value)

    collect(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    pages = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")]
    assert sorted(menu) == sorted(pages)


def test_the_list_of_commands_is_complete() -> None:
    """docs/reference/cli.md has each command with the sentence that its help begins with."""
    rows = re.findall(
        r"^\| `([a-z]+)` \| (.+) \|$", (DOCS / "reference" / "cli.md").read_text(), re.M
    )
    assert dict(rows) == {name: verb.text for name, verb in VERBS.items()}


def test_the_python_reference_is_complete() -> None:
    """Every public name is on one of its pages."""
    text = "".join((DOCS / "reference" / f"{page}.md").read_text() for page in ("api", "settings"))
    blocks = re.findall(r"^::: tutelage\.(\w+)$", text, re.M)
    whole = [
        import_module(name)
        for name in re.findall(r"^::: (tutelage\.config\.losses\.\w+)$", text, re.M)
    ]
    within = {name for module in whole for name in vars(module)}
    assert set(blocks) <= set(tutelage.__all__)
    assert set(tutelage.__all__) <= {*blocks, *within}


def test_the_reference_of_losses_is_complete() -> None:
    """The pure functions of every loss are there."""
    page = (DOCS / "reference" / "losses.md").read_text()
    shown = re.findall(r"^::: tutelage\.losses\.([\w.]+)$", page, re.M)
    wanted = {
        f"{'cross_entropy' if name == 'label' else f'{kind}.{name}'}.{function}"
        for name, settings in settings_classes().items()
        for kind in [settings.__module__.rpartition(".")[2]]
        for function in re.findall(r"^def (\w+_loss)\(", sources_of(name), re.M)
        if not function.startswith("_")
    }
    assert set(shown) == wanted
    assert len(shown) == len(wanted)
