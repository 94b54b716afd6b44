"""The page of a sweep: differences seed by seed, four verdicts, and names that stay names."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tutelage.reports.statistics.intervals import bootstrap_interval
from tutelage.reports.sweep.differences import sweep_difference
from tutelage.reports.sweep.page import sweep_page, write_sweep_page
from tutelage.reports.sweep.results import SweepResult, read_results
from tutelage.storage.checksums import write_sealed

IMAGES = 400


def first(share: float, images: int = IMAGES) -> NDArray[np.bool_]:
    """A share of the images is right: the first ones."""
    return np.arange(images) < round(share * images)


def cell(
    objective: str, seed: int, right: float | NDArray[np.bool_], **facts: object
) -> SweepResult:
    """A cell of made-up answers: which images are right, or what share of them."""
    answers = first(right) if isinstance(right, float) else right
    role = objective if objective in ("teacher", "control", "control-equal-compute") else "student"
    usual = SweepResult(
        objective=objective, role=role, seed=seed, model="resnet8", identity="i", teacher="t",
        teacher_epochs=None, epochs=5, plain_epochs=5, together=None,
        image_size=32, accuracy=float(answers.mean()), best_accuracy=0.9, nll=1.0, ece=0.1,
        agreement=0.8, seconds_per_epoch=2.0, right=answers, machine="one core", software="tutelage 0",
    )  # fmt: skip
    return usual._replace(**facts)


def cells(objective: str, *shares: float, **facts: object) -> list[SweepResult]:
    return [cell(objective, seed, share, **facts) for seed, share in enumerate(shares)]


def drawn(objective: str, seed: int, share: float) -> SweepResult:
    """A cell whose right answers are spread over the images at random."""
    number = sum(map(ord, objective)) * 100 + seed
    return cell(objective, seed, np.random.default_rng(number).random(IMAGES) < share)


def rows(page: str) -> dict[str, list[str]]:
    """The table by objective, in its order."""
    lines = [line for line in page.splitlines() if line.startswith("|")]
    parts = [[part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    head, rule, *rest = parts
    assert {len(part) for part in parts} == {len(head)}
    assert set("".join(rule)) == {"-"}
    return {part[0]: part[1:] for part in rest}


def groups(page: str) -> dict[str, str]:
    """The verdicts: the first word of each, and the names it is about."""
    found = re.findall(r"^- ([A-Z]\w+) .*?: (.*)\.$", page, flags=re.MULTILINE)
    return dict(found)


CONTROLS = cells("control", 0.50, 0.51, 0.49)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_difference_equals_a_slow_loop(seeds: int) -> None:
    """The mean over seeds, and the wider of scipy's t interval and the bootstrap over images."""
    these = [drawn("kd", seed, 0.6 + 0.02 * seed) for seed in range(seeds)]
    those = [drawn("control", seed, 0.55) for seed in range(seeds)]
    apart, by_image = [], []
    for one, two in zip(these, those, strict=True):
        apart.append(sum(one.right) / IMAGES - sum(two.right) / IMAGES)
    for image in range(IMAGES):
        both = zip(these, those, strict=True)
        by_image.append(sum(int(a.right[image]) - int(b.right[image]) for a, b in both) / seeds)
    scale = np.std(apart, ddof=1) / np.sqrt(seeds)
    over_seeds = stats.t.interval(0.95, seeds - 1, loc=np.mean(apart), scale=scale)
    over_images = bootstrap_interval(np.array(by_image))
    wider = max(over_seeds, tuple(over_images), key=lambda interval: interval[1] - interval[0])
    found = sweep_difference(these, those)
    assert found is not None
    assert found.seeds == seeds
    assert found.mean == pytest.approx(np.mean(apart))
    assert found.interval == pytest.approx(wider, rel=1e-6)


def test_each_interval_can_be_the_wider() -> None:
    """Scattered seeds make that over seeds rule, equal seeds that over images."""
    scattered = sweep_difference(cells("kd", 0.7, 0.5, 0.6), CONTROLS)
    assert scattered is not None
    assert scattered.interval is not None
    apart = np.array([0.2, -0.01, 0.11])
    half = stats.t.ppf(0.975, 2) * apart.std(ddof=1) / np.sqrt(3)
    assert scattered.interval == pytest.approx((0.1 - half, 0.1 + half))
    even = sweep_difference(cells("kd", 0.60, 0.61, 0.59), CONTROLS)
    assert even is not None
    assert even.interval is not None
    assert even.interval.width == pytest.approx(2 * 1.96 * np.sqrt(0.1 * 0.9 / IMAGES), rel=0.1)


def test_pairs_are_of_one_seed() -> None:
    """Cells are paired by seed, in whatever order they come; a seed that only one has is left out."""
    ours, theirs = cells("kd", 0.7, 0.5, 0.6), CONTROLS
    assert (
        sweep_difference(ours[::-1], theirs)
        == sweep_difference(ours, theirs[::-1])
        == sweep_difference(ours, theirs)
    )
    some = sweep_difference(ours, [*theirs[1:], cell("control", 9, 0.1)])
    assert some is not None
    assert (some.seeds, some.mean) == (2, pytest.approx((0.5 - 0.51 + 0.6 - 0.49) / 2))


def test_no_common_seed() -> None:
    """Without a seed in common there is no difference, with one there is no interval."""
    assert sweep_difference(cells("kd", 0.5), [cell("control", 1, 0.5)]) is None
    assert sweep_difference(cells("kd", 0.5), []) is None
    assert sweep_difference([], CONTROLS) is None
    alone = sweep_difference(cells("kd", 0.75), CONTROLS)
    assert alone is not None
    assert (alone.mean, alone.interval, alone.seeds) == (0.25, None, 1)


@pytest.mark.parametrize(
    "other",
    [{"model": "resnet14"}, {"epochs": 6}, {"image_size": 64}, {"right": first(0.9, IMAGES + 8)}],
)
def test_unlike_cells_are_not_compared(other: dict[str, object]) -> None:
    """Another network, budget, size or number of images is no fair pair, and no cause to fail."""
    ours = [one._replace(**other) for one in cells("kd", 0.9, 0.9, 0.9)]
    assert sweep_difference(ours, CONTROLS) is None
    mixed = sweep_difference([*ours[:2], cell("kd", 2, 0.59)], CONTROLS)
    assert mixed is not None
    assert (mixed.seeds, mixed.mean) == (1, pytest.approx(0.1))
    page = sweep_page([*CONTROLS, *ours])
    assert rows(page)["kd"][2:4] == ["-", "-"]
    assert groups(page) == {"Fewer": "kd"}


def test_order_of_the_page() -> None:
    """The control first, then by mean accuracy, equal ones by name, however good the control is."""
    made = [
        *cells("worst", 0.1, 0.2, 0.3),
        *cells("b", 0.4, 0.4, 0.4),
        *cells("a", 0.5, 0.4, 0.3),
        *cells("control", 0.9, 0.9, 0.9),
        *cells("best", 0.6, 0.8, 0.7),
        *cells("teacher", 0.99),
    ]
    for order in (made, made[::-1]):
        assert list(rows(sweep_page(order))) == ["control", "best", "a", "b", "worst"]
    assert sweep_page(made) == sweep_page(made[::-1])


def test_every_verdict() -> None:
    """Above zero, below zero, across zero, and too few seeds: each objective is in its group by name."""
    made = [
        *CONTROLS,
        *cells("good", 0.65, 0.66, 0.64),
        *cells("fine", 0.61, 0.60, 0.62),
        *cells("bad", 0.35, 0.36, 0.34),
        *cells("equal", 0.50, 0.51, 0.49),
        *cells("scattered", 0.9, 0.4, 0.6),
        *cells("early", 0.99, 0.99),
        *cells("first", 0.01),
        cell("apart", 7, 0.3),
    ]
    page = sweep_page(made)
    assert groups(page) == {
        "Better": "good, fine",
        "No": "scattered, equal",
        "Worse": "bad",
        "Fewer": "early, apart, first",
    }
    assert "Worse than no teacher, beyond chance: bad." in page
    assert "No clear difference from no teacher: scattered, equal." in page
    assert "about 0.4 would be expected" in page


def test_what_stands_out_beside_kd() -> None:
    """An objective better or worse than KD is named, whatever it is beside the control."""
    made = [*CONTROLS, *cells("kd", 0.50, 0.51, 0.49), *cells("like", 0.50, 0.51, 0.49)]
    made += [*cells("above", 0.60, 0.61, 0.59), *cells("below", 0.40, 0.41, 0.39)]
    page = sweep_page([*made, *cells("early", 0.99, 0.99)])
    assert "- Better than kd, beyond chance: above." in page
    assert "- Worse than kd, beyond chance: below." in page
    assert "than kd" not in sweep_page([*CONTROLS, *cells("above", 0.60, 0.61, 0.59)])


def test_committed_pages_are_those_of_their_cells() -> None:
    """Every committed page of a sweep is made of the cells beside it, to the letter."""
    results = Path(__file__).parents[2] / "benchmarks" / "results"
    folders = [folder for folder in results.iterdir() if folder.is_dir()]
    assert folders
    for folder in folders:
        page = folder.parent / f"{folder.name}.md"
        curve = f"{folder.name}.svg"
        assert page.read_text(encoding="utf-8") == sweep_page(read_results(folder), curve=curve)


def test_no_verdict_without_a_control() -> None:
    """Without controls nothing is claimed about them, and empty groups are not named."""
    page = sweep_page([*cells("kd", 0.9, 0.9, 0.9), *cells("hint", 0.9, 0.9, 0.9)])
    assert groups(page) == {"Fewer": "hint, kd"}
    assert "would be expected" not in page


def test_the_verdict_is_that_of_the_interval_shown() -> None:
    """What is told in words agrees with the interval in the table, for drawn answers of every strength."""
    made = [drawn("control", seed, 0.5) for seed in range(3)]
    for name, share in {"n": 0.3, "m": 0.47, "l": 0.5, "k": 0.53, "j": 0.7}.items():
        made += [drawn(name, seed, share) for seed in range(3)]
    page = sweep_page(made)
    told = {name: word for word, names in groups(page).items() for name in names.split(", ")}
    for name, row in rows(page).items():
        if name != "control":
            low, high = map(float, row[3].split(" to "))
            expected = "Better" if low > 0 else "Worse" if high < 0 else "No"
            assert told[name] == expected
    assert len(set(told.values())) == 3


def test_figures_of_a_row() -> None:
    """Seeds, mean and deviation, difference to control and to kd, agreement, ECE and seconds, by hand."""
    made = [
        *CONTROLS,
        *cells("kd", 0.60, 0.61, 0.59),
        *cells("hint", 0.55, 0.56, 0.57, agreement=0.5, ece=0.25, seconds_per_epoch=3.4),
        *cells("solo", 0.7, agreement=None),
    ]
    found = rows(sweep_page(made))
    seeds, accuracy, control, _, kd, _, agrees, ece, seconds = found["hint"]
    assert (seeds, accuracy) == ("3", "56.00 ± 1.00")
    assert (control, kd) == ("+6.00", "-4.00")
    assert (agrees, ece, seconds) == ("50.0", "25.0", "3")
    assert found["solo"][:7] == ["1", "70.00", "+20.00", "-", "+10.00", "-", "-"]
    assert found["control"][2:6] == ["-"] * 4
    assert found["kd"][2] == "+10.00"
    assert found["kd"][4:6] == ["-"] * 2


def test_nothing_is_no_less_than_nothing() -> None:
    """A difference that rounds to zero has no minus before it."""
    ours = [c._replace(accuracy=c.accuracy - 1e-9) for c in cells("kd", 0.50, 0.51, 0.49)]
    assert rows(sweep_page([*CONTROLS, *ours]))["kd"][2:4] == ["+0.00", "+0.00 to +0.00"]


def test_names_are_only_names() -> None:
    """Markdown and HTML in the name of an objective, network or machine is text, and breaks no row."""
    name = "a|b<script>*x*`c`[d](e)\n| f"
    made = [
        *CONTROLS,
        *cells(name, 0.9, 0.9, 0.9, model="m|<b>", machine="<i>|\n# x", software="*s*"),
    ]
    made += cells("teacher", 0.9, model="t|<u>")
    page = sweep_page(made)
    assert len(rows(page)) == 2
    assert not re.search(r"<[a-zA-Z/!]", page)
    assert not re.search(r"(?<!\\)\]\(", page)
    assert re.findall(r"(?<!\\)[*`]", page) == ["`", "`"]  # around `tutelage sweep`
    assert [line for line in page.splitlines() if line.startswith("#")] == [
        "# Students side by side"
    ]


def test_where_the_figures_come_from() -> None:
    """Network, epochs, size, images, machine, and how many teachers there were."""
    made = [
        *CONTROLS,
        cell("kd", 0, 0.6, teacher="other", teacher_epochs=8),
        cell("kd", 1, 0.6, teacher="one", teacher_epochs=8),
        cell("dml", 0, 0.6, teacher="own"),
        *cells("teacher", 0.875, model="resnet56"),
    ]
    page = sweep_page(made)
    assert "Student resnet8, 5 epochs at 32 pixels; last epoch on 400 validation images." in page
    assert "Teacher resnet56: 87.5 %." in page
    assert "from 7 cells on one core; tutelage 0." in page
    assert "2 trainings of the same teacher" in page
    assert "trainings" not in sweep_page(CONTROLS)


def table(page: str, head: str) -> list[dict[str, str]]:
    """The rows of the table whose first column has that head."""
    lines = page.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith(f"| {head} |"))
    parts = []
    for line in lines[begin:]:
        if not line.startswith("|"):
            break
        parts.append([part.strip() for part in line.split("|")[1:-1]])
    return [dict(zip(parts[0], row, strict=True)) for row in parts[2:]]


def test_equal_compute() -> None:
    """A student that costs seven epochs is held against plain training of seven, not of five or nine."""
    made = [
        *CONTROLS,
        *cells("control-equal-compute", 0.60, 0.61, 0.59, epochs=7, plain_epochs=7),
        *cells("control-equal-compute", 0.90, 0.91, 0.89, epochs=9, plain_epochs=9),
        *cells("mean-teacher", 0.55, 0.56, 0.54, plain_epochs=7),
        *cells("ps-kd", 0.55, 0.56, 0.54),
    ]
    page = sweep_page(made)
    found = {row["objective"]: row for row in table(page, "objective")}
    assert list(found) == ["control", "mean-teacher", "ps-kd"]
    assert found["mean-teacher"]["minus control"] == found["ps-kd"]["minus control"] == "+5.00"
    assert found["mean-teacher"]["minus equal compute"] == "-5.00"
    assert found["ps-kd"]["minus equal compute"] == "-"
    assert "- Better than no teacher, beyond chance: mean-teacher, ps-kd." in page
    assert (
        "- Worse than training without a teacher at equal compute, beyond chance: mean-teacher."
        in page
    )
    assert "equal compute" not in sweep_page([*CONTROLS, *cells("ps-kd", 0.5)])


def test_together() -> None:
    """What several networks say together has a column where there are such, the mean over seeds."""
    made = [*CONTROLS, cell("dml", 0, 0.6, together=0.7), cell("dml", 1, 0.6, together=0.8)]
    found = {row["objective"]: row for row in table(sweep_page(made), "objective")}
    assert [row["ensemble %"] for row in found.values()] == ["-", "75.0"]
    assert "ensemble" not in sweep_page(CONTROLS)


def lengths_of_a_teacher() -> list[SweepResult]:
    made = [*CONTROLS]
    for epochs, share in ((10, 0.6), (1, 0.4), (2, 0.52)):
        made += cells(f"kd@{epochs}", share, share + 0.01, share - 0.01, teacher_epochs=epochs)
        made += cells("teacher", share + 0.2, epochs=epochs, plain_epochs=epochs)
    return made


def test_lengths_of_the_teacher() -> None:
    """Students by how long their teacher was trained, in that order, beside what it reached itself."""
    rows_ = table(sweep_page(lengths_of_a_teacher(), curve="x.svg"), "student's objective")
    assert [row["teacher's epochs"] for row in rows_] == ["1", "2", "10"]
    assert [row["teacher %"] for row in rows_] == ["60.00", "72.00", "80.00"]
    assert [row["student %"] for row in rows_] == ["40.00 ± 1.00", "52.00 ± 1.00", "60.00 ± 1.00"]
    assert [row["minus control"] for row in rows_] == ["-10.00", "+2.00", "+10.00"]
    assert "](x.svg)" in sweep_page(lengths_of_a_teacher(), curve="x.svg")
    assert "teacher's epochs" not in sweep_page([*CONTROLS, *cells("kd", 0.6, teacher_epochs=8)])
    assert "teacher's epochs" not in sweep_page(
        [*CONTROLS, *cells("odd@name", 0.6, teacher_epochs=8)]
    )


def test_the_curve_is_drawn_beside_the_page(tmp_path: Path) -> None:
    """An SVG of these numbers alone: the same bytes each time, others for other numbers."""
    made = lengths_of_a_teacher()
    for name, some in (("one", made), ("two", [*made[:-1], made[-1]._replace(accuracy=0.1)])):
        keep(tmp_path / name, some)
        write_sweep_page(tmp_path / name)
    first = (tmp_path / "one.svg").read_bytes()
    assert first.startswith(b"<?xml")
    assert b"<text" not in first  # text is drawn as paths, so that no font is needed
    write_sweep_page(tmp_path / "one")
    assert (tmp_path / "one.svg").read_bytes() == first != (tmp_path / "two.svg").read_bytes()
    assert "](one.svg)" in (tmp_path / "one.md").read_text()


def keep(folder: Path, some: list[SweepResult]) -> None:
    """Cells as files."""
    folder.mkdir()
    for number, one in enumerate(some):
        facts = {**one._asdict(), "right": np.packbits(one.right).tobytes().hex()}
        facts |= {"format": 3, "name": f"{number:03}", "images": IMAGES}
        write_sealed(folder / f"{number:03}.json", facts)


def test_a_page_beside_its_cells(tmp_path: Path) -> None:
    """The page of a folder lies beside it, the same bytes each time; a teacher alone has one, too."""
    folder = tmp_path / "objectives"
    keep(folder, [*CONTROLS, *cells("kd", 0.6), *cells("teacher", 0.7)])
    path = write_sweep_page(folder)
    assert path == tmp_path / "objectives.md"
    first = path.read_bytes()
    assert first.decode() == sweep_page(read_results(folder))
    assert write_sweep_page(folder).read_bytes() == first
    assert "70.0 %" in sweep_page(cells("teacher", 0.7))
