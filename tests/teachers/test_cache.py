"""A teacher's cached word equals its live word, and never belongs to anything else."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tutelage.data.loader import reading_loader, training_loader
from tutelage.data.pack import Pack
from tutelage.data.view_settings import Views
from tutelage.errors import InputError
from tutelage.models.build import Built
from tutelage.nouns import Batch, Signal
from tutelage.teachers.cache import Identity, open_cache, write_cache
from tutelage.teachers.live import Live
from tutelage.teachers.open import open_teacher
from tutelage.teachers.source import Teacher

CPU = torch.device("cpu")


@pytest.fixture
def identity(small_pack: Pack) -> Identity:
    return Identity("teacher", small_pack.fingerprint, small_pack.classes, 32, "None")


@pytest.fixture
def live(make_network: Callable[..., Built]) -> Live:
    return Live(make_network().classifier)


@pytest.fixture
def written(tmp_path: Path, live: Live, small_pack: Pack, identity: Identity) -> Path:
    write_cache(tmp_path / "cache", live, small_pack, identity, device=CPU, batch_size=64)
    return tmp_path / "cache"


def test_cached_is_live(written: Path, live: Live, small_pack: Pack, identity: Identity) -> None:
    """At every batch the cache says in fp32 what the network says, to fp16."""
    cached = open_cache(written, identity, pack=small_pack, device=CPU)
    loader = training_loader(small_pack, batch_size=33, views=Views(), seed=1, device=CPU)
    for batch in loader.epoch(3):
        found, expected = cached(batch).logits, live(batch).logits
        assert found is not None
        assert expected is not None
        assert found.dtype == torch.float32
        # fp16 keeps 11 bits; batches of other sizes differ in the last bits of fp32.
        torch.testing.assert_close(found, expected, rtol=2**-11, atol=1e-5)


def test_files_are_plain(written: Path, small_pack: Pack, identity: Identity) -> None:
    """The files open with numpy and JSON alone: one fp16 row a training picture, in order of the ids."""
    logits = np.fromfile(written / "logits.bin", dtype=np.float16).reshape(-1, 10)
    assert len(logits) == len(small_pack.rows("train")) == 200
    manifest = json.loads((written / "manifest.json").read_text(encoding="utf-8"))
    assert manifest == {
        "format": 1,
        "dtype": "float16",
        **identity._asdict(),
        "classes": list(small_pack.classes),
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("teacher", "other"),
        ("pack", "other"),
        ("classes", ("b", "a")),
        ("input_size", 64),
        ("precision", "torch.bfloat16"),
    ],
)
def test_other_identity(
    written: Path, small_pack: Pack, identity: Identity, field: str, value: object
) -> None:
    """A cache of another teacher, pack, class order, size or precision is refused by that name."""
    other = identity._replace(**{field: value})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=f"another {field}") as caught:
        open_cache(written, other, pack=small_pack, device=CPU)
    assert str(written) in str(caught.value)


def test_other_format(written: Path, small_pack: Pack, identity: Identity) -> None:
    """A cache of another format is refused."""
    path = written / "manifest.json"
    path.write_text(json.dumps({**identity.fields(), "format": 2}))
    with pytest.raises(InputError, match="another format"):
        open_cache(written, identity, pack=small_pack, device=CPU)


@pytest.mark.parametrize("damage", ["short", "one byte", "long", "empty", "missing", "manifest"])
def test_damaged(written: Path, small_pack: Pack, identity: Identity, damage: str) -> None:
    """A cache of the wrong length, or without one of its files, is refused by name."""
    path = written / "logits.bin"
    whole = path.read_bytes()
    contents = {"short": whole[:-20], "one byte": whole[:-1], "long": whole + b"\0\0", "empty": b""}
    if damage in contents:
        path.write_bytes(contents[damage])
    elif damage == "missing":
        path.unlink()
    else:
        (written / "manifest.json").write_text("[]")
    with pytest.raises(InputError) as caught:
        open_cache(written, identity, pack=small_pack, device=CPU)
    assert str(written) in str(caught.value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e5])
def test_not_finite(tmp_path: Path, small_pack: Pack, identity: Identity, bad: float) -> None:
    """A logit that fp16 cannot hold is refused with its picture, and nothing is left behind."""
    picture = small_pack.rows("train")[77]

    def teacher(batch: Batch) -> Signal:
        logits = torch.zeros(len(batch.ids), 10)
        logits[batch.ids == picture, 3] = bad
        return Signal(logits, {})

    with pytest.raises(InputError, match="not finite") as caught:
        write_cache(tmp_path / "cache", teacher, small_pack, identity, device=CPU)
    assert f"image {picture}" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_other_shape(tmp_path: Path, small_pack: Pack, identity: Identity) -> None:
    """A teacher of another number of classes is refused with both, and nothing is left behind."""
    seven: Teacher = lambda batch: Signal(torch.zeros(len(batch.ids), 7), {})  # noqa: E731
    with pytest.raises(InputError, match=r"\[200, 7\]") as caught:
        write_cache(tmp_path / "cache", seven, small_pack, identity, device=CPU)
    assert "[200, 10]" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_progress(tmp_path: Path, small_pack: Pack, identity: Identity, live: Live) -> None:
    """While the teacher looks it is told how far it is."""
    seen: list[tuple[int, int]] = []
    write_cache(
        tmp_path / "cache",
        live,
        small_pack,
        identity,
        device=CPU,
        batch_size=150,
        progress=lambda done, count: seen.append((done, count)),
    )
    assert seen == [(150, 200), (200, 200)]


def test_live_is_frozen(live: Live, small_pack: Pack) -> None:
    """A live teacher is in eval mode, wants no gradient, and its word carries none."""
    batch = next(reading_loader(small_pack, np.arange(4), batch_size=4, device=CPU).epoch())
    before = {name: tensor.clone() for name, tensor in live.classifier.state_dict().items()}
    signal = live(batch)
    assert signal.logits is not None
    assert not signal.logits.requires_grad
    assert not live.classifier.training
    assert not any(p.requires_grad for p in live.classifier.parameters())
    after = live.classifier.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_open_teacher(teacher_folder: Path, small_pack: Pack) -> None:
    """A teacher is opened from a model folder or the run folder around it, if its classes fit."""
    classes = small_pack.classes
    assert open_teacher(teacher_folder, classes).classes == classes
    assert open_teacher(teacher_folder.parent, classes).classes == classes
    cases = {
        "another order": tuple(reversed(classes)),
        "knows 10 classes, the data have 9": classes[:9],
        "knows other classes": ("zebra", *classes[1:]),
    }
    for message, others in cases.items():
        with pytest.raises(InputError, match=message):
            open_teacher(teacher_folder, others)


def test_only_training_pictures(written: Path, small_pack: Pack, identity: Identity) -> None:
    """A picture the teacher was never asked about is an error, not another picture's logits."""
    cached = open_cache(written, identity, pack=small_pack, device=CPU)
    rows = small_pack.rows("val")[:4]
    batch = next(reading_loader(small_pack, rows, batch_size=4, device=CPU).epoch())
    with pytest.raises(IndexError):
        cached(batch)
