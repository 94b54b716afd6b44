"""Weights from a stranger: pickles in every form, archives that unpack to more, headers that lie."""

import builtins
import codecs
import io
import json
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from support.reliability.payloads import Action, Calls, Code, payload
from tutelage.config.model import ModelConfig
from tutelage.models.weights import find_weights, load_weights


def reads(path: Path) -> Action:
    """What `--weights PATH` does."""

    def action() -> object:
        found = find_weights(ModelConfig(weights=str(path)))
        assert found.path is not None
        return load_weights(torch.nn.Linear(2, 2), found.path, classifier=None).random

    return action


def saved(folder: Path, content: Any, name: str = "weights.pt", **how: Any) -> Action:
    torch.save(content, folder / name, **how)
    return reads(folder / name)


@payload("a pickle in torch's zip")
def _zip(folder: Path, marker: Path) -> Action:
    return saved(folder, {"weight": torch.zeros(2, 2), "bias": Code(marker)})


@payload("a pickle in the form before torch 1.6")
def _old(folder: Path, marker: Path) -> Action:
    content = {"weight": torch.zeros(2, 2), "bias": Code(marker)}
    return saved(folder, content, _use_new_zipfile_serialization=False)


@payload("a pickle as a key of the table")
def _key(folder: Path, marker: Path) -> Action:
    return saved(folder, {"state_dict": {Code(marker): torch.zeros(2, 2)}})


@payload("a pickle in the metadata of a state dict")
def _metadata(folder: Path, marker: Path) -> Action:
    state = torch.nn.Linear(2, 2).state_dict()
    state._metadata = {"": Code(marker)}  # type: ignore[attr-defined]
    return saved(folder, state)


@payload("a pickle that loads another file unsafely")
def _second(folder: Path, marker: Path) -> Action:
    (folder / "second.pkl").write_bytes(pickle.dumps(Code(marker)))
    return saved(folder, {"weight": Calls(torch.load, str(folder / "second.pkl"))})


@payload("eval in a pickle")
def _eval(folder: Path, marker: Path) -> Action:
    return saved(
        folder, {"weight": Calls(builtins.eval, f"__import__('os').mkdir({str(marker)!r})")}
    )


@payload("a network saved whole")
def _whole(folder: Path, marker: Path) -> Action:
    network = torch.nn.Linear(2, 2)
    network.register_forward_hook(print)
    network.extra = Code(marker)  # type: ignore[assignment]
    return saved(folder, network)


for _protocol in (0, 2, 4, 5):

    @payload(f"a bare pickle of protocol {_protocol}")
    def _bare(folder: Path, marker: Path, protocol: int = _protocol) -> Action:
        (folder / "weights.pth").write_bytes(pickle.dumps({"weight": Code(marker)}, protocol))
        return reads(folder / "weights.pth")


@payload("a pickle named safetensors")
def _misnamed(folder: Path, marker: Path) -> Action:
    return saved(folder, {"weight": Code(marker)}, "model.safetensors")


@payload("a pickle in a model folder")
def _in_folder(folder: Path, marker: Path) -> Action:
    saved(folder, {"weight": Code(marker)}, "model.safetensors")
    return reads(folder)


@payload("the tar of the first torch")
def _tar(folder: Path, marker: Path) -> Action:
    with tarfile.open(folder / "weights.pt", "w") as archive:
        for name in ("sys_info", "storages", "tensors", "pickle"):
            raw = pickle.dumps(Code(marker), 2)
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    return reads(folder / "weights.pt")


def repacked(folder: Path, extra: dict[str, bytes]) -> Action:
    """A good file with more members."""
    torch.save({"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}, folder / "good.pt")
    with zipfile.ZipFile(folder / "good.pt") as good, zipfile.ZipFile(folder / "w.pt", "w") as bad:
        for member in good.infolist():
            bad.writestr(member.filename, good.read(member))
        for name, content in extra.items():
            bad.writestr(name, content)
    return reads(folder / "w.pt")


@payload("TorchScript")
def _script(folder: Path, marker: Path) -> Action:
    code = f"def forward(self):\n  return __import__('os').mkdir({str(marker)!r})\n".encode()
    raw = pickle.dumps(Code(marker), 2)
    return repacked(folder, {"good/code/__torch__.py": code, "good/constants.pkl": raw})


@payload("an exported program (pt2)")
def _pt2(folder: Path, marker: Path) -> Action:
    raw = pickle.dumps(Code(marker), 2)
    return repacked(folder, {"good/archive_format": b"pt2", "good/data/weights/model.pt": raw})


@payload("a second table of names")
def _two_tables(folder: Path, marker: Path) -> Action:
    return repacked(folder, {"other/data.pkl": pickle.dumps(Code(marker), 2)})


@payload("1 MB that inflates to 1 GiB")
def _inflates(folder: Path, marker: Path) -> Action:
    with zipfile.ZipFile(folder / "w.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", pickle.dumps(Code(marker), 2))
        with archive.open("w/data/0", "w", force_zip64=True) as member:
            for _ in range(64):
                member.write(bytes(16 << 20))
    return reads(folder / "w.pt")


@payload("one member counted 1,000 times")
def _counted(folder: Path, _marker: Path) -> Action:
    torch.save({"weight": torch.zeros(1 << 18)}, folder / "w.pt")
    raw = (folder / "w.pt").read_bytes()
    at = raw.index(b"PK\x01\x02")
    with zipfile.ZipFile(folder / "w.pt") as archive:
        member = archive.getinfo("w/data/0")
        end = archive.start_dir
    entry_at = raw.index(b"w/data/0", end) - 46
    name = b"w/data/0"
    rest = len(name) + sum(struct.unpack_from("<HH", raw, entry_at + 30))
    entry = raw[entry_at : entry_at + 46 + rest]
    entries = [entry.replace(name, f"w/data/{i:04d}".encode()[: len(name)]) for i in range(1000)]
    directory = raw[at : raw.index(b"PK\x06\x06" if b"PK\x06\x06" in raw else b"PK\x05\x06", at)]
    whole = directory + b"".join(entries)
    count = raw.count(b"PK\x01\x02") + len(entries)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(whole), at, 0)
    (folder / "w.pt").write_bytes(raw[:at] + whole + tail)
    assert member.file_size == 1 << 20
    return reads(folder / "w.pt")


@payload("bytearray(4 GiB)")
def _bytearray(folder: Path, _marker: Path) -> Action:
    return saved(folder, {"weight": Calls(bytearray, 4 << 30)})


@payload("an encoding of an encoding of an encoding")
def _encodings(folder: Path, _marker: Path) -> Action:
    nested: Any = b"a" * 1024
    for _ in range(24):
        nested = Calls(codecs.encode, nested, "hex")
    return saved(folder, {"weight": nested})


@payload("a tensor of one number and a stride of 0")
def _stride(folder: Path, _marker: Path) -> Action:
    return saved(folder, {"weight": torch.zeros(1).expand(1 << 42)})


@payload("one storage under 10,000 names")
def _same(folder: Path, _marker: Path) -> Action:
    tensor = torch.zeros(1 << 20)
    return saved(folder, {str(number): tensor for number in range(10_000)})


@payload("tuples in tuples, to be hashed for years")
def _tuples(folder: Path, _marker: Path) -> Action:
    nested: Any = (1,)
    for _ in range(64):
        nested = (nested, nested)
    raw = (
        b"\x80\x02}" + pickle.dumps(nested, 2)[2:-1] + b"K\x01s."
    )  # {nested: 1}, never hashed here
    with zipfile.ZipFile(folder / "w.pt", "w") as archive:
        archive.writestr("w/data.pkl", raw)
        archive.writestr("w/version", b"3")
    return reads(folder / "w.pt")


@payload("a sparse tensor")
def _sparse(folder: Path, _marker: Path) -> Action:
    sparse = torch.sparse_coo_tensor(torch.zeros((1, 1)).long(), torch.ones(1), (1 << 40,))
    return saved(folder, {"weight": sparse})


@payload("a storage of 64 GiB claimed in the old form")
def _claimed(folder: Path, _marker: Path) -> Action:
    content = {"weight": torch.zeros(77_777)}
    torch.save(content, folder / "w.pt", _use_new_zipfile_serialization=False)
    raw = (folder / "w.pt").read_bytes()
    number = b"J" + struct.pack("<i", 77_777)
    assert number in raw
    long = b"\x8a\x05" + (1 << 34).to_bytes(5, "little")
    (folder / "w.pt").write_bytes(raw.replace(number, long, 1))
    return reads(folder / "w.pt")


@payload("a NumPy array of objects")
def _objects(folder: Path, marker: Path) -> Action:
    array = np.array([Code(marker)], object)
    np.save(folder / "w.npy", array, allow_pickle=True)
    return reads(folder / "w.npy")


@payload("a NumPy archive of objects")
def _archive(folder: Path, marker: Path) -> Action:
    np.savez(folder / "w.npz", weight=np.array([Code(marker)], object), allow_pickle=True)
    return reads(folder / "w.npz")


@payload("an ONNX file with data elsewhere")
def _onnx(folder: Path, _marker: Path) -> Action:
    (folder / "w.onnx").write_bytes(b"\x08\x09:\x22\x2a\x20r\x1elocation\x12/../../../etc/passwd")
    return reads(folder / "w.onnx")


def tensors(folder: Path, header: Any, data: bytes = b"", length: int | None = None) -> Action:
    """A safetensors file with any header."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = struct.pack("<Q", len(raw) if length is None else length)
    (folder / "w.safetensors").write_bytes(size + raw + data)
    return reads(folder / "w.safetensors")


@payload("a header that claims 128 TiB")
def _header(folder: Path, _marker: Path) -> Action:
    return tensors(folder, b"{}", length=128 << 40)


@payload("a header of 101 MB")
def _long_header(folder: Path, _marker: Path) -> Action:
    action = tensors(folder, b"{", length=101_000_000)
    with (folder / "w.safetensors").open("r+b") as file:
        file.truncate(101_000_008)  # a hole: no room is taken
    return action


@payload("tensors that overlap")
def _overlap(folder: Path, _marker: Path) -> Action:
    one = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    return tensors(folder, {"weight": one, "bias": one}, bytes(16))


@payload("a tensor of 2^62 numbers in 16 bytes")
def _huge(folder: Path, _marker: Path) -> Action:
    one = {"dtype": "F32", "shape": [1 << 31, 1 << 31], "data_offsets": [0, 16]}
    return tensors(folder, {"weight": one}, bytes(16))


@payload("a name twice")
def _twice(folder: Path, _marker: Path) -> Action:
    weight = '"weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}'
    bias = '"bias":{"dtype":"F32","shape":[2],"data_offsets":[16,24]}'
    return tensors(folder, f"{{{weight},{bias},{weight}}}".encode(), bytes(24))


@payload("names that repaint the terminal")
def _names(folder: Path, _marker: Path) -> Action:
    one = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    return tensors(folder, {"\x1b]0;owned\x07\x1b[2J\r\u202e\n  try: sh": one}, bytes(4))


@payload("weights that are a link out of their folder")
def _link(folder: Path, marker: Path) -> Action:
    saved(folder.parent, {"weight": Code(marker)}, "elsewhere.safetensors")
    (folder / "model.safetensors").symlink_to(folder.parent / "elsewhere.safetensors")
    return reads(folder)
