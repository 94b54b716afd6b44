"""Folders of ours as one input: the first byte says which file of them is another, the rest is the file."""

import hashlib
import json
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from mutate import mutated
from parsing import WORDS, Parser, image, tabled

from tutelage.config.data import DataConfig
from tutelage.data.pack.pack import SMALL, open_pack, pack_fingerprint
from tutelage.data.pack.write import write_pack
from tutelage.data.readers.open import open_source
from tutelage.engine.checkpoint.format import Checkpoint, load_checkpoint, save_checkpoint
from tutelage.storage.checksums import checksum_of, seal
from tutelage.teachers.cache.folder import cache_entry
from tutelage.teachers.cache.key import CacheKey
from tutelage.teachers.cache.table import CachedOutputs, open_cache_table
from tutelage.teachers.cache.writer import CacheWriter, create_cache


def _any_of(
    good: list[bytes], manifest: int
) -> tuple[list[bytes], Callable[[bytes, random.Random], bytes]]:
    """The inputs that stand for one of a folder's files, its manifest most often, and their changes."""
    corpus = [bytes([number]) + raw for number, raw in enumerate(good)]
    corpus += [bytes([manifest]) + good[manifest]] * 4
    of_table = tabled([good[manifest]])

    def change(one: bytes, dice: random.Random) -> bytes:
        if one[0] == manifest:
            return one[:1] + of_table(one[1:], dice)
        return one[:1] + mutated(one[1:], good, WORDS, dice)

    return corpus, change


def _pack(data: Path, folder: Path) -> Path:
    for label in ("cat", "dog"):
        (data / label).mkdir(parents=True)
        for number in range(8):
            shade = 20 * number + (label == "dog")
            (data / label / f"{number}.png").write_bytes(image(shade))
    (data / "dog" / "bad.png").write_bytes(b"no image")
    settings = DataConfig(image_size=8, max_unreadable=1.0)
    write_pack(open_source(str(data), settings), settings, folder, progress=lambda _done, _of: None)
    return folder


def of_pack(folder: Path) -> Parser:
    """A pack of two classes."""
    folder = _pack(folder / "data", folder / "pack")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    good = [path.read_bytes() for path in files]
    manifest = [path.name for path in files].index("manifest.json")
    corpus, change = _any_of(good, manifest)

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
    content["files"][name] = checksum_of(raw)
    with suppress(ValueError):  # of half a number
        labels, keys = (
            np.frombuffer((folder / f"{n}.bin").read_bytes(), "<i8") for n in ("labels", "keys")
        )
        splits = np.frombuffer((folder / "splits.bin").read_bytes(), np.uint8)
        settings = DataConfig(image_size=content["image_size"])
        classes = tuple(content["classes"])
        content["fingerprint"] = pack_fingerprint(settings, classes, keys, labels, splits)
    return seal(content)


def of_cache(folder: Path) -> Parser:
    """A teacher's cache: manifest, index, answers."""
    shelf = folder / "teacher-cache"
    identity = CacheKey(
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
    create_cache(kept, identity, shapes)
    writer = CacheWriter(kept)
    keys = np.arange(4, dtype=np.int64)
    points = {"layer1": np.ones((4, 2, 2), np.float32)}
    writer.add(CachedOutputs(keys, np.zeros(4, np.int32), np.ones((4, 2), np.float32), points))
    writer.keep()
    writer.close()
    files = sorted(path for path in kept.iterdir() if path.is_file() and path.stat().st_size)
    good = [path.read_bytes() for path in files]
    manifest = [path.name for path in files].index("manifest.json")
    corpus, change = _any_of(good, manifest)

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
            cache_entry(kept)
            found = open_cache_table(kept)
            found.damaged()
            places = found.positions(keys, 0)
            if "logits" in found.shapes and (places >= 0).all():
                found.logits(places)
        finally:
            path.write_bytes(good[raw[0]])
            files[manifest].write_bytes(good[manifest])

    return Parser("teacher's cache", corpus, change, parse)


def of_checkpoint(folder: Path) -> Parser:
    """A manifest, facts and tensors; the checksums of what is changed are made again."""
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
