"""Model folders, runs, packs, caches and recipes from a stranger: paths, links, pipes, sizes, plug-ins."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from support.reliability.payloads import Action, payload, sealed
from tutelage.commands import train as verbs
from tutelage.commands.inference import load
from tutelage.config.job import DistillConfig
from tutelage.config.loss_weights import loss_weights
from tutelage.config.plugins import custom_settings
from tutelage.config.recipes import read_recipe
from tutelage.config.schema import build
from tutelage.config.toml import to_toml
from tutelage.data.pack.pack import FORMAT as PACK_FORMAT
from tutelage.data.pack.pack import open_pack
from tutelage.distributed import ALONE
from tutelage.models.metadata import FORMAT
from tutelage.reports.write import comparison, write_report
from tutelage.storage.checksums import checksums_of
from tutelage.storage.run_results import JOB_FORMAT
from tutelage.teachers.cache.folder import cache_entry, cache_lock, remove_cache, verify_cache
from tutelage.teachers.cache.key import FORMAT as CACHE_FORMAT
from tutelage.teachers.cache.table import INDEX

CLASSES = ["cat", "dog"]
FACTS = {
    "format": FORMAT,
    "network": {"model": "test_resnet", "weights": "none"},
    "classes": CLASSES,
    "stored_size": 32,
    "input_size": 32,
    "background": "white",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
}


def model(folder: Path, **changes: Any) -> Action:
    """A model folder whose facts are not as they should be."""
    (folder / "model.safetensors").write_bytes(bytes(8))
    files = checksums_of(folder, ["model.safetensors"])
    (folder / "tutelage.json").write_bytes(sealed({**FACTS, "files": files, **changes}))
    return lambda: load(folder)


for _name, _changes in {
    "a network of a hub": {"network": {"model": "hf-hub:evil/model"}},
    "a network of a local folder": {"network": {"model": "local-dir:/etc"}},
    "a network's weights elsewhere": {
        "network": {"model": "test_resnet", "weights": "/etc/passwd", "x": 1}
    },
    "a network of 17 GB and no weights": {"network": {"model": "eva02_enormous_patch14_clip_224"}},
    "100 million classes": {"classes": "c" * 100_000_000},
    "a million classes": {"classes": [str(number) for number in range(1_000_000)]},
    "a class that repaints the terminal": {"classes": ["cat", "\x1b[2J\x1b]0;owned\x07"]},
    "a class that reads backwards": {"classes": ["cat", "exe.\u202egpj"]},
    "half a character as a class": {"classes": ["cat", "\ud83d"]},
    "images of a billion pixels a side": {"input_size": 10**9},
    "an image of 10^400 pixels": {"stored_size": float("inf")},
    "a reused classifier of 2^40 channels": {"reuses": {"channels": 1 << 40, "reduction": 1}},
    "a call in place of the reused part": {"reuses": {"__class__": "os.system", "args": "id"}},
    "a network that is a list": {"network": ["test_resnet"]},
}.items():

    @payload(f"model folder: {_name}")
    def _model(folder: Path, _marker: Path, changes: Any = _changes) -> Action:
        return model(folder, **changes)


@payload("model folder: JSON 200,000 deep")
def _deep(folder: Path, _marker: Path) -> Action:
    action = model(folder)
    (folder / "tutelage.json").write_bytes(
        sealed('{\n "a": ' + "[" * 200_000 + "]" * 200_000 + "\n}")
    )
    return action


@payload("model folder: a number of a million digits")
def _digits(folder: Path, _marker: Path) -> Action:
    action = model(folder)
    (folder / "tutelage.json").write_bytes(sealed('{\n "format": ' + "2" * 1_000_000 + "\n}"))
    return action


@payload("model folder: 200,000 keys, the last one twice")
def _keys(folder: Path, _marker: Path) -> Action:
    action = model(folder)
    keys = ", ".join(f'"{number}": 1' for number in range(200_000))
    (folder / "tutelage.json").write_bytes(sealed(f'{{\n {keys}, "199999": 1\n}}'))
    return action


@payload("model folder: a pipe for its facts")
def _pipe(folder: Path, _marker: Path) -> Action:
    action = model(folder)
    (folder / "tutelage.json").unlink()
    os.mkfifo(folder / "tutelage.json")
    return action


@payload("model folder: itself a link out of the run")
def _model_link(folder: Path, _marker: Path) -> Action:
    model(folder)
    (folder / "run").mkdir()
    (folder / "run" / "model").symlink_to(folder.parent)
    return lambda: load(folder / "run")


@payload("model folder: weights are an endless device")
def _device(folder: Path, _marker: Path) -> Action:
    action = model(folder)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("/dev/zero")
    return action


def recipe(folder: Path, text: str | bytes, name: str = "recipe.toml") -> Action:
    """A recipe, read and made into settings with all the terms it asks for."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    (folder / name).write_bytes(raw)

    def action() -> Any:
        job = build(DistillConfig, read_recipe(str(folder / name)).table, where=name)
        loss_weights(job)
        return custom_settings(job.custom)

    return action


for _name, _text in {
    "a plug-in": 'plugin = "evil.py"',
    "a class path": '[student]\n_target_ = "os.system"',
    "a module as a network": '[student]\nmodel = "os.system"\nkind = "module"',
    "an include": 'include = "/etc/passwd"',
    "lists 100,000 deep": "a = " + "[" * 100_000,
    "tables 100,000 deep": "a = " + "{a=" * 100_000,
    "a key of 250,000 parts": ".".join("a" * 250_000) + " = 1",
    "a quoted key of 100,000 parts": " . ".join(['"a"'] * 100_000) + " = 1",
    "a header of 200,000 parts": "[" + ".".join("a" * 200_000) + "]",
    "a number of a million digits": "seed = " + "9" * 1_000_000,
    "a hexadecimal number of a million digits": "seed = 0x" + "f" * 1_000_000,
    "a seed of a thousand tables": "seed" + ".a" * 15 + " = 1",
    "not a number": "[student]\nlr = nan",
    "a date where a number is wanted": "[student]\nlr = 1979-05-27",
    "a key twice": "seed = 1\nseed = 2",
    "a byte that is no text": b'title = "\xff"',
    "two megabytes": "#" * (2 << 20),
}.items():

    @payload(f"recipe: {_name}")
    def _recipe(folder: Path, _marker: Path, text: str | bytes = _text) -> Action:
        return recipe(folder, text)


@payload("recipe: a term of one's own by path")
def _own(folder: Path, marker: Path) -> Action:
    code = f"import os\nos.mkdir({str(marker)!r})\nTERMS = {{}}\n"
    (folder / "evil.py").write_text(code)
    return recipe(folder, f'own."{folder / "evil.py"}".weight = 1.0')


@payload("recipe: a term of one's own by module")
def _own_module(folder: Path, _marker: Path) -> Action:
    return recipe(folder, 'own."os.system".weight = 1.0')


@payload("recipe: words in place of a heading", ends="harmless")
def _interpolation(folder: Path, _marker: Path) -> Action:
    text = "${HOME} $(id) {{7*7}} %(x)s ${env:PATH}"
    recipe(folder, f"title = {json.dumps(text)}")

    def action() -> None:
        job = build(DistillConfig, read_recipe(str(folder / "recipe.toml")).table, where="recipe")
        assert job.title == text  # nothing is put in its place

    return action


@payload("recipe: a pipe")
def _recipe_pipe(folder: Path, _marker: Path) -> Action:
    os.mkfifo(folder / "recipe.toml")
    return lambda: read_recipe(str(folder / "recipe.toml"))


@payload("recipe: an endless device")
def _recipe_device(folder: Path, _marker: Path) -> Action:
    (folder / "recipe.toml").symlink_to("/dev/zero")
    return lambda: read_recipe(str(folder / "recipe.toml"))


def job(folder: Path, runs: list[str]) -> Path:
    """The beginning of a job folder."""
    plan = {"format": 1, "runs": [{"folder": name, "role": "student"} for name in runs]}
    (folder / "plan.json").write_bytes(sealed(plan))
    return folder


for _number, _path in enumerate(
    ["../elsewhere", "/etc", "a/../../b", "..\\b", "C:\\b", "", "a\0b", "0" * 300]
):

    @payload(f"job: a run at {_path!r}")
    def _plan(folder: Path, _marker: Path, path: str = _path) -> Action:
        return lambda: comparison([job(folder, [path])])


@payload("job: a report folder that is a link out of it")
def _report(folder: Path, marker: Path) -> Action:
    (folder / "report").symlink_to(marker)
    return lambda: write_report(job(folder, []))


@payload("job: scores that are a pipe")
def _scores(folder: Path, _marker: Path) -> Action:
    (folder / "student").mkdir()
    os.mkfifo(folder / "student" / "scores.json")
    return lambda: comparison([job(folder, ["student"])])


def unfinished(folder: Path, config: Any, **facts: Any) -> Action:
    """A run folder, and `tutelage resume` on it."""
    (folder / "run").mkdir()
    about = {
        "format": JOB_FORMAT,
        "verb": "train",
        "data": "sample",
        "networks": [],
        "finished": False,
        **facts,
    }
    (folder / "run" / "job.json").write_bytes(sealed(about))
    (folder / "run" / "config.toml").write_text(to_toml(config))
    return lambda: verbs.resume(folder / "run", quiet=True)


@payload("resume: answers kept in another place")
def _cache(folder: Path, marker: Path) -> Action:
    return unfinished(folder, {"cache": str(marker)})


@payload("resume: a data set put in another place")
def _root(folder: Path, marker: Path) -> Action:
    return unfinished(folder, {"data": {"dir": str(marker)}}, data="cifar10")


@payload("resume: a term of one's own by path")
def _resume_own(folder: Path, marker: Path) -> Action:
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(marker)!r})\nTERMS = {{}}\n")
    action = unfinished(folder, {})
    text = f'teacher = ["x"]\n[own."{folder / "evil.py"}"]\nweight = 1.0\n'
    (folder / "run" / "config.toml").write_text(text)
    return action


@payload("resume: a module to hand over")
def _module(folder: Path, _marker: Path) -> Action:
    return unfinished(folder, {}, networks=["os.system"])


@payload("resume: no verb")
def _verb(folder: Path, _marker: Path) -> Action:
    return unfinished(folder, {}, verb="__import__('os').system('id')")


@payload("resume: a checkpoint that is a link to another folder")
def _checkpoint(folder: Path, _marker: Path) -> Action:
    victim = folder / "victim"
    victim.mkdir()
    (victim / "precious").write_text("kept")
    action = unfinished(folder, {})
    (folder / "run" / "checkpoint").symlink_to(victim)

    def resumed() -> Any:
        try:
            return action()
        finally:
            assert (victim / "precious").read_text() == "kept"

    return resumed


@payload("resume: a journal that is another file as well")
def _journal(folder: Path, _marker: Path) -> Action:
    action = unfinished(folder, {})
    (folder / "victim").write_text("kept")
    os.link(folder / "victim", folder / "run" / "journal.jsonl")
    return action


@payload("resume: facts that are a pipe")
def _facts(folder: Path, _marker: Path) -> Action:
    action = unfinished(folder, {})
    (folder / "run" / "config.toml").unlink()
    os.mkfifo(folder / "run" / "config.toml")
    return action


def pack(folder: Path, **changes: Any) -> Action:
    """A pack whose manifest is not as it should be."""
    for name, size in {"images": 192, "labels": 8, "keys": 8, "splits": 1}.items():
        (folder / f"{name}.bin").write_bytes(bytes(size))
    for name in ("images.csv", "quarantine.csv"):
        (folder / name).write_text("id,file,reason\n")
    sums = checksums_of(folder, [path.name for path in folder.iterdir()])
    manifest = {
        "format": PACK_FORMAT,
        "files": sums,
        "count": 1,
        "image_size": 8,
        "classes": CLASSES,
        "fingerprint": "x",
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
        "settings": {"background": "white"},
    }
    (folder / "manifest.json").write_bytes(sealed({**manifest, **changes}))
    return lambda: open_pack(folder)


for _name, _changes in {
    "infinitely many images": {"count": float("inf")},
    "10^300 images": {"count": 1e300},
    "-1 images": {"count": -1},
    "a class that repaints the terminal": {"classes": ["\x1b[2J", "dog"]},
    "a mean of 10^400": {"mean": [10**400, 0, 0]},
    "settings that are a list": {"settings": ["background"]},
    "classes that are a number": {"classes": 2},
}.items():

    @payload(f"pack: {_name}")
    def _pack(folder: Path, _marker: Path, changes: Any = _changes) -> Action:
        return pack(folder, **changes)


for _name in ("images.bin", "images.csv"):

    @payload(f"pack: {_name} is a link out of it")
    def _pack_link(folder: Path, _marker: Path, name: str = _name) -> Action:
        action = pack(folder)
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to("/etc/passwd")
        return action


@payload("pack: a pipe")
def _pack_pipe(folder: Path, _marker: Path) -> Action:
    action = pack(folder)
    os.mkfifo(folder / "pipe")
    return action


def cache(folder: Path, shapes: Any, **changes: Any) -> Path:
    """A teacher's cache."""
    kept = folder / "kept"
    kept.mkdir()
    index = np.zeros(1, INDEX)
    about = {"model": "x", "classes": CLASSES, "precision": "None", "answers": 1, "grows": False}
    about["index"] = hashlib.sha256(index.tobytes()).hexdigest()
    content = {"format": CACHE_FORMAT, "shapes": shapes, **about, **changes}
    (kept / "manifest.json").write_bytes(sealed(content))
    (kept / "index.bin").write_bytes(index.tobytes())
    (kept / "logits.bin").write_bytes(bytes(4))
    return kept


for _name, _shapes in {
    "answers in another folder": {"../../../../etc/passwd": [1]},
    "answers at an absolute path": {"/etc/passwd": [1]},
    "2^62 answers an image": {"logits": [1 << 31, 1 << 31]},
    "answers of no size": {"logits": []},
    "answers of no name": {"": [1]},
}.items():

    @payload(f"cache: {_name}")
    def _cache_shapes(folder: Path, _marker: Path, shapes: Any = _shapes) -> Action:
        return lambda: cache_entry(cache(folder, shapes))


for _name, _changes in {
    "-1 answers": {"answers": -1},
    "2^70 answers": {"answers": 1 << 70},
    "answers without a number": {"answers": "many"},
    "no word of growing": {"grows": None, "answers": None},
}.items():

    @payload(f"cache: {_name}")
    def _cache_facts(folder: Path, _marker: Path, changes: Any = _changes) -> Action:
        return lambda: cache_entry(cache(folder, {"logits": [2]}, **changes))


@payload("cache: a lock that is a link")
def _lock(folder: Path, marker: Path) -> Action:
    kept = cache(folder, {"logits": [2]})
    (kept / ".lock").symlink_to(marker)

    def action() -> None:
        with cache_lock(kept, ALONE, waiting=lambda: None):
            pass

    return action


@payload("cache: a folder that is a link, to be removed")
def _removed(folder: Path, _marker: Path) -> Action:
    kept = cache(folder, {"logits": [2]})
    shelf = folder / "shelf"
    shelf.mkdir()
    (shelf / "name").symlink_to(kept)

    def action() -> Any:
        try:
            return remove_cache(shelf, ["name"])
        finally:
            assert (kept / "index.bin").is_file()

    return action


@payload("cache: named outside its shelf")
def _named(folder: Path, _marker: Path) -> Action:
    shutil.copytree(cache(folder, {"logits": [2]}), folder / "shelf" / "x")
    return lambda: remove_cache(folder / "shelf", ["../kept"])


@payload("cache: an index that is a pipe", ends="harmless")
def _index(folder: Path, _marker: Path) -> Action:
    kept = cache(folder, {"logits": [2]})
    (kept / "index.bin").unlink()
    os.mkfifo(kept / "index.bin")

    def action() -> None:
        assert verify_cache(folder)["kept"]  # said to be damaged

    return action
