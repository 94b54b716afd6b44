"""Write the measured parts of docs/methods.md, its pages and docs/evidence/results.md from committed results.

    python benchmarks/choose.py
    python benchmarks/choose.py --check

Accuracies come from the cells in benchmarks/results/schemes-32, costs from benchmarks/results/schemes.json,
the tables of docs/evidence/results.md from the pages that `tutelage sweep` wrote into benchmarks/results.
`--check` writes nothing and names the pages that differ from the results.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from schemes import table, teaching_of

from tutelage.methods.registry import METHODS
from tutelage.reports.sweep.differences import (
    NOTHING,
    Difference,
    beyond_chance,
    in_per_cent,
    in_points,
    sweep_difference,
)
from tutelage.reports.sweep.page import SweepRows, sort_results
from tutelage.reports.sweep.results import SweepResult, read_results

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
RESULTS = ROOT / "benchmarks" / "results"
CELLS = RESULTS / "schemes-32"
COSTS = RESULTS / "schemes.json"
SWEEPS = ("terms-64", "schemes-32", "teachers-32")
CURVE = "teachers-32.svg"

AT_HAND: dict[str, tuple[str, ...]] = {
    "a trained teacher": ("offline", "rco", "assistants"),
    "several trained teachers, or time to train them": ("multi-teacher", "specialists"),
    "no teacher, but memory for several networks": ("dml", "one", "joint"),
    "no teacher, one network": ("ps-kd", "tf-kd", "cs-kd", "mean-teacher", "byot"),
    "no teacher, but time for several trainings": ("born-again",),
}
"""What a user may have, and the methods that can then be used."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, name what is stale")
    check = parser.parse_args().check
    stale = []
    for page, text in pages(sort_results(read_results(CELLS)), json.loads(COSTS.read_text())):
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            stale.append(str(page.relative_to(ROOT)))
            if not check:
                page.write_text(text, encoding="utf-8")
    if check and stale:
        sys.exit(f"differs from the results: {', '.join(stale)}; run python benchmarks/choose.py")


def pages(ways: SweepRows, facts: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Every page with what was measured, as it should be."""
    costs = facts["methods"]
    chooser = DOCS / "methods.md"
    text = _put(chooser.read_text(encoding="utf-8"), "decisions", decisions(ways, costs))
    text = _put(text, "methods", methods())
    about = (
        f"`python benchmarks/schemes.py`: {_measured_on(facts)}; medians over interleaved rounds, with their "
        "range, on a machine that was busy with other work. *Between steps*: weights, optimizer state and "
        "buffers. What trained teachers need before the first step is not counted.\n\n"
    )
    yield chooser, _put(text, "costs", about + table(facts))
    for method in METHODS:
        page = DOCS / "methods" / f"{method}.md"
        lines = "\n".join(measured(method, ways, facts))
        yield page, _put(page.read_text(encoding="utf-8"), "measured", lines)
    yield from results()


def methods() -> str:
    """Return the list of all methods as a table."""
    rows = ["| method | family | who teaches | source |", "|---|---|---|---|"]
    rows += [
        f"| {_link(name)} | {m.family} | {m.line} | {m.source} |" for name, m in METHODS.items()
    ]
    return "\n".join(rows)


def results() -> Iterator[tuple[Path, str]]:
    """Yield the page with the tables of all sweeps, and the curve that it shows, copied beside it."""
    page = DOCS / "evidence" / "results.md"
    text = page.read_text(encoding="utf-8")
    for name in SWEEPS:
        _, _, table = (RESULTS / f"{name}.md").read_text(encoding="utf-8").partition("\n\n")
        text = _put(text, name, table.strip().replace("\n## ", "\n### "))
    yield page, text
    yield page.with_name(CURVE), (RESULTS / CURVE).read_text(encoding="utf-8")


def decisions(ways: SweepRows, costs: Mapping[str, Any]) -> str:
    """By what is at hand: the most accurate method, and the cheapest that cannot be told from it."""
    rows = [
        "| you have | most accurate here | points over no teacher | significant | take | its points | "
        "its step |",
        "|---|---|---|---|---|---|---|",
    ]
    for have, methods in AT_HAND.items():
        known = [method for method in methods if _students(method, ways)]
        best = max(known, key=lambda method: _mean(_students(method, ways)))
        as_good = [method for method in known if not _worse(method, best, ways)]
        take = min(as_good, key=lambda method: costs[method]["time"]["median"])
        gain, own = _gain(best, ways), _gain(take, ways)
        step = f"{costs[take]['time']['median']:.1f} x{_trainings(take)}"
        verdict = {1: "yes", 0: "no", -1: "yes, worse", None: "too few seeds"}[beyond_chance(gain)]
        rows.append(
            f"| {have} | {_link(best)} | {_told(gain)} | {verdict} | {_link(take)} | {_told(own)} | {step} |"
        )
    student = next(iter(ways.controls))
    text = (
        f"{student.model} on the Fashion-MNIST sample at {student.image_size} pixels, {student.epochs} "
        f"epochs, {len(ways.controls)} seeds, points of accuracy with 95 % intervals. *Take*: the one "
        "with the cheapest step among those that do not differ significantly from the most accurate."
    )
    gains = {name: sweep_difference(own, ways.controls) for name, own in ways.students.items()}
    winners = [name for name, gain in gains.items() if beyond_chance(gain) == 1]
    summary = (
        f"Significantly better than no teacher: {', '.join(sorted(winners))}."
        if winners
        else "None is significantly better than no teacher here."
    )
    return "\n".join([text, "", *rows, "", summary])


def measured(method: str, ways: SweepRows, facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield the figures of one method: accuracy against no teacher and at equal compute, and its cost."""
    own = _students(method, ways)
    if own:
        gain = sweep_difference(own, ways.controls)
        yield (
            f"- Accuracy {in_per_cent([cell.accuracy for cell in own])} %, {_told(gain)} points compared "
            f"with no teacher: {_verdict(gain)} ([all figures](../evidence/results.md#methods-at-32-pixels))."
        )
        longer = sweep_difference(own, ways.equal_compute, equal="plain_epochs")
        if longer is not None:
            yield (
                f"- Compared with plain training of equal compute: {_told(longer)} points, "
                f"{_verdict(longer)}."
            )
        together = [cell.together for cell in own if cell.together is not None]
        if together:
            yield f"- All networks of a run as an ensemble: {100 * mean(together):.2f} %."
    cost = facts["methods"].get(method)
    if cost is not None:
        yield (
            f"- A step takes {cost['time']['median']:.2f} times as long as a plain one and "
            f"{cost['memory']:.2f} times its memory; {cost['stays']:.2f} times as much stays allocated "
            f"between steps ({_measured_on(facts)})."
        )


def _trainings(method: str) -> str:
    """How often a method trains the student, where that is more than once."""
    if method != "born-again":
        return ""
    count = teaching_of(method, "resnet34").methods.born_again.count
    return f", {count + 1} trainings"


def _students(method: str, ways: SweepRows) -> list[SweepResult]:
    return ways.students.get("kd" if method == "offline" else method, [])


def _gain(method: str, ways: SweepRows) -> Difference | None:
    return sweep_difference(_students(method, ways), ways.controls)


def _worse(method: str, best: str, ways: SweepRows) -> bool:
    return beyond_chance(sweep_difference(_students(method, ways), _students(best, ways))) == -1


def _verdict(found: Difference | None) -> str:
    words = {1: "significantly better", -1: "significantly worse", 0: "no significant difference"}
    sign = beyond_chance(found)
    return "too few seeds" if sign is None else words[sign]


def _told(found: Difference | None) -> str:
    apart, between = in_points(found)
    return apart if between == NOTHING else f"{apart} ({between})"


def _mean(cells: Sequence[SweepResult]) -> float:
    return mean(cell.accuracy for cell in cells)


def _link(method: str) -> str:
    return f"[{method}](methods/{method}.md)"


def _measured_on(facts: Mapping[str, Any]) -> str:
    network = facts["networks"]["student"]
    return f"{network} at {facts['pixels']} pixels, batch {facts['batch']}, {facts['computes']}"


def _put(text: str, name: str, what: str) -> str:
    """A page with something else between the marks of that name."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    assert text.count(begin) == text.count(end) == 1, name
    found = re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{what}\n{end}", text, flags=re.DOTALL)
    return str(found)


if __name__ == "__main__":
    main()
