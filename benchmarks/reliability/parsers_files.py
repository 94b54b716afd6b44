"""Single files as input: sealed JSON, recipes, tables of labels, IDX, zips, weights."""

import csv
import hashlib
import io
import json
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mutate import mutated
from parsing import Parser, image, plainly, tabled
from safetensors.torch import save

from tutelage.config.data import DataConfig
from tutelage.config.job import DistillConfig
from tutelage.config.loss_weights import loss_weights
from tutelage.config.plugins import custom_settings
from tutelage.config.recipes import FOLDER
from tutelage.config.schema import build, to_table
from tutelage.config.toml import parse_toml, to_toml
from tutelage.data.readers.archive import scan_archive
from tutelage.data.readers.idx import parse_idx
from tutelage.data.readers.layout import infer_layout
from tutelage.data.readers.listing import File, Listing
from tutelage.data.readers.source import Unreadable
from tutelage.data.readers.tables.files import Files
from tutelage.data.readers.tables.open import read_text
from tutelage.data.readers.tables.read import SourceTable, read_parts
from tutelage.models.weights import read_weights
from tutelage.reports.record.files import to_record
from tutelage.reports.record.read import run_folders, specialist_folders
from tutelage.storage.checksums import read_sealed, seal
from tutelage.storage.run_results import FORMAT, JOB_FORMAT, open_results, require_job


class Named(NamedTuple):
    """The fields of run.json that a report reads."""

    name: str
    role: str
    seed: int


def of_sealed(folder: Path) -> Parser:
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
                to_record(Named, results.facts, path)
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


def of_recipes() -> Parser:
    corpus = [path.read_bytes() for path in sorted(FOLDER.rglob("*.toml"))]
    corpus += [to_toml(to_table(DistillConfig())).encode()] * 4
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
        b"[losses.kd]\n",
        b"#",
        b"\n",
        b"\0",
    ]
    where = Path("recipe.toml")

    def parse(raw: bytes) -> None:
        job = build(DistillConfig, parse_toml(raw, where), where="recipe.toml")
        loss_weights(job)
        custom_settings(job.custom)
        to_toml(to_table(job))

    return Parser("recipe", corpus, plainly(corpus, words), parse)


def of_tables() -> Parser:
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
    texts += [texts[1].replace(b",", b";"), texts[0].decode().encode("utf-16")]
    texts.append("\n".join(f"{row[0]} {n % 2}" for n, row in enumerate(rows)).encode())
    texts.append(
        "\n".join(json.dumps({"file_name": row[0], "label": row[1]}) for row in rows).encode()
    )
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

    def find(name: str) -> File | str | None:
        return File(name, bytes, "") if name in names else None

    def parse(raw: bytes) -> None:
        where = Path("t.jsonl" if raw.lstrip()[:1] == b"{" else "t.csv")
        files = Files(Path(), find, Listing)
        read_parts(
            [SourceTable(read_text(raw, where, files), files)], DataConfig(), {}, where=where
        )

    return Parser("label table", texts, plainly(texts, words), parse)


def of_idx() -> Parser:
    corpus = [
        struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 3, 4) + bytes(24),
        struct.pack(">BBBBI", 0, 0, 8, 1, 9) + bytes(9),
    ]
    words = [bytes([0, 0, 8, rank]) for rank in range(1, 5)]
    return Parser(
        "IDX", corpus, plainly(corpus, words), lambda raw: parse_idx(io.BytesIO(raw), "x")
    )


def of_zip(folder: Path) -> Parser:
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
                        archive.writestr(name, image(number))
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

    return Parser("zip", corpus, plainly(corpus, words), _reading_of(path))


def of_tar(folder: Path) -> Parser:
    """Plain and compressed tars, with long names in both dialects."""
    corpus = []
    for mode, dialect in (
        ("w", tarfile.GNU_FORMAT),
        ("w", tarfile.PAX_FORMAT),
        ("w:gz", tarfile.PAX_FORMAT),
    ):
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode=mode, format=dialect) as archive:
            for label in ("cat", f"dog{'g' * 120}"):
                for number in range(2):
                    member = tarfile.TarInfo(f"./{label}/{number}.png")
                    content = image(number)
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
        corpus.append(raw.getvalue())
    words = [
        b"ustar",
        b"././@LongLink",
        b"30 path=",
        b"\0" * 512,
        b"../",
        b"0000777",
        b"L",
        b"x",
        b"S",
        b"\x80",
    ]
    path = folder / "data.tar"
    return Parser("tar", corpus, plainly(corpus, words), _reading_of(path))


def _reading_of(path: Path) -> Callable[[bytes], None]:
    def parse(raw: bytes) -> None:
        path.write_bytes(raw)
        listing = scan_archive(path)
        for item in infer_layout(listing, {}, where=path).items:
            with suppress(Unreadable):
                item.read()

    return parse


def of_weights(folder: Path) -> Parser:
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
