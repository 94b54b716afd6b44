"""A finished network measured: always over the images that its reader thinks of, which are named."""

import dataclasses
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tutelage.commands.evaluate import evaluate
from tutelage.commands.pack import check, pack
from tutelage.commands.train import run as run_job
from tutelage.commands.train import train
from tutelage.config.data import DataConfig
from tutelage.config.job import DistillConfig, NetworkConfig, TrainConfig
from tutelage.data.inspect import format_check
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.run import train_one
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.signals import StopRequest
from tutelage.errors import InputError

SETTINGS = TrainConfig(
    model="test_resnet", weights="none", epochs=1, device="cpu", batch_size=16, precision="fp32",
    data=DataConfig(image_size=16),
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])
        yield


@pytest.fixture(scope="module")
def run(small_pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network trained on the small pack, whose folder does not say which images these were."""
    root = tmp_path_factory.mktemp("use")
    place = RunContext("run", root / "run", root / "cache", Console(quiet=True), StopRequest())
    settings = dataclasses.replace(SETTINGS, epochs=3, lr=3e-3, data=DataConfig())
    return train_one(settings, small_pack, place)


def test_evaluate_equals_scores(run: Path, small_pack: Pack) -> None:
    """Measured again on its own pack, a network has the very numbers of its scores."""
    scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    for folder, moment in ((run, "last"), (run / "model-best", "best")):
        found = dict(evaluate(folder, small_pack.folder))
        assert found.items() >= scores[moment]["val"].items()
        assert found["unreadable"] == []
        assert found["left_out"] == 0
        assert found["measured"] == "80 images of the run's validation split"
        assert found["seen"] == {"train": 0, "val": 80, "test": 0, "unknown": 0}


def test_evaluate_a_folder(run: Path, sample_folder: Path) -> None:
    """The files give the same accuracy as the pack made of them."""
    scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    found = evaluate(run, sample_folder)
    assert found["images"] == 80
    assert found["accuracy"] == scores["last"]["val"]["accuracy"]
    assert found["nll"] == pytest.approx(scores["last"]["val"]["nll"], rel=1e-4)  # other batches


def test_evaluate_some_classes(run: Path, sample_folder: Path, tmp_path: Path) -> None:
    """Fewer classes than the network knows are measured by name; a class it does not know is refused."""
    for name in ("Bag", "Trouser"):
        shutil.copytree(sample_folder / "val" / name, tmp_path / "data" / name)
    found = evaluate(run, tmp_path / "data")
    assert found["images"] == 16
    counted = {row["class"]: row["images"] for row in found["per_class"] if row["images"]}
    assert counted == {"Bag": 8, "Trouser": 8}
    (tmp_path / "data" / "Bag").rename(tmp_path / "data" / "Zebra")
    with pytest.raises(InputError, match="Zebra"):
        evaluate(run, tmp_path / "data")


def test_evaluate_without_labels(run: Path, small_pack: Pack) -> None:
    """A split without labels has nothing to be measured by."""
    with pytest.raises(InputError, match="no labelled images"):
        evaluate(run, small_pack.folder, split="test")


# ------------------------------------------------------------------ images of a run, known again


def noise(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def make_images(root: Path, counts: dict[str, int], start: int = 0) -> Path:
    """Write classes of noise, each image another; `counts` by folder."""
    for place, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(start, start + count):
            noise(1000 * place + number).save(root / name / f"{number:03}.png")
    return root


class Trained:
    """A run on a folder, and what split each file of that folder was in."""

    def __init__(self, root: Path, counts: dict[str, int], **changes: Any) -> None:
        self.data = make_images(root / "data", counts)
        settings = dataclasses.replace(SETTINGS, data=dataclasses.replace(SETTINGS.data, **changes))
        self.run = train(self.data, settings, out=root / "run", quiet=True)
        rows = (self.run / "split.csv").read_text().splitlines()[1:]
        self.split = {row.split(",")[3]: row.split(",")[1] for row in rows}
        self.scores = json.loads((self.run / "scores.json").read_text())["last"]

    def files(self, split: str) -> list[str]:
        return [name for name, of in self.split.items() if of == split]


PLAIN = {"a": 30, "b": 25, "c": 20}
GIVEN = {f"{split}/{name}": 20 for split in ("train", "val", "test") for name in "ab"}
NO_VAL = {f"{split}/{name}": 30 for split in ("train", "test") for name in "ab"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    root = tmp_path_factory.mktemp("trained")
    return {
        "plain": Trained(root / "plain", PLAIN),
        "given": Trained(root / "given", GIVEN),
        "no val": Trained(root / "no-val", NO_VAL),
        "redrawn": Trained(root / "redrawn", GIVEN, splits="redraw", split_seed=3),
    }


@pytest.mark.parametrize("kind", ["plain", "given", "no val", "redrawn"])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_its_own_folder_is_measured_by_its_own_split(
    kind: str, split: str, trained: dict[str, Trained]
) -> None:
    """The figures of each split are those of the run's scores, from folder and from pack."""
    one = trained[kind]
    words = {"train": "training", "val": "validation", "test": "test"}
    for data in (one.data, one.run / "pack"):
        found = evaluate(one.run, data, split=split)  # type: ignore[arg-type]
        count = len(one.files(split))
        assert found["images"] == count
        assert found["measured"] == f"{count} images of the run's {words[split]} split"
        assert found["seen"] == {"train": 0, "val": 0, "test": 0, "unknown": 0} | {split: count}
        if split != "train":
            assert found["confusion"] == one.scores[split]["confusion"]


def test_model_folders_know_their_run(trained: dict[str, Trained]) -> None:
    """The folders of the last and best epoch are those of the run they lie in; alone they know nothing."""
    one = trained["plain"]
    for name in ("model", "model-best"):
        found = evaluate(one.run / name, one.data, split="test")
        assert found["images"] == len(one.files("test"))
    alone = one.run.parent / "alone"
    shutil.copytree(one.run / "model", alone)
    found = evaluate(alone, one.data, split="test")
    assert found["images"] == sum(PLAIN.values())
    assert found["seen"] is None
    assert "is not known" in found["measured"]


def test_all(trained: dict[str, Trained]) -> None:
    """All images of the folder, and how many of them the run was trained on."""
    one = trained["plain"]
    found = evaluate(one.run, one.data, split="all")
    assert found["images"] == sum(PLAIN.values())
    count = len(one.files("train"))
    assert found["measured"] == f"{found['images']} images, {count} of them trained on"
    assert found["seen"] == {split: len(one.files(split)) for split in ("train", "val", "test")} | {
        "unknown": 0
    }


@pytest.mark.parametrize("seed", range(25))
def test_any_mixture_of_old_and_new_images(
    seed: int, trained: dict[str, Trained], tmp_path: Path
) -> None:
    """Images moved, renamed, mixed with new ones, in splits or in none: nothing trained on counts as test."""
    rng = random.Random(seed)
    one = trained[rng.choice(["plain", "given", "no val", "redrawn"])]
    classes = sorted({Path(name).parent.name for name in one.split})
    taken = {
        s: rng.sample(one.files(s), rng.randint(0, len(one.files(s))))
        for s in ("train", "val", "test")
    }
    new = rng.choice([1, 5, 60])
    given = rng.random() < 0.5
    placed: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    counter = iter(range(10_000))
    for split, names in taken.items():
        for name in names:
            where = rng.choice(["train", "val", "test"]) if given else ""
            target = tmp_path / "data" / where / Path(name).parent.name / f"x{next(counter)}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(one.data / name, target)
            placed[where or "train"].append(split)
    for number in range(new):
        where = rng.choice(["train", "val", "test"]) if given else ""
        target = tmp_path / "data" / where / rng.choice(classes) / f"n{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        noise(500_000 + number).save(target)
        placed[where or "train"].append("unknown")
    for split in ("train", "val", "test"):
        if given:
            wanted = [s for s in placed[split] if split == "train" or s != "train"]
            left_out = len(placed[split]) - len(wanted)
        else:
            mixture = placed["train"]
            own = 2 * sum(s != "unknown" for s in mixture) > len(mixture)
            wanted, left_out = [s for s in mixture if s == split or not own], 0
        if not wanted:
            with pytest.raises(InputError, match="split"):
                evaluate(one.run, tmp_path / "data", split=split)  # type: ignore[arg-type]
            continue
        found = evaluate(one.run, tmp_path / "data", split=split)  # type: ignore[arg-type]
        assert found["images"] == len(wanted)
        assert found["left_out"] == left_out
        assert found["seen"] == {s: wanted.count(s) for s in ("train", "val", "test", "unknown")}
        trained_on = wanted.count("train")
        if trained_on and "training" not in found["measured"]:
            assert f"{trained_on} of them trained on" in found["measured"]


def test_a_pack_of_other_images(trained: dict[str, Trained], tmp_path: Path) -> None:
    """A pack made of a run's training images has no test image that the run does not know."""
    one = trained["given"]
    for split in ("train", "val", "test"):
        shutil.copytree(one.data / "train", tmp_path / "data" / split)
    pack(tmp_path / "data", one_size(), out=tmp_path / "pack", quiet=True)
    with pytest.raises(InputError, match="not trained on") as caught:
        evaluate(one.run, tmp_path / "pack", split="test")
    assert "--split all" in str(caught.value)
    found = evaluate(one.run, tmp_path / "pack", split="all")
    assert found["measured"] == "120 images, 120 of them trained on"


def one_size() -> DataConfig:
    return DataConfig(image_size=16)


def test_an_older_version_wrote_no_keys(trained: dict[str, Trained], tmp_path: Path) -> None:
    """Where split.csv has no keys, those of the pack are used; without either nothing is known."""
    one = trained["plain"]
    shutil.copytree(one.run, tmp_path / "run")
    table = tmp_path / "run" / "split.csv"
    table.write_text("\n".join(row.rpartition(",")[0] for row in table.read_text().splitlines()))
    assert evaluate(tmp_path / "run", one.data, split="val")["images"] == len(one.files("val"))
    shutil.rmtree(tmp_path / "run" / "pack")
    assert evaluate(tmp_path / "run", one.data, split="val")["seen"] is None


# ------------------------------------------------------------------ classes that a split lacks


def test_classes_that_a_split_lacks_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `check`, on the screen, in report and card; macro-F1 is over the others."""
    data = make_images(
        tmp_path / "data", {f"{split}/{c}": 12 for split in ("train", "val") for c in "ab"}
    )
    make_images(data, {"train/rare": 2, "train/a": 1}, start=500)
    report = check(data, one_size())
    assert report.missing == {"val": ["rare"]}
    assert not report.clean
    assert "classes without a validation image: 1" in "\n".join(format_check(report))

    job = DistillConfig(
        data=one_size(), seeds=1, device="cpu", skip_teacher_check=True,
        teacher=NetworkConfig(model="test_resnet", weights="none", epochs=1, batch_size=8),
        student=NetworkConfig(model="test_resnet", weights="none", epochs=1, batch_size=8),
    )  # fmt: skip
    run_job(data, job, out=tmp_path / "job")
    assert "no validation image of class rare" in capsys.readouterr().err
    text = (tmp_path / "job" / "report" / "report.md").read_text()
    assert "No validation image of rare." in text
    assert "Macro-F1 (%), 2 of 3 classes measured" in text
    card = (tmp_path / "job" / "student-0" / "model" / "README.md").read_text()
    assert "| macro-F1, 2 of 3 classes measured |" in card
