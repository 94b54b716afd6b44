"""What the cases share: a folder of good images, a trained network, a finished job, a stopped run."""

import contextlib
import shutil
import signal
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from support.reliability.bad_case import Case
from support.reliability.bad_entries import ONE, SMALL, Answer, call, words
from tutelage.data.readers.zip import SAMPLE

CLASSES = ("Bag", "Coat")
TRAIN, VAL = 12, 6


class Bench:
    """Folders that every case finds; none of them is changed by a case, which gets copies."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.good = root / "good"
        self.run = root / "run"
        self.stopped = root / "stopped"
        self.pack = root / "pack"
        self.shelf = root / "teacher-cache"
        good_images(self.good)

    def make(self) -> None:
        """Train what the cases need; about as long as three short runs."""
        taught = (
            "--teacher",
            str(self.run),
            "--cache",
            str(self.shelf),
            "--teacher-outputs",
            "cached",
        )
        self._must("pack", str(self.good), "--out", str(self.pack), *SMALL, "--quiet")
        self._must(
            "train", str(self.good), "--out", str(self.run), "--role", "teacher", *SMALL, *ONE
        )
        self._must(
            "distill", str(self.good), "--out", str(self.root / "taught"), *taught, *SMALL, *ONE
        )
        with stop_at("journal", self.stopped):
            stopped = call(
                ["train", str(self.good), "--out", str(self.stopped), *SMALL, *ONE],
                self.root,
            )
        assert stopped.code == 130, stopped.err
        with stop_at("journal", self.root / "other"):
            call(
                [
                    "train",
                    str(self.good),
                    "--out",
                    str(self.root / "other"),
                    *SMALL,
                    *ONE,
                    "--seed",
                    "5",
                ],
                self.root,
            )

    def _must(self, *arguments: str) -> None:
        answer = call(list(arguments), self.root)
        assert answer.code == 0, answer.err

    def places(self, case: Case, folder: Path) -> dict[str, Path | str]:
        """All places of a case, made in a new folder."""
        data = folder / "data"
        shutil.copytree(self.good, data)
        places: dict[str, Path | str] = {
            "data": self.good,
            "good": self.good,
            "run": self.run,
            "out": folder / "out",
            "stopped": folder / "stopped",
            "folder": folder,
        }
        if case.role in ("run", "recipe"):
            shutil.copytree(self.stopped, folder / "stopped")
        return {**places, **case.make(data, places)}

    def knock(self, case: Case, entry: str, folder: Path) -> Answer:
        """Make a case in a folder and call one verb with it."""
        places = self.places(case, folder)
        with case.around(folder / "data"):
            return call([*words(entry, case.role, places), *case.more], folder)


def good_images(folder: Path, train: int = TRAIN, val: int = VAL) -> None:
    """Two classes of real images, so many to train and to validate of each."""
    with zipfile.ZipFile(SAMPLE) as archive:
        for name in CLASSES:
            names = sorted(n for n in archive.namelist() if n.startswith(f"train/{name}/"))
            names = [n for n in names if n.endswith(".png")][: train + val]
            for number, member in enumerate(names):
                split, at = ("train", number) if number < train else ("val", number - train)
                path = folder / split / name / f"{at}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(member))


def together(
    bench: Bench, cases: Sequence[Case], folder: Path
) -> tuple[dict[str, Path | str], contextlib.ExitStack]:
    """Several cases of data in one folder: the places of a call, and the surroundings of all of them."""
    places = bench.places(cases[0], folder)
    around = contextlib.ExitStack()
    for case in cases:
        if case is not cases[0]:
            case.make(folder / "data", places)
        around.enter_context(case.around(folder / "data"))
    return places, around


_waiting: dict[str, str] = {}


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _waiting and isinstance(arguments[0], str | Path):
        path = str(arguments[0])
        if any(path.startswith(root) and word in path for root, word in _waiting.items()):
            _waiting.clear()
            signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def stop_at(word: str, root: Path) -> Iterator[None]:
    """Ctrl-C when a file with this word in its path is opened below a folder."""
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked.append(True)
    _waiting[str(root)] = word
    try:
        yield
    finally:
        _waiting.clear()


_hooked: list[bool] = []
