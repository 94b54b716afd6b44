"""Cases 91 to 116: networks, weights and checkpoints from outside."""

import collections
import io
import json
import os
import pickle
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from support.reliability.bad_case import Case, Places
from tutelage.config.model import ModelConfig
from tutelage.models.build import build_model
from tutelage.models.model_folder import save_model

MARKER = "marker"
"""The file that a payload makes when it runs, in the working directory of the call."""


class Payload:
    """Unpickled, it runs a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {MARKER}",)


def saved(*classes: str, size: int = 16, endless: bool = False) -> Callable[[Path, Places], Places]:
    """A whole model folder of an untrained network for some classes and an image size."""

    def make(folder: Path, _: Places) -> Places:
        built = build_model(
            ModelConfig(model="test_resnet"),
            classes=len(classes),
            stored_size=size,
            train_statistics=((0.5,) * 3, (0.25,) * 3),
            seed=1,
        )
        if endless:
            with torch.no_grad():
                built.classifier.network.get_classifier().weight.fill_(3e38)
        place = folder / "net"
        save_model(
            place,
            built.classifier.eval(),
            settings=ModelConfig(model="test_resnet"),
            classes=classes,
            stored_size=size,
            background="white",
            card="",
        )
        return {"network": place}

    return make


def changed(change: Callable[[Path], None]) -> Callable[[Path, Places], Places]:
    """A copy of the trained network's model folder whose weights file is changed."""

    def make(folder: Path, places: Places) -> Places:
        shutil.copytree(Path(places["run"]) / "model", folder / "net")
        change(folder / "net" / "model.safetensors")
        return {"network": folder / "net"}

    return make


def single_file(name: str, write: Callable[[Path], None]) -> Callable[[Path, Places], Places]:
    """One file instead of a model folder."""

    def make(folder: Path, _: Places) -> Places:
        write(folder / name)
        return {"network": folder / name}

    return make


def state(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path, Places], Places]:
    """A weights file of the trained network with other tensors in it."""

    def make(folder: Path, places: Places) -> Places:
        tensors = load_file(Path(places["run"]) / "model" / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "other.safetensors")
        return {"network": folder / "other.safetensors"}

    return make


def _tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            raw = pickle.dumps(Payload())
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))


def _legacy(path: Path) -> None:
    torch.save(Payload(), path, _use_new_zipfile_serialization=False)


def _bomb(path: Path) -> None:
    """A megabyte that inflates to a gigabyte."""
    path.write_bytes(bomb_bytes())


@lru_cache
def bomb_bytes() -> bytes:
    """The same bytes, made once."""
    table = io.BytesIO()
    torch.save({"conv.weight": torch.zeros(4)}, table)
    made = io.BytesIO()
    with (
        zipfile.ZipFile(table) as plain,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out,
    ):
        for name in plain.namelist():
            if not name.endswith("data/0"):
                out.writestr(name, plain.read(name))
            else:
                with out.open(name, "w", force_zip64=True) as member:
                    for _ in range(1024):
                        member.write(bytes(1 << 20))
    return made.getvalue()


def _header(header: bytes, length: int | None = None, rest: bytes = b"") -> Callable[[Path], None]:
    size = struct.pack("<Q", len(header) if length is None else length)
    return lambda path: path.write_bytes(size + header + rest) and None


def _overlapping() -> bytes:
    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    return json.dumps({"a": one, "b": one}).encode()


ONCE = b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
TWICE = b"{" + ONCE + b"," + ONCE + b"}"


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _bit(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) * 3 // 4] ^= 4
    path.write_bytes(raw)


def _tail(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:-4096] + bytes(4096))


def _not_finite(tensors: dict[str, torch.Tensor]) -> None:
    next(tensor for tensor in tensors.values() if tensor.is_floating_point()).view(-1)[0] = (
        torch.nan
    )


def _renamed(tensors: dict[str, torch.Tensor]) -> None:
    tensors["strange"] = tensors.pop(next(iter(tensors)))


def _as(kind: torch.dtype) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        for name, tensor in tensors.items():
            if tensor.is_floating_point():
                tensors[name] = tensor.to(kind)

    return change


@contextmanager
def unsafe_loading(_: Path) -> Iterator[None]:
    """The variable that makes torch.load unpickle whatever it is given."""
    name = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]


def no(reason: str) -> dict[str, str]:
    """No entry applies, for one reason."""
    from support.reliability.bad_entries import ENTRIES

    return dict.fromkeys(ENTRIES, reason)


def _strange(
    number: str, name: str, file: str, write: Callable[[Path], None], **more: object
) -> Case:
    return Case(number, name, "E", "network", single_file(file, write), says=file, **more)


def _weights_only(number: str, name: str, change: Callable[..., None], kind: str = "E") -> Case:
    """Tensors that a model folder could not hold: some entries want a folder."""
    cells = dict.fromkeys(("distill", "evaluate", "predict", "export"), ("E", "other.safetensors"))
    return Case(number, name, kind, "network", state(change), "other.safetensors", cells=cells)


BEGINS = {"train": "H", "run": "H", "sweep": "H"}
"""Weights to begin with: a classifier of other classes is replaced."""

NETWORKS: tuple[Case, ...] = (
    Case("91", "network of another number of classes", "E", "network", saved("A", "B", "C"),
         says="classes", cells={**BEGINS, "predict": "H", "export": "H"}),
    Case("92", "network of the classes in another order", "H", "network", saved("Coat", "Bag")),
    Case("93", "network of another image size", "H", "network", saved("Bag", "Coat", size=40)),
    Case("94", "network of a single output", "E", "network", saved("Bag"), says="class",
         cells={**BEGINS, "predict": "H", "export": "H"}),
    Case("95", "network whose answers are not finite", "E", "network",
         saved("Bag", "Coat", endless=True), says="finite",
         cells=dict.fromkeys(BEGINS, "diverges: numbers")),
    _strange("96 a", "code in a zip", "code.pt", lambda path: torch.save(Payload(), path)),
    _strange("96 b", "code in the older form", "older.pt", _legacy),
    _strange("96 c", "code in a tar", "tar.pt", _tar),
    _strange("96 d", "code in a bare pickle", "bare.pkl",
             lambda path: path.write_bytes(pickle.dumps(Payload())) and None),
    _strange("97", "pickle of an unknown class", "counter.pt",
             lambda path: torch.save({"a": collections.UserDict(a=1)}, path)),
    _strange("98", "code, and a variable that allows it", "forced.pt",
             lambda path: torch.save(Payload(), path), around=unsafe_loading),
    Case("99", "torch before 2.10", "E", "network", saved("Bag", "Coat"), cells=no("needs torch 2.11")),
    _strange("100", "a whole module", "module.pt", lambda path: torch.save(nn.Linear(2, 2), path)),
    Case("101", "weights cut short", "E", "network", changed(_cut), says="model.safetensors"),
    Case("102 a", "one bit of the weights flipped", "E", "network", changed(_bit), says="model.safetensors"),
    Case("103 a", "end of the weights zeroed", "E", "network", changed(_tail), says="model.safetensors"),
    _strange("104", "a megabyte that inflates to a gigabyte", "bomb.pt", _bomb),
    _strange("105", "header that claims 128 TiB", "claims.safetensors", _header(b"{", 1 << 47)),
    _weights_only("106", "weights that are not finite", _not_finite),
    _weights_only("107", "weights under other names", _renamed),
    _weights_only("108 a", "weights in float16", _as(torch.float16), "H"),
    _weights_only("108 b", "weights in float64", _as(torch.float64), "H"),
    _weights_only("108 c", "weights in int8", _as(torch.int8)),
    _strange("113", "ONNX file", "outside.onnx",
             lambda path: path.write_bytes(b"\x08\x07\x12\x00../../etc/passwd") and None),
    Case("114", "ONNX with data elsewhere", "E", "network", saved("Bag", "Coat"),
         cells=no("ONNX is not read")),
    _strange("116 a", "tensors that overlap", "overlap.safetensors", _header(_overlapping(), rest=bytes(8))),
    _strange("116 b", "a header of 101 MB", "header.safetensors", _header(b"{}" + b" " * (101 << 20))),
    _strange("116 c", "a tensor twice", "twice.safetensors", _header(TWICE, rest=bytes(4))),
)  # fmt: skip
