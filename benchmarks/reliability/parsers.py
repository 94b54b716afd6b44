"""Every parser of our own, with good files that our own code wrote, and a way to give it any bytes.

A seal and the checksums in a table are made again after most changes: a stranger can do that too, and what
is behind a checksum would otherwise never be reached.
"""

import csv
import hashlib
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mutate import mutated, reshaped
from PIL import Image

from tutelage.config import build, table
from tutelage.cookbook import FOLDER
from tutelage.data.archives import scan
from tutelage.data.idx import parse_idx
from tutelage.data.layout import arrange
from tutelage.data.listing import File, Listing
from tutelage.data.pack import SMALL, open_pack, pack_fingerprint
from tutelage.data.packing.writing import write_pack
from tutelage.data.settings import Data
from tutelage.data.sources import Unreadable, open_source
from tutelage.data.tables import read_table
from tutelage.errors import TutelageError
from tutelage.losses.own import own_settings_of
from tutelage.losses.settings import weights
from tutelage.reports.files import Fields
from tutelage.reports.record import run_folders, specialist_folders
from tutelage.results import FORMAT, JOB_FORMAT, open_results, require_job
from tutelage.sealed import read_sealed, seal, sum_of
from tutelage.settings import Job
from tutelage.teachers.growing import Writer, create
from tutelage.teachers.identity import Identity
from tutelage.teachers.shelf import entry
from tutelage.teachers.table import Answers, open_table
from tutelage.toml import parse_toml, to_toml

WORDS = [
    b'"',
    b"'",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"NaN",
    b"\\u0000",
    b"\\ud800",
    b"../",
    b"/",
    b"\0",
    b"\xff",
    b"\n",
    b'"format"',
    b'"files"',
    b'"folder"',
    b'"shapes"',
    b"\xef\xbb\xbf",
]
Parse = Callable[[bytes], object]


class Parser(NamedTuple):
    """name; corpus: good inputs; change: one of them, damaged; parse: what reads it."""

    name: str
    corpus: list[bytes]
    change: Callable[[bytes, random.Random], bytes]
    parse: Parse


def parsers(folder: Path) -> list[Parser]:
    """All of them, with their files in a folder in memory."""
    pack = _pack(folder / "data", folder / "pack")
    made = [_of_pack(pack), _of_cache(folder), _of_sealed(folder), _of_recipes(), _of_tables()]
    return [*made, _of_idx(), _of_zip(folder), _of_checkpoint(folder), _of_weights(folder)]


def plainly(corpus: list[bytes], words: list[bytes]) -> Callable[[bytes, random.Random], bytes]:
    """Changes of bytes alone."""
    return lambda good, dice: mutated(good, corpus, words, dice)


def tabled(corpus: list[bytes]) -> Callable[[bytes, random.Random], bytes]:
    """Changes of values in JSON, and of bytes; the seal of most is made again."""

    def change(good: bytes, dice: random.Random) -> bytes:
        if dice.random() < 0.5:
            content = reshaped(json.loads(good), dice)
            text = json.dumps(content, indent=1).encode("utf-8", "surrogatepass")
            return resealed(text) if isinstance(content, dict) and content else text
        raw = mutated(good, corpus, WORDS, dice)
        return resealed(raw) if dice.random() < 0.8 else raw

    return change


def resealed(text: bytes) -> bytes:
    """Bytes with the seal that fits them, whatever they are."""
    body = text.partition(b',\n "seal"')[0].removesuffix(b"}").removesuffix(b"\n")
    return body + b',\n "seal": "' + hashlib.sha256(body).hexdigest().encode() + b'"\n}\n'


def _picture(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9), (shade, 0, 99)).save(buffer, "PNG")
    return buffer.getvalue()


def _pack(data: Path, folder: Path) -> Path:
    for label in ("cat", "dog"):
        (data / label).mkdir(parents=True)
        for number in range(8):
            shade = 20 * number + (label == "dog")
            (data / label / f"{number}.png").write_bytes(_picture(shade))
    (data / "dog" / "bad.png").write_bytes(b"no picture")
    settings = Data(image_size=8, max_unreadable=1.0)
    write_pack(open_source(str(data), settings), settings, folder, progress=lambda _done, _of: None)
    return folder


def _of_pack(folder: Path) -> Parser:
    """One byte says which file of the pack is another; the rest is the file."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    good = {number: path.read_bytes() for number, path in enumerate(files)}
    manifest = next(n for n, path in enumerate(files) if path.name == "manifest.json")
    corpus = [bytes([number]) + raw for number, raw in good.items()]
    corpus += [bytes([manifest]) + good[manifest]] * 4
    of_table = tabled([good[manifest]])

    def change(one: bytes, dice: random.Random) -> bytes:
        if one[0] == manifest:
            return one[:1] + of_table(one[1:], dice)
        return one[:1] + mutated(one[1:], list(good.values()), WORDS, dice)

    def parse(raw: bytes) -> None:
        path = files[raw[0]]
        path.write_bytes(raw[1:])
        if path.name in SMALL:
            files[manifest].write_bytes(_pack_again(good[manifest], path.name, raw[1:], folder))
        try:
            pack = open_pack(folder)
            pack.files(), pack.quarantine(), pack.damaged()
            [pack.rows(split) for split in ("train", "val", "test")]
        finally:
            path.write_bytes(good[raw[0]])
            files[manifest].write_bytes(good[manifest])

    return Parser("pack", corpus, change, parse)


def _pack_again(manifest: bytes, name: str, raw: bytes, folder: Path) -> bytes:
    """The manifest of a pack of which one small file is another: its checksum and fingerprint anew."""
    content = json.loads(manifest)
    content.pop("seal")
    content["files"][name] = sum_of(raw)
    with suppress(ValueError):  # of half a number
        labels, keys = (
            np.frombuffer((folder / f"{n}.bin").read_bytes(), "<i8") for n in ("labels", "keys")
        )
        splits = np.frombuffer((folder / "splits.bin").read_bytes(), np.uint8)
        settings = Data(image_size=content["image_size"])
        classes = tuple(content["classes"])
        content["fingerprint"] = pack_fingerprint(settings, classes, keys, labels, splits)
    return seal(content)


def _of_cache(folder: Path) -> Parser:
    """The same for a teacher's cache: manifest, index, answers."""
    shelf = folder / "teacher-cache"
    identity = Identity(
        "0" * 16,
        "resnet18",
        "torch 2",
        ("cat", "dog"),
        8,
        8,
        (0.0,) * 3,
        (1.0,) * 3,
        "None",
        False,
        "cpu",
        {},
        None,
        ("layer1",),
    )
    kept = shelf / identity.name
    shapes = {"logits": (2,), "layer1": (2, 2)}
    create(kept, identity, shapes)
    writer = Writer(kept)
    keys = np.arange(4, dtype=np.int64)
    points = {"layer1": np.ones((4, 2, 2), np.float32)}
    writer.add(Answers(keys, np.zeros(4, np.int32), np.ones((4, 2), np.float32), points))
    writer.keep()
    writer.close()
    files = sorted(path for path in kept.iterdir() if path.is_file() and path.stat().st_size)
    good = {number: path.read_bytes() for number, path in enumerate(files)}
    manifest = next(n for n, path in enumerate(files) if path.name == "manifest.json")
    corpus = [bytes([number]) + raw for number, raw in good.items()]
    corpus += [bytes([manifest]) + good[manifest]] * 3
    of_table = tabled([good[manifest]])

    def change(one: bytes, dice: random.Random) -> bytes:
        if one[0] == manifest:
            return one[:1] + of_table(one[1:], dice)
        return one[:1] + mutated(one[1:], list(good.values()), WORDS, dice)

    def parse(raw: bytes) -> None:
        path = files[raw[0]]
        path.write_bytes(raw[1:])
        try:
            if path.name == "index.bin":
                content = json.loads(good[manifest])
                content.pop("seal")
                content["index"] = hashlib.sha256(raw[1:][: len(raw) // 20 * 20]).hexdigest()
                content["answers"] = (len(raw) - 1) // 20
                files[manifest].write_bytes(seal(content))
            entry(kept)
            found = open_table(kept)
            found.damaged()
            places = found.positions(keys, 0)
            if "logits" in found.shapes and (places >= 0).all():
                found.logits(places)
        finally:
            path.write_bytes(good[raw[0]])
            files[manifest].write_bytes(good[manifest])

    return Parser("teacher's cache", corpus, change, parse)


def _of_sealed(folder: Path) -> Parser:
    """run.json, job.json and plan.json: the first byte says which."""
    names = ("run.json", "job.json", "plan.json", "cell.json")
    sums = {"scores.json": {"bytes": 2, "sha256": hashlib.sha256(b"{}").hexdigest()}}
    about = {
        "kind": "run",
        "role": "student",
        "seed": 0,
        "name": "student-0",
        "fingerprint": "0" * 16,
    }
    tables: list[dict[str, Any]] = [
        {"format": FORMAT, **about, "finished": True, "files": sums},
        {
            "format": JOB_FORMAT,
            "verb": "run",
            "data": "sample",
            "recipe": "demo",
            "networks": [],
            "finished": True,
            "files": sums,
        },
        {
            "format": 1,
            "title": "t",
            "runs": [{"folder": f"{role}-0", "role": role} for role in ("student", "specialist")],
        },
        {"format": 1, "objective": "kd", "seed": 0, "right": "ff", "images": 8},
    ]
    job = folder / "job"
    job.mkdir()
    (job / "scores.json").write_bytes(b"{}")
    corpus = [bytes([number]) + seal(content) for number, content in enumerate(tables)]
    for number, name in enumerate(names):
        (job / name).write_bytes(corpus[number][1:])
    of_table = tabled([one[1:] for one in corpus])

    def parse(raw: bytes) -> None:
        path = job / names[raw[0]]
        path.write_bytes(raw[1:])
        try:
            if raw[0] == 0:
                results = open_results(job)
                facts = Fields(results.facts, path)
                facts.text("name"), facts.text("role"), facts.integer("seed")
                results.table("scores.json")
            elif raw[0] == 1:
                require_job(job)
            elif raw[0] == 2:
                run_folders(job), specialist_folders(job)
            else:
                read_sealed(path, kind="a cell", version=1)
        finally:
            path.write_bytes(corpus[raw[0]][1:])

    return Parser("sealed JSON", corpus, lambda one, dice: one[:1] + of_table(one[1:], dice), parse)


def _of_recipes() -> Parser:
    corpus = [path.read_bytes() for path in sorted(FOLDER.rglob("*.toml"))]
    corpus += [to_toml(table(Job())).encode()] * 4
    words = [
        b'"""',
        b"'''",
        b"=",
        b"[[a]]",
        b"[",
        b"]",
        b"{a = 1}",
        b".",
        b"0x",
        b"1979-05-27",
        b"nan",
        b"inf",
        b"true",
        b"\\U0010ffff",
        b"own.x.y = 1\n",
        b"alpha = 2\n",
        b"[terms.kd]\n",
        b"#",
        b"\n",
        b"\0",
    ]
    where = Path("recipe.toml")

    def parse(raw: bytes) -> None:
        job = build(Job, parse_toml(raw, where), where="recipe.toml")
        weights(job)
        own_settings_of(job.own)
        to_toml(table(job))

    return Parser("recipe", corpus, plainly(corpus, words), parse)


def _of_tables() -> Parser:
    names = [f"a/{number}.png" for number in range(6)]
    rows = [
        [name, ("cat", "dog")[n % 2], ("train", "val", "test")[n % 3]]
        for n, name in enumerate(names)
    ]
    texts = []
    for header, width in ((["path", "label"], 2), (["path", "label", "split"], 3)):
        text = io.StringIO()
        csv.writer(text).writerows([header, *(row[:width] for row in rows)])
        texts.append(text.getvalue().encode())
    texts.append(b"\xef\xbb\xbf" + texts[0])
    words = [
        b",",
        b'"',
        b'""',
        b"\r",
        b"\n",
        b"\0",
        b"../",
        b"C:\\",
        b"path,label\n",
        b"\xff",
        b";",
        b" ",
        b"a/1.png,cat\n",
    ]
    where = Path("t.csv")

    def find(name: str) -> File | str | None:
        return File(name, bytes, "") if name in names else None

    def parse(raw: bytes) -> None:
        read_table(raw, find, Listing(), {}, where)

    return Parser("label table", texts, plainly(texts, words), parse)


def _of_idx() -> Parser:
    corpus = [
        struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 3, 4) + bytes(24),
        struct.pack(">BBBBI", 0, 0, 8, 1, 9) + bytes(9),
    ]
    words = [bytes([0, 0, 8, rank]) for rank in range(1, 5)]
    return Parser(
        "IDX", corpus, plainly(corpus, words), lambda raw: parse_idx(io.BytesIO(raw), "x")
    )


def _of_zip(folder: Path) -> Parser:
    corpus = []
    for how in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        for layout in ("{}/{}.png", "top/train/{}/{}.png", "t.csv"):
            raw = io.BytesIO()
            with zipfile.ZipFile(raw, "w", how) as archive:
                for label in ("cat", "dog"):
                    for number in range(2):
                        name = (
                            f"{label}/{number}.png"
                            if layout == "t.csv"
                            else layout.format(label, number)
                        )
                        archive.writestr(name, _picture(number))
                if layout == "t.csv":
                    archive.writestr(layout, "path,label\ncat/0.png,cat\ndog/0.png,dog\n")
            corpus.append(raw.getvalue())
    words = [
        b"PK\x01\x02",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"PK\x06\x06",
        b"PK\x06\x07",
        b"../",
        b"\x01\x00\x18\x00",
        b"\xff" * 4,
    ]
    path = folder / "data.zip"

    def parse(raw: bytes) -> None:
        path.write_bytes(raw)
        listing = scan(path)
        for item in arrange(listing, {}, where=path).items:
            with suppress(Unreadable):
                item.read()

    return Parser("zip", corpus, plainly(corpus, words), parse)


def _of_checkpoint(folder: Path) -> Parser:
    """A manifest, facts and tensors; the checksums of what is changed are made again."""
    import torch

    from tutelage.engine.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

    place = folder / "checkpoint"
    facts = {
        "epoch": 3,
        "step": 7,
        "journal": 120,
        "sums": [0.5, 1.0],
        "best": None,
        "settings": {"seed": 0},
    }
    save_checkpoint(
        place, Checkpoint({"student/weight": torch.ones(3, 2), "rng": torch.zeros(8).byte()}, facts)
    )
    names = ("manifest.json", "facts.json", "tensors.safetensors")
    good = [(place / name).read_bytes() for name in names]
    corpus = [bytes([number]) + raw for number, raw in enumerate(good)]
    of_table = tabled(good[:2])

    def change(one: bytes, dice: random.Random) -> bytes:
        if one[0] == 0:
            return one[:1] + of_table(one[1:], dice)
        return one[:1] + mutated(one[1:], good, WORDS, dice)

    def parse(raw: bytes) -> None:
        path = place / names[raw[0]]
        path.write_bytes(raw[1:])
        if raw[0]:
            manifest = json.loads(good[0])
            manifest.pop("seal")
            sums = {"bytes": len(raw) - 1, "sha256": hashlib.sha256(raw[1:]).hexdigest()}
            manifest["files"][names[raw[0]]] = sums
            (place / names[0]).write_bytes(seal(manifest))
        try:
            load_checkpoint(place)
        finally:
            path.write_bytes(good[raw[0]])
            (place / names[0]).write_bytes(good[0])

    return Parser("checkpoint", corpus, change, parse)


def _of_weights(folder: Path) -> Parser:
    import torch
    from safetensors.torch import save

    from tutelage.models.weights import read_weights

    state = {"weight": torch.ones(2, 2), "bias": torch.zeros(2)}
    corpus = [b"s" + save(state)]
    for number, how in enumerate(({}, {}, {"_use_new_zipfile_serialization": False})):
        raw = io.BytesIO()
        torch.save({"state_dict": state, "epoch": 3} if number else state, raw, **how)
        corpus.append(b"p" + raw.getvalue())
    words = [
        b"cposix\nmkdir\n",
        b"c__builtin__\nbytearray\n",
        b"R",
        b"\x85",
        b"\x86",
        b"q\x01",
        b"h\x01",
        b"(",
        b"t",
        b"b",
        b"PK\x01\x02",
        b"PK\x05\x06",
        b"\x8a\x08",
        b"Q",
        b"ctorch\nFloatStorage\n",
    ]
    paths = {ord("s"): folder / "w.safetensors", ord("p"): folder / "w.pt"}

    def change(one: bytes, dice: random.Random) -> bytes:
        return one[:1] + mutated(one[1:], corpus, words, dice)

    def parse(raw: bytes) -> None:
        paths[raw[0]].write_bytes(raw[1:])
        read_weights(paths[raw[0]])

    return Parser("weights", corpus, change, parse)


def refuses(parse: Parse, raw: bytes) -> bool:
    """Whether an input is refused with a message of ours; any other error comes through."""
    try:
        parse(raw)
    except TutelageError:
        return True
    return False
