"""Cases 89, 90 and 128 to 136: settings, recipes and the machine around."""

import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support.reliability.bad_case import Case, Places, Seen, data_case
from support.reliability.bad_folders import one_image
from support.reliability.bad_networks import no
from support.reliability.bad_stored import place


def recipe(content: str | bytes) -> Callable[[Path, Places], Places]:
    """A recipe of such content, which is also the settings of a run that was stopped."""

    def make(folder: Path, places: Places) -> Places:
        raw = content if isinstance(content, bytes) else content.encode()
        (folder / "mine.toml").write_bytes(raw)
        (Path(places["stopped"]) / "config.toml").write_bytes(raw)
        return {"recipe": folder / "mine.toml"}

    return make


def value(flag: str, given: str) -> Callable[[Path, Places], Places]:
    """A flag with a value, for a single run and for a job's student."""
    return lambda _folder, _places: {"one": f"--{flag}", "job": f"--student.{flag}", "value": given}


def _bad(number: str, name: str, content: str | bytes, says: str = "mine.toml") -> Case:
    # What stands in a run's folder is named by its own name.
    return Case(
        number, name, "E", "recipe", recipe(content), says, cells={"resume": ("E", "config.toml")}
    )


def _wrong(letter: str, name: str, flag: str, given: str) -> Case:
    return Case(f"129 {letter}", name, "E", "settings", value(flag, given), flag)


@contextmanager
def surroundings(**variables: str | None) -> Iterator[None]:
    """Environment variables set, or taken away."""
    before = {name: os.environ.get(name) for name in variables}
    try:
        _set(variables)
        yield
    finally:
        _set(before)


def _set(variables: "dict[str, str | None]") -> None:
    for name, wanted in variables.items():
        if wanted is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = wanted
    time.tzset()


@contextmanager
def few_files(_: Path) -> Iterator[None]:
    """One more file can be opened, and no second one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path(os.devnull).open() as lowest:
        free = lowest.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def interrupted(folder: Path) -> Iterator[None]:
    """Ctrl-C as soon as the run's journal is opened."""
    from support.reliability.bad_bench import stop_at

    with stop_at("journal", folder / "place"):
        yield


def _dated(folder: Path) -> None:
    for name, seconds in (("c135-early.png", -86_400), ("c135-late.png", 4_102_444_800)):
        one_image(folder / "val" / "Bag" / name)
        os.utime(folder / "val" / "Bag" / name, (seconds, seconds))


def _accents(folder: Path) -> None:
    one_image(folder / "val" / "Bag" / "c136-ü日.png")
    (folder / "val" / "Bag" / "c136-é.jpg").write_bytes(b"")


DEEP = "a = " + "[" * 20_000 + "]" * 20_000
USUAL = """model = "test_resnet"
trust = true
device = "cpu"
precision = "fp32"
[data]
image_size = 16
"""
STOP = {"predict": "trains nothing", "export": "trains nothing", "pack": "test_signals"}
PYTHON_TAG = """[teacher]
model = "test_resnet"
weights = "none"
[student]
model = "!!python/object/apply:os.system [touch marker]"
"""
CLASS_PATH = '[student]\n_target_ = "os.system"\n'

SETTINGS: tuple[Case, ...] = (
    Case("89", "batch larger than the data", "E", "recipe", recipe("batch_size = 5000\n"), "5000",
         cells={"resume": ("E", "settings"), "run": "in [student]", "sweep": "in [student]"}),
    Case("90", "one image left for the last batch", "H", "recipe",
         recipe("batch_size = 23\nepochs = 1\n" + USUAL),
         cells={"run": "as train", "sweep": "as train", "resume": "keeps its own"}),
    _bad("128 a", "unknown setting", "learing_rate = 0.1\n"),
    _bad("128 b", "unknown table", "[studnt]\nlr = 0.1\n"),
    _wrong("a", "rate that is not a number", "lr", "nan"),
    _wrong("b", "rate that is infinite", "lr", "inf"),
    _wrong("c", "rate below zero", "lr", "-0.1"),
    _wrong("d", "half a batch", "batch-size", "1.5"),
    _wrong("e", "batch of nothing", "batch-size", "0"),
    _wrong("f", "word for a number", "epochs", "ten"),
    _bad("129 g", "number as text", 'seed = "1e-3"\n'),
    _bad("129 h", "truth for a number", "seed = true\n"),
    _bad("130 a", "key twice", "seed = 1\nseed = 2\n"),
    _bad("130 b", "20,000 levels", DEEP),
    _bad("130 c", "two megabytes", "# " + "x" * (2 << 20)),
    _bad("130 d", "not UTF-8", b"seed = \xff\n"),
    _bad("130 e", "YAML", "student:\n\tlr: 1e-3\n"),
    Case("130 f", "byte-order mark", "H", "recipe",
         recipe("\ufeffepochs = 0\nbatch_size = 8\n" + USUAL),
         cells={"run": "as train", "sweep": "as train", "resume": "keeps its own"}),
    _bad("131 a", "class path", CLASS_PATH),
    Case("131 b", "tag that calls Python", "E", "recipe", recipe(PYTHON_TAG), "mine.toml",
         cells={"resume": ("E", "config.toml"), "run": ("E", "!!python"), "sweep": ("E", "!!python")}),
    Case("133", "Ctrl-C in training", "S", "place", place(lambda *_: None), around=interrupted, cells=STOP),
    Case("134 a", "GPU that is not there", "E", "recipe",
         recipe('device = "cuda:77"\n[data]\nimage_size = 16\n'), "cuda"),
    Case("134 b", "second process dead or hung", "E", "run", lambda *_: {}, cells=no("two processes")),
    data_case("135", "files dated before 1970 and in 2100, another time zone", "H", _dated,
              seen=(Seen("val/Bag/c135-early.png", "H"), Seen("val/Bag/c135-late.png", "H")),
              around=lambda _: surroundings(TZ="Asia/Kathmandu"), alone=False),
    data_case("136 a", "terminal that knows ASCII only", "Q", _accents,
              seen=(Seen("val/Bag/c136-", "Q", "empty file"),),
              around=lambda _: surroundings(PYTHONIOENCODING="ascii", LC_ALL="C")),
    data_case("136 b", "no home folder", "H", lambda _: None,
              around=lambda _: surroundings(HOME=None, XDG_CACHE_HOME=None)),
    data_case("136 c", "home that is not there", "E", lambda _: "~nobody-at-all/data", says="~nobody"),
    data_case("136 d", "too many open files", "E", lambda _: None, says="Too many open files",
              around=few_files, cells=no("opens few files") | {"pack": "E"}),
    Case("136 e", "little shared memory", "H", "run", lambda *_: {}, cells=no("threads, no workers")),
)  # fmt: skip
