"""A teacher's cached answers equal its live ones, are asked once, and never belong to anything else."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tutelage.config.augmentation import AugmentationConfig
from tutelage.data.decode.prepare import pixel_key
from tutelage.data.loading.loader import reading_loader, training_loader
from tutelage.data.pack.pack import Pack
from tutelage.distributed import ALONE
from tutelage.errors import InputError
from tutelage.models.build import BuiltModel
from tutelage.teachers.cache.cached import (
    CachedTeacher,
    CacheQuery,
    audit_cache,
    fill_cache,
    missing_outputs,
)
from tutelage.teachers.cache.key import CacheKey
from tutelage.teachers.cache.table import (
    INDEX,
    CacheTable,
    open_cache_table,
    read_manifest,
    write_manifest,
)
from tutelage.teachers.cache.writer import create_cache
from tutelage.teachers.live import LiveTeacher
from tutelage.teachers.teacher import Teacher
from tutelage.types import Batch, TeacherOutput

CPU = torch.device("cpu")
FIXED = AugmentationConfig()


@pytest.fixture
def identity(small_pack: Pack) -> CacheKey:
    statistics = (small_pack.mean, small_pack.std)
    return CacheKey(
        "teacher", "net", "torch", small_pack.classes, 32, 32, *statistics, "None", True, "cpu", {}
    )


@pytest.fixture
def live(make_network: Callable[..., BuiltModel]) -> LiveTeacher:
    return LiveTeacher(make_network().classifier)


def written(
    folder: Path,
    identity: CacheKey,
    teacher: Teacher,
    pack: Pack,
    views: AugmentationConfig = FIXED,
    number: int = 1,
    batch_size: int = 64,
    progress: Callable[[int, int], None] = lambda _done, _count: None,
) -> tuple[CacheTable, CacheQuery]:
    """A table that holds the answers about so many views."""
    question = CacheQuery(pack, views, number, CPU)
    create_cache(folder, identity, {"logits": (len(pack.classes),)})
    table = open_cache_table(folder)
    fill_cache(table, teacher, question, world=ALONE, batch_size=batch_size, progress=progress)
    return open_cache_table(folder), question


def counted(teacher: Teacher, asked: list[int]) -> Teacher:
    """A teacher that notes which images it is asked about."""

    def ask(batch: Batch) -> TeacherOutput:
        asked.extend(batch.ids.tolist())
        return teacher(batch)

    return ask


@pytest.mark.parametrize(
    ("views", "number"),
    [
        (FIXED, 1),
        (AugmentationConfig(flip=True, translate=2, num_views=2), 2),
        (AugmentationConfig(crop_scale=0.4, flip=True), 3),
        (AugmentationConfig(mixup=0.4), 2),
        (AugmentationConfig(cutmix=1.0, flip=True, num_views=3), 3),
        (AugmentationConfig(color_jitter=(0.4, 0.4, 0.4, 0.1), rotation=20, num_views=2), 2),
        (AugmentationConfig(rand_augment=(2, 9), random_erasing=0.5, mixup=0.2), 2),
        (AugmentationConfig(trivial_augment=True, flip=True), 2),
    ],
    ids=["fixed", "two views", "schedule", "mixup", "cutmix", "jitter", "rand", "trivial"],
)
def test_cached_is_live(
    tmp_path: Path,
    live: LiveTeacher,
    small_pack: Pack,
    identity: CacheKey,
    views: AugmentationConfig,
    number: int,
) -> None:
    """At every batch of every epoch the cache says in fp32 what the network says, to fp16."""
    table, question = written(tmp_path / "cache", identity, live, small_pack, views, number)
    cached = CachedTeacher(table, question)
    loader = training_loader(small_pack, batch_size=33, views=views, seed=1, device=CPU)
    for epoch in range(number + 1 if views.num_views or views.fixed else number):
        for batch in loader.epoch(epoch):
            found, expected = cached(batch).logits, live(batch).logits
            assert found is not None
            assert expected is not None
            assert found.dtype == torch.float32
            # fp16 keeps 11 bits of what is left after the largest logit.
            torch.testing.assert_close(found, expected, rtol=2**-11, atol=2e-3)


def test_half_precision_costs_nothing(
    tmp_path: Path, live: LiveTeacher, small_pack: Pack, identity: CacheKey
) -> None:
    """Less the row's largest logit, fp16 diverges from the teacher by less than 1e-6 nats."""
    table, question = written(tmp_path / "cache", identity, live, small_pack)
    rows = small_pack.rows("train")
    batch = next(reading_loader(small_pack, rows, batch_size=len(rows), device=CPU).epoch())
    word, kept = live(batch).logits, CachedTeacher(table, question)(batch).logits
    assert word is not None
    assert kept is not None
    for temperature in (1.0, 4.0):
        true = torch.log_softmax(word.double() / temperature, 1)
        stored = torch.log_softmax(kept.double() / temperature, 1)
        assert float((true.exp() * (true - stored)).sum(1).abs().max()) < 1e-6


def test_files_are_plain(
    tmp_path: Path, live: LiveTeacher, small_pack: Pack, identity: CacheKey
) -> None:
    """The files open with numpy and JSON alone."""
    written(tmp_path / "cache", identity, live, small_pack)
    logits = np.fromfile(tmp_path / "cache" / "logits.bin", np.float16).reshape(-1, 10)
    index = np.fromfile(tmp_path / "cache" / "index.bin", INDEX)
    train = small_pack.rows("train")
    assert sorted(index["key"]) == sorted(set(small_pack.keys[train]))
    assert logits.max(axis=1).tolist() == [0.0] * len(index)
    assert set(index["view"]) == {0}
    manifest = json.loads((tmp_path / "cache" / "manifest.json").read_text(encoding="utf-8"))
    about = {**identity.fields(), "shapes": {"logits": [10]}, "grows": False, "answers": len(index)}
    assert {key: manifest[key] for key in about} == about
    assert manifest.keys() - about.keys() == {"index", "seal"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("teacher", "other"),
        ("model", "resnet50"),
        ("libraries", "torch 2.0"),
        ("classes", ("b", "a")),
        ("stored_size", 64),
        ("input_size", 64),
        ("mean", (0.0, 0.0, 0.0)),
        ("std", (1.0, 1.0, 1.0)),
        ("precision", "torch.bfloat16"),
        ("folded", False),
        ("device", "cuda"),
        ("views", {"flip": True}),
        ("partners", "a pack"),
        ("points", ("layer4",)),
    ],
)
def test_other_identity(tmp_path: Path, identity: CacheKey, field: str, value: object) -> None:
    """A cache of anything else is refused by the name of the field, and has another name itself."""
    assert field in identity.fields()
    other = identity._replace(**{field: value})  # type: ignore[arg-type]
    assert other.name != identity.name
    create_cache(tmp_path / "cache", identity, {"logits": (10,)})
    with pytest.raises(InputError, match=f"another {field}") as caught:
        create_cache(tmp_path / "cache", other, {"logits": (10,)})
    assert str(tmp_path / "cache") in str(caught.value)


def test_every_field_was_tried() -> None:
    """The list above is whole."""
    marks = test_other_identity.pytestmark  # type: ignore[attr-defined]
    assert {field for field, _ in marks[0].args[1]} == set(CacheKey._fields)


def test_only_new_images_are_asked_about(
    tmp_path: Path, live: LiveTeacher, small_pack: Pack, identity: CacheKey
) -> None:
    """A second student asks nothing; an image that is new, or changed, is asked about alone."""
    asked: list[int] = []
    written(tmp_path / "cache", identity, counted(live, asked), small_pack)
    assert len(asked) == len(set(small_pack.keys[small_pack.rows("train")]))
    asked.clear()
    written(tmp_path / "cache", identity, counted(live, asked), small_pack)
    assert asked == []
    new = small_pack.rows("train")[5]
    changed = _with_another(small_pack, new)
    table, question = written(tmp_path / "cache", identity, counted(live, asked), changed)
    assert asked == [new]
    assert missing_outputs(table, question) == []


def _with_another(pack: Pack, row: int) -> Pack:
    """The pack with another image in a row."""
    images, keys = np.array(pack.images), np.array(pack.keys)
    images[row] ^= 1
    keys[row] = pixel_key(images[row])
    return dataclasses.replace(pack, images=images, keys=keys)


def test_longer_schedule_asks_for_the_new_views_alone(
    tmp_path: Path, live: LiveTeacher, small_pack: Pack, identity: CacheKey
) -> None:
    """More epochs, same student views: only the new epochs' views are asked about."""
    views = AugmentationConfig(flip=True)
    table, _ = written(tmp_path / "cache", identity, live, small_pack, views, 2)
    before, asked = len(table), list[int]()
    table, _ = written(tmp_path / "cache", identity, counted(live, asked), small_pack, views, 3)
    assert len(asked) == len(table) - before == before // 2


def test_interrupted(
    tmp_path: Path, live: LiveTeacher, small_pack: Pack, identity: CacheKey
) -> None:
    """What was answered before a stop counts; the rest is asked the next time, to the same bytes."""

    def stop(done: int, _count: int) -> None:
        if done >= 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "one", identity, live, small_pack, batch_size=50, progress=stop)
    assert len(open_cache_table(tmp_path / "one")) == 100
    asked: list[int] = []
    written(tmp_path / "one", identity, counted(live, asked), small_pack, batch_size=50)
    written(tmp_path / "two", identity, live, small_pack, batch_size=50)
    assert len(asked) == len(open_cache_table(tmp_path / "two")) - 100
    for name in ("index.bin", "logits.bin"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("file", ["logits.bin", "index.bin"])
def test_torn_record(
    tmp_path: Path, live: LiveTeacher, small_pack: Pack, identity: CacheKey, file: str
) -> None:
    """What a killed process left behind the last whole record is cut off and asked again."""
    whole, _ = written(tmp_path / "cache", identity, live, small_pack)
    facts = read_manifest(tmp_path / "cache")
    write_manifest(tmp_path / "cache", facts, whole.index[:100], grows=True)
    path = tmp_path / "cache" / file
    if file == "index.bin":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        path.write_bytes(path.read_bytes() + b"torn")
    asked: list[int] = []
    table, _ = written(tmp_path / "cache", identity, counted(live, asked), small_pack)
    assert len(asked) == (1 if file == "index.bin" else 0)
    assert len(table) == len(whole)
    assert len(table.damaged()) == 0


@pytest.mark.parametrize("file", ["logits.bin", "index.bin"])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_table_at_rest_has_its_length(
    tmp_path: Path, live: LiveTeacher, small_pack: Pack, identity: CacheKey, file: str, change: int
) -> None:
    """Where nobody was writing, a file that is shorter or longer than it was is damaged."""
    written(tmp_path / "cache", identity, live, small_pack)
    path = tmp_path / "cache" / file
    content = path.read_bytes()
    path.write_bytes(content[:change] if change < 0 else content + b"x")
    with pytest.raises(InputError, match=r"cut short|longer") as caught:
        open_cache_table(tmp_path / "cache")
    assert file in str(caught.value)


def test_an_answer_is_held_to_its_checksum(
    tmp_path: Path, live: LiveTeacher, small_pack: Pack, identity: CacheKey
) -> None:
    """A changed answer is refused when it is read, with what to type; all others can be read."""
    table, _ = written(tmp_path / "cache", identity, live, small_pack)
    with (tmp_path / "cache" / "logits.bin").open("r+b") as file:
        file.seek(20 * 37)
        file.write(b"?")
    table.logits(np.delete(np.arange(len(table)), 37))
    with pytest.raises(InputError, match="answer 37 ") as caught:
        table.logits(np.arange(len(table)))
    assert "tutelage cache remove" in str(caught.value)


def test_a_table_that_is_cut_while_it_is_open(
    tmp_path: Path, live: LiveTeacher, small_pack: Pack, identity: CacheKey
) -> None:
    """The length is looked at before answers are read: beyond the end of a file, a map ends the process."""
    table, _ = written(tmp_path / "cache", identity, live, small_pack)
    (tmp_path / "cache" / "logits.bin").write_bytes(b"")
    with pytest.raises(InputError, match="cut short"):
        table.logits(np.arange(3))


def test_cut_short(tmp_path: Path, live: LiveTeacher, small_pack: Pack, identity: CacheKey) -> None:
    """Answers that are in the index but not in the file are an error that says what to type."""
    written(tmp_path / "cache", identity, live, small_pack)
    path = tmp_path / "cache" / "logits.bin"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="cut short") as caught:
        open_cache_table(tmp_path / "cache")
    assert "tutelage cache remove" in str(caught.value)


def test_damage_is_found(
    tmp_path: Path, live: LiveTeacher, small_pack: Pack, identity: CacheKey
) -> None:
    """One changed byte is found by its record's checksum."""
    written(tmp_path / "cache", identity, live, small_pack)
    path = tmp_path / "cache" / "logits.bin"
    content = bytearray(path.read_bytes())
    content[20 * 37] ^= 1
    path.write_bytes(content)
    assert open_cache_table(tmp_path / "cache").damaged().tolist() == [37]


def test_audit(tmp_path: Path, live: LiveTeacher, small_pack: Pack, identity: CacheKey) -> None:
    """A teacher that now says something else is found out; the same teacher passes."""
    views = AugmentationConfig(flip=True, num_views=2)
    table, question = written(tmp_path / "cache", identity, live, small_pack, views, 2)
    audit_cache(table, live, question, tolerance=0.01)

    def other(batch: Batch) -> TeacherOutput:
        said = live(batch).logits
        assert said is not None
        return TeacherOutput(said.roll(1, dims=1), {})

    with pytest.raises(InputError, match="no longer gives") as caught:
        audit_cache(table, other, question, tolerance=0.01)
    assert "tutelage cache remove" in str(caught.value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e6])
def test_not_finite(tmp_path: Path, small_pack: Pack, identity: CacheKey, bad: float) -> None:
    """A logit that fp16 cannot hold is refused with its image, and no part of its batch counts."""
    image = small_pack.rows("train")[77]

    def teacher(batch: Batch) -> TeacherOutput:
        logits = torch.zeros(len(batch.ids), 10)
        logits[batch.ids == image, 3] = bad
        return TeacherOutput(logits, {})

    with pytest.raises(InputError, match="not finite") as caught:
        written(tmp_path / "cache", identity, teacher, small_pack)
    assert str(small_pack.keys[image]) in str(caught.value)
    assert small_pack.keys[image] not in open_cache_table(tmp_path / "cache").index["key"]


def test_other_shape(tmp_path: Path, small_pack: Pack, identity: CacheKey) -> None:
    """A teacher of another number of classes is refused with both."""
    seven: Teacher = lambda batch: TeacherOutput(torch.zeros(len(batch.ids), 7), {})  # noqa: E731
    with pytest.raises(InputError, match=r"\[64, 7\]") as caught:
        written(tmp_path / "cache", identity, seven, small_pack)
    assert "[64, 10]" in str(caught.value)


def test_unknown_image(
    tmp_path: Path, live: LiveTeacher, small_pack: Pack, identity: CacheKey
) -> None:
    """An image the teacher was never asked about is an error, not another image's logits."""
    table, question = written(tmp_path / "cache", identity, live, small_pack)
    changed = _with_another(small_pack, small_pack.rows("train")[3])
    cached = CachedTeacher(table, question._replace(pack=changed))
    rows = small_pack.rows("train")[:4]
    batch = next(reading_loader(small_pack, rows, batch_size=4, device=CPU).epoch())
    with pytest.raises(InputError, match="no answer"):
        cached(batch)


def test_a_writer_that_died(
    tmp_path: Path, live: LiveTeacher, small_pack: Pack, identity: CacheKey
) -> None:
    """A table whose writer died at the very end is at rest again, in the same bytes, when it is next used."""
    folder = tmp_path / "cache"
    table, _ = written(folder, identity, live, small_pack)
    at_rest = (folder / "manifest.json").read_bytes()
    write_manifest(folder, read_manifest(folder), table.index, grows=True)
    assert (folder / "manifest.json").read_bytes() != at_rest
    written(folder, identity, live, small_pack)
    assert (folder / "manifest.json").read_bytes() == at_rest
