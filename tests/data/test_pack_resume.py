"""Packing that is cut off: the next run continues, and the bytes are those of a pack made in one go."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.images.plant import Plant
from tutelage.config.data import DataConfig
from tutelage.data.decode.prepare import Prepared
from tutelage.data.pack import entries
from tutelage.data.pack import store as storing
from tutelage.data.pack.lock import pack_lock
from tutelage.data.pack.write import write_pack
from tutelage.data.readers.open import open_source
from tutelage.data.readers.source import Item, Source
from tutelage.errors import InputError, Interrupted, MachineError, UsageError

DATA = DataConfig(image_size=16, max_unreadable=0.5)
BAD = {"train/bag/00.png": b"bad", "train/coat/1x.png": b"", "val/coat/9.png": b"<html></html>"}
NAMES = [f"train/{kind}/{n}.png" for kind in ("bag", "coat") for n in range(12)]
NAMES += [f"val/{kind}/{n}.png" for kind in ("bag", "coat") for n in range(3)]
ALL = len(NAMES) + len(BAD)


@pytest.fixture
def root(plant: Plant) -> Path:
    """30 images, and three files among them that cannot be used."""
    return plant(*NAMES, **BAD)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks, and each is noted at once, so that there is much to stop between."""
    monkeypatch.setattr(storing, "DURABLE_SECONDS", -1.0)
    monkeypatch.setattr(storing, "chunk_of", lambda _: 4)


def counted(source: Source) -> tuple[Source, list[str]]:
    """The source, and a list of the names that have been read from it."""
    read: list[str] = []

    def note(name: str, original: Callable) -> Callable:
        return lambda: (read.append(name), original())[1]

    items = [item._replace(read=note(item.name, item.read)) for item in source.items]
    return dataclasses.replace(source, items=items), read


def pack(root: Path, to: Path, settings: DataConfig = DATA, stop: int = 0) -> list[str]:
    """Pack with two threads, stopping after so many images; the names that were read."""

    def progress(done: int, _: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    source, read = counted(open_source(root, settings))
    try:
        write_pack(source, settings, to, progress=progress, workers=2)
    except KeyboardInterrupt:
        assert stop
    return read


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_what_was_decoded_is_not_decoded_again(root: Path, tmp_path: Path) -> None:
    """Stopped again and again, each image that was noted is read once, and the bytes are the same."""
    pack(root, tmp_path / "whole")
    done, to = 0, tmp_path / "p"
    for stop in (5, 14, 22):
        pack(root, to, stop=stop)
        assert not to.exists()
        (journal,) = (tmp_path / ".p.part").glob("*.jsonl")
        now = len(entries.read_entries(journal, ALL)[0])
        assert done < stop <= now
        done = now
    assert len(pack(root, to)) == ALL - done
    assert content(to) == content(tmp_path / "whole")
    assert sorted(os.listdir(tmp_path)) == ["data", "p", "whole"]  # noqa: PTH208


def test_progress_goes_on_from_what_is_there(root: Path, tmp_path: Path) -> None:
    """The second run begins to count behind the first, and ends at the total."""
    pack(root, tmp_path / "p", stop=10)
    seen: list[tuple[int, int]] = []
    source = open_source(root, DATA)
    write_pack(source, DATA, tmp_path / "p", progress=lambda *now: seen.append(now))
    assert seen[0][0] > 10
    assert seen == [(done, ALL) for done in range(seen[0][0], ALL + 1)]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.unlink"])
def test_it_may_be_cut_off_anywhere(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, moment: str
) -> None:
    """Cut off before or after each write to the disk, renaming and removal, the next run completes it."""
    pack(root, tmp_path / "whole")
    module, _, name = call.rpartition(".")
    owner = os if module == "os" else Path
    real = getattr(owner, name)
    for number in range(1, 100):
        left = number

        def cut(*given: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left == 0 and moment == "before":
                raise KeyboardInterrupt
            result = real(*given, **named)
            if left == 0:
                raise KeyboardInterrupt
            return result

        to = tmp_path / f"p{number}"
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, cut)
            pack(root, to, stop=-1)
        if not to.exists():
            pack(root, to)
        assert content(to) == content(tmp_path / "whole"), number
        if left > 0:
            break
    assert number > 2, "nothing was cut off"


@pytest.mark.parametrize("writes", [1, 2, 9])
@pytest.mark.parametrize("lost", [False, True])
def test_gaps_half_closed_are_closed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int, lost: bool
) -> None:
    """Cut off while images move together, they are found by their keys; if one is lost, all anew."""
    pack(root, tmp_path / "whole")
    real, left = Path.open, writes

    def opened(path: Path, *given: object, **named: object) -> object:
        file = real(path, *given, **named)  # type: ignore[call-overload]
        closing = (path.parent / "closing").exists()
        return _Failing(file) if path.name == "images.bin" and closing else file

    class _Failing:
        def __init__(self, file: object) -> None:
            self.file = file

        def __enter__(self) -> "_Failing":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()  # type: ignore[attr-defined]

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

        def write(self, pixels: bytes) -> None:
            nonlocal left
            left -= 1
            half = len(pixels) // 2 if left == 0 else len(pixels)
            self.file.write(pixels[:half])  # type: ignore[attr-defined]
            if left == 0:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        pack(root, tmp_path / "p", stop=-1)
    assert not (tmp_path / "p").exists()
    if lost:
        raw = (tmp_path / ".p.part" / "images.bin").read_bytes()
        (tmp_path / ".p.part" / "images.bin").write_bytes(
            raw[: 20 * 768] + bytes(len(raw) - 20 * 768)
        )
    assert len(pack(root, tmp_path / "p")) == (ALL if lost else 0)
    assert content(tmp_path / "p") == content(tmp_path / "whole")


def test_another_pack_in_the_making_is_begun_anew(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other settings, a changed file or another decoder: nothing of the old one is taken."""
    to = tmp_path / "p"
    pack(root, to, stop=10)
    assert len(pack(root, to, DataConfig(image_size=17, max_unreadable=0.5), stop=10)) >= 10
    assert len(pack(root, to, stop=10)) >= 10
    os.utime(root / NAMES[0])
    pack(root, to, stop=10)
    assert (tmp_path / ".p.part").exists()
    monkeypatch.setattr("PIL.__version__", "0.1")
    assert len(pack(root, to)) == ALL


def _torn(part: Path) -> None:
    with (part / "0.jsonl").open("ab") as file:
        file.write(b"[29,1234,5,5,[],[1,2")


def _nonsense(part: Path) -> None:
    with (part / "0.jsonl").open("ab") as file:
        file.write(b'[1]\n[99999,"x"]\n\0\0\0\xff\n{}\n' + b"[" * 100_000)


def _short(part: Path) -> None:
    os.truncate(part / "images.bin", 1000)


def _no_pixels(part: Path) -> None:
    (part / "images.bin").unlink()


def _no_identity(part: Path) -> None:
    (part / "identity.json").write_bytes(b"{")


def _a_link(part: Path) -> None:
    part.rename(part.with_name("elsewhere"))
    part.symlink_to(part.with_name("elsewhere"))


def _a_file(part: Path) -> None:
    part.rename(part.with_name("elsewhere"))
    part.write_text("something")


def _wrongly_closing(part: Path) -> None:
    (part / "closing").write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "anew"),
    [
        (_torn, False),
        (_nonsense, False),
        (_short, True),
        (_no_pixels, True),
        (_no_identity, True),
        (_a_link, True),
        (_a_file, True),
        (_wrongly_closing, True),
    ],
)
def test_damage_does_no_harm(
    root: Path, tmp_path: Path, damage: Callable[[Path], None], anew: bool
) -> None:
    """What does not fit is not taken: the bytes are always the same."""
    pack(root, tmp_path / "whole")
    pack(root, tmp_path / "p", stop=10)
    damage(tmp_path / ".p.part")
    assert (len(pack(root, tmp_path / "p")) == ALL) == anew
    assert content(tmp_path / "p") == content(tmp_path / "whole")
    if damage in (_a_link, _a_file):
        assert (tmp_path / "elsewhere" / "images.bin").is_file(), "a link was followed"


def test_a_refused_pack_leaves_nothing(root: Path, tmp_path: Path) -> None:
    """Also when it is only the second run that finds it out."""
    strict = DataConfig(image_size=16, max_unreadable=0.01)
    pack(root, tmp_path / "p", strict, stop=10)
    assert (tmp_path / ".p.part").exists()
    with pytest.raises(InputError, match="3 of 33"):
        pack(root, tmp_path / "p", strict)
    assert os.listdir(tmp_path) == ["data"]  # noqa: PTH208


def test_one_job_at_a_time(root: Path, tmp_path: Path) -> None:
    """Another process in the same place is told who is there; afterwards the lock is gone."""
    with pack_lock(tmp_path / "p"):
        with pytest.raises(UsageError, match="another process is packing") as error:
            pack(root, tmp_path / "p")
        assert str(os.getpid()) in str(error.value)
    assert os.listdir(tmp_path) == ["data"]  # noqa: PTH208
    (tmp_path / ".p.lock").write_text("process 1")  # left by one that was killed
    pack(root, tmp_path / "p")
    assert sorted(os.listdir(tmp_path)) == ["data", "p"]  # noqa: PTH208


def test_a_killed_process_is_continued(root: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of a real process; what it had noted is not decoded again."""
    pack(root, tmp_path / "whole")
    program = (
        "import sys, time\n"
        "from tutelage.data.pack import store as storing\n"
        "from tutelage.config.data import DataConfig\n"
        "from tutelage.data.readers.open import open_source\n"
        "from tutelage.data.pack.write import write_pack\n"
        "storing.DURABLE_SECONDS, storing.chunk_of = -1.0, lambda _: 2\n"
        "settings = DataConfig(image_size=16, max_unreadable=0.5)\n"
        "source = open_source(sys.argv[1], settings)\n"
        "write_pack(source, settings, sys.argv[2], workers=2, progress=lambda *_: time.sleep(0.1))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(root), str(tmp_path / "p")])
    journal, deadline = tmp_path / ".p.part" / "0.jsonl", time.monotonic() + 60
    while not (journal.is_file() and journal.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    known = len(entries.read_entries(journal, ALL)[0])
    assert 0 < known < ALL
    assert len(pack(root, tmp_path / "p")) == ALL - known
    assert content(tmp_path / "p") == content(tmp_path / "whole")
    assert sorted(os.listdir(tmp_path)) == ["data", "p", "whole"]  # noqa: PTH208


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_command_says_that_it_continues(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    """Ctrl-C and SIGTERM: what is there is kept, the message says so, and the same call completes it."""
    import tutelage

    real = storing.try_prepare

    def prepared(item: Item, settings: DataConfig) -> Prepared | str:
        if item.name == NAMES[2]:
            os.kill(os.getpid(), number)
        return real(item, settings)

    with monkeypatch.context() as patch:
        patch.setattr(storing, "try_prepare", prepared)
        with pytest.raises(Interrupted, match="the next run continues") as error:
            tutelage.pack(root, DATA, out=tmp_path / "p", quiet=True)
    assert error.value.exit_code == code
    assert len(tutelage.pack(root, DATA, out=tmp_path / "p", quiet=True)) == len(NAMES)


def test_a_part_that_is_missing_is_noticed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Journals that another machine has not shared: an error, not a pack with holes."""
    monkeypatch.setattr("tutelage.data.pack.write.store_items", lambda *_, **__: None)
    with pytest.raises(MachineError, match="have packed is missing"):
        pack(root, tmp_path / "p")
