"""Cases 84, 102 to 127: packs, checkpoints, caches and folders that are not as they were written."""

import json
import os
import resource
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from support.reliability.bad_case import Case, Places, data_case
from support.reliability.bad_folders import NEXT, ROWS
from support.reliability.bad_images import without_override
from support.reliability.bad_networks import no, saved
from tutelage.commands.job_folder import job_lock


def pack(change: Callable[[Path], None]) -> Callable[[Path, Places], Places]:
    """A copy of the good pack, changed."""

    def make(folder: Path, places: Places) -> Places:
        shutil.copytree(Path(places["run"]).parent / "pack", folder / "spoilt.pack")
        change(folder / "spoilt.pack")
        return {"pack": folder / "spoilt.pack"}

    return make


def shelf(change: Callable[[Path], None], teacher: str = "run") -> Callable[[Path, Places], Places]:
    """A copy of the shelf of teachers' answers, changed, and the teacher that gave them."""

    def make(folder: Path, places: Places) -> Places:
        root = Path(places["run"]).parent
        shutil.copytree(root / "teacher-cache", folder / "shelf")
        (cache,) = (path for path in (folder / "shelf").iterdir() if path.is_dir())
        change(cache)
        return {"shelf": folder / "shelf", "teacher": root / teacher}

    return make


def stopped(change: Callable[[Path], None]) -> Callable[[Path, Places], Places]:
    """A copy of the run that was stopped, changed; `bad_bench` has made the copy."""

    def make(_: Path, places: Places) -> Places:
        change(Path(places["stopped"]))
        return {}

    return make


def tensors_of(folder: Path) -> list[Path]:
    """The files of tensors of a run's checkpoints, whatever the folders are called."""
    found = [p for p in folder.rglob("*.safetensors") if "checkpoint" in str(p.relative_to(folder))]
    assert found
    return found


def flip(path: Path, place: int | None = None) -> None:
    """One bit of a file, by default in the middle."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 if place is None else place] ^= 16
    path.write_bytes(raw)


def cut(path: Path) -> None:
    """The second half of a file is gone."""
    os.truncate(path, path.stat().st_size // 2)


def zeroed(path: Path) -> None:
    """The last 4 KiB of a file are zeros."""
    raw = path.read_bytes()
    path.write_bytes(raw[:-4096] + bytes(min(4096, len(raw))))


def _labels(value: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        labels = np.fromfile(folder / "labels.bin", np.int64)
        labels[3] = value
        labels.tofile(folder / "labels.bin")

    return change


def _two_images(folder: Path) -> None:
    """One bit in an image to train on, and one in an image to validate with."""
    flip(folder / "images.bin", 10)
    flip(folder / "images.bin", -10)


def _newer(folder: Path) -> None:
    (folder / "job.json").write_text(json.dumps({"format": 99, "verb": "train", "finished": False}))


def _foreign(_: Path, places: Places) -> Places:
    """The checkpoint of another run in the place of this one's."""
    for path in Path(places["stopped"]).iterdir():
        if path.name.startswith("checkpoint"):
            shutil.rmtree(path)
            shutil.copytree(Path(places["run"]).parent / "other" / path.name, path)
    return {}


def archive(
    *members: tuple[str, bytes], link: bool = False, squeeze: bool = False
) -> Callable[[Path], Path]:
    """A zip of such members, made by hand."""

    def plant(folder: Path) -> Path:
        path = folder / "data.zip"
        kind = zipfile.ZIP_DEFLATED if squeeze else zipfile.ZIP_STORED
        with zipfile.ZipFile(path, "w", kind) as out:
            for name, raw in members:
                info = zipfile.ZipInfo(name)
                info.create_system, info.compress_type = 3, kind
                info.external_attr = (
                    0o120777 if link and raw == b"/etc/passwd" else 0o100644
                ) << 16
                out.writestr(info, raw)
        return path

    return plant


def place(make_it: Callable[[Path, Places], object]) -> Callable[[Path, Places], Places]:
    """Something where the result is to be."""

    def make(folder: Path, places: Places) -> Places:
        make_it(folder / "place", places)
        return {"place": folder / "place"}

    return make


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """A living job holds the folder; a pack in the making is held beside it."""
    from tutelage.data.pack import lock

    with job_lock(folder / "place"), lock.pack_lock(folder / "place"):
        yield


@contextmanager
def no_room(_: Path) -> Iterator[None]:
    """No file may become longer than 300 bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _other_pack(folder: Path, places: Places) -> None:
    shutil.copytree(Path(places["run"]).parent / "pack", folder)
    path = folder.parent / "val" / "Bag" / "0.png"
    status = path.stat()
    path.write_bytes(bytes(reversed(path.read_bytes())))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def _same_size(folder: Path, places: Places) -> Places:
    _other_pack(folder / "place", places)
    return {"place": folder / "place", "good": folder}


def _taken(folder: Path, _: Places) -> None:
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")


def _shut(folder: Path, _: Places) -> None:
    folder.mkdir()
    folder.chmod(0o500)


def _read_only(folder: Path) -> None:
    for path in folder.iterdir():
        path.chmod(0o400)
    folder.chmod(0o500)


WRITES_FILE = {"predict": "is a file", "export": "is a file"}
PACK_ONLY = dict.fromkeys(("train", "distill", "run", "sweep"), "packs into OUT/pack") | WRITES_FILE
JPG = b"\xff\xd8\xff"

STORED: tuple[Case, ...] = (
    Case("84 a", "label below -1 in a pack", "E", "pack", pack(_labels(-2)), "spoilt.pack"),
    Case("84 b", "label above the classes in a pack", "E", "pack", pack(_labels(7)), "spoilt.pack"),
    Case("102 b", "one bit of a checkpoint flipped", "E", "run",
         stopped(lambda folder: flip(tensors_of(folder)[0])), "checkpoint", cells={"report": "unfinished"}),
    Case("103 b", "end of a checkpoint zeroed", "E", "run",
         stopped(lambda folder: zeroed(tensors_of(folder)[0])), "checkpoint",
         cells={"report": "unfinished"}),
    Case("109", "optimizer state of another run", "E", "run", _foreign, "checkpoint",
         cells={"report": "unfinished"}),
    Case("110", "other settings than those of the run", "E", "run", stopped(lambda _: None), "lr",
         cells={"report": "unfinished", "resume": "keeps its own"}, more=("--lr", "0.5")),
    Case("111", "run of a newer format", "E", "run", stopped(_newer), "job.json",
         cells={"report": "unfinished"}),
    Case("112", "another number of processes", "H", "run", stopped(lambda _: None),
         cells=no("two processes")),
    data_case("115 a", "zip with `..` in a name", "E", archive(("../a/1.png", JPG)), says="data.zip",
              cells={"predict": ("E", "data.zip")}),
    data_case("115 b", "zip with an absolute name", "E", archive(("/a/1.png", JPG)), says="data.zip",
              cells={"predict": ("E", "data.zip")}),
    data_case("115 c", "zip of links", "E",
              archive(("a/1.png", b"/etc/passwd"), ("b/1.png", b"/etc/passwd"), link=True),
              says="data.zip", cells={"predict": ("E", "data.zip")}),
    data_case("115 d", "zip that inflates a thousandfold", "E",
              archive(("a/1.png", bytes(4 << 20)), ("b/1.png", bytes(4 << 20)), squeeze=True),
              says="data.zip", cells={"predict": ("E", "data.zip")}),
    Case("117 a", "pixels of a pack cut short", "E", "pack", pack(lambda p: cut(p / "images.bin")),
         "images.bin"),
    Case("117 b", "labels of a pack cut short", "E", "pack", pack(lambda p: cut(p / "labels.bin")),
         "labels.bin"),
    Case("118", "pack half made", "E", "pack", pack(lambda p: (p / "manifest.json").unlink()),
         "spoilt.pack"),
    Case("119", "bits of a pack's pixels flipped", "E", "pack", pack(_two_images), "images.bin",
         cells={"pack": "reads no pixels"}),
    Case("120", "pack of other data", "E", "place", place(_other_pack), "place",
         cells=PACK_ONLY, more=("--data.split-seed", "9")),
    Case("121", "image changed, its size equal", "E", "place", _same_size, "place", cells=PACK_ONLY),
    Case("122", "answers of another teacher", "H", "cache", shelf(lambda _: None, "taught")),
    Case("123 a", "answers with records missing", "E", "cache",
         shelf(lambda p: os.truncate(p / "index.bin", 24 * 5)), "cut short"),
    Case("123 b", "answers cut short", "E", "cache", shelf(lambda p: cut(p / "logits.bin")), "cut short"),
    Case("123 c", "one bit of an answer flipped", "E", "cache", shelf(lambda p: flip(p / "logits.bin"))),
    Case("124", "answers that are not finite", "E", "cache",
         lambda folder, places: {**shelf(lambda _: None)(folder, places),
                                 "teacher": saved("Bag", "Coat", endless=True)(folder, places)["network"]},
         "finite", cells={"cache": "asks nobody"}),
    Case("125", "disk full", "E", "place", place(lambda *_: None), around=no_room),
    Case("126", "another process in the folder", "E", "place", place(lambda path, _: path.mkdir()),
         "another process", around=held, cells={**WRITES_FILE, "pack": ("E", "place")}),
    Case("127", "pack that cannot be written", "H", "pack", pack(_read_only), around=without_override),
    Case("132 a", "folder with something else", "E", "place", place(_taken), "place"),
    Case("132 b", "folder that cannot be written", "E", "place", place(_shut), "place",
         around=without_override, cells={"pack": "H"}),
    Case("132 c", "file where a folder is to be", "E", "place", place(lambda path, _: path.write_text("")),
         "place", cells=WRITES_FILE),
    Case("132 d", "folder of another run", "E", "place",
         place(lambda path, places: shutil.copytree(places["run"], path)), "place"),
    data_case("83 h", "label file: a header alone", "E",
              lambda folder: (folder / "labels.csv").write_text("name;class\n") and folder / "labels.csv",
              says="line 1", cells={"predict": ("E", "labels.csv")}),
    data_case("83 i", "label file: too few cells", "E",
              lambda folder: (folder / "labels.csv").write_text("path,label,split\n" + ROWS + "a,b\n")
              and folder / "labels.csv", says=NEXT, cells={"predict": ("E", "labels.csv")}),
)  # fmt: skip
