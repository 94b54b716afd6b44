"""Inspect a PyTorch file before opening it.

`weights_only` keeps code from running. It does not prevent a kilobyte from claiming a terabyte: a deflated
member, a `bytearray(n)`, a stored member that is counted twice, nested tuples whose hash takes years. So the
members of the zip and the instructions of the pickle are read first, and only what a table of tensors needs
is let through. Nothing here executes an instruction.
"""

import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

LARGEST_PICKLE = 8 << 20
MOST_MEMBERS = 200_000
MOST_NESTED = 1_000_000
"""Most values that nested tuples may hold: each is visited when a tuple is hashed."""
_ALLOWED = re.compile(
    r"collections (OrderedDict|Counter)"
    r"|torch (\w+Storage|Size|device|(u?int|b?float|complex)\d+\w*|bool)"
    r"|torch\.storage (UntypedStorage|TypedStorage)"
    r"|torch\._utils (_rebuild_tensor_v2|_rebuild_tensor_v3|_rebuild_parameter)"
    r"|torch\.nn\.parameter Parameter"
    r"|(builtins|__builtin__) complex"
)
_REFUSED = {"STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ_EX", "PERSID", "DUP"}
"""Instructions that `torch.save` never writes."""
_LEGACY_PICKLES = 5
"""Magic number, protocol, system, content, storage keys: a file before torch 1.6."""


def require_only_tensors(path: Path) -> None:
    """Refuse a file that holds code, has another format, or unpacks to more than its size.

    Raises:
        ValueError: why it is refused, as text for the user.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(512)
        file.seek(0)
        if head.startswith(b"PK\x03\x04"):
            _require_zip(file)
        elif head.startswith(b"\x80"):
            for _ in range(_LEGACY_PICKLES):
                _require_pickle(file)
        else:
            _refuse(f"it is {_kind(head, path)}")


def _kind(head: bytes, path: Path) -> str:
    if head[257:262] == b"ustar":
        return "the tar of a torch before 0.1.10"
    if path.suffix == ".onnx":
        return "an ONNX file, which holds a graph; weights are wanted"
    if head[8:9] == b"{":
        return "a safetensors file: name it .safetensors"
    kinds = {b"\x1f\x8b": "gzipped", b"\x93NUMPY": "a NumPy array", b"\x89HDF": "an HDF5 file"}
    return next(
        (kind for start, kind in kinds.items() if head.startswith(start)), "no PyTorch file"
    )


def _require_zip(file: IO[bytes]) -> None:
    size = file.seek(0, 2)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if code := next(filter(None, map(_code, names)), None):
            _refuse(code)
        if len(members) > MOST_MEMBERS:
            _refuse(f"it has {len(members):,} members, more than {MOST_MEMBERS:,}")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            _refuse("its members are compressed, which torch.save never does")
        unpacked = sum(member.file_size for member in members)
        if unpacked > size:
            _refuse(f"it unpacks to {unpacked:,} bytes, more than its own {size:,}")
        pickles = [member for member in members if member.filename.endswith("data.pkl")]
        if len(pickles) != 1 or len(set(names)) < len(names):
            _refuse("it holds no single table of tensors")
        if pickles[0].file_size > LARGEST_PICKLE:
            _refuse(f"its table of names has {pickles[0].file_size:,} bytes")
        with archive.open(pickles[0]) as content:
            _require_pickle(content)


def _code(name: str) -> str | None:
    """Return what a member of this name makes of the whole file, where that is a program."""
    parts = name.split("/")
    if "constants.pkl" in parts or "code" in parts[1:2]:
        return "it is TorchScript, a program"
    if parts[-1].endswith("exported_program.json") or parts[-1] == "archive_format":
        return "it is an exported program (pt2), which holds code"
    return None


def _require_pickle(file: IO[bytes]) -> None:
    """Check the instructions of one pickle; the file is positioned after it when done."""
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[Any, int] = {}
    start = file.tell()
    for operation, argument, position in _operations(file):
        name = operation.name
        if (position or 0) - start > LARGEST_PICKLE:
            _refuse("its table of names is too long")
        if name in _REFUSED:
            _refuse(f"it has the instruction {name}, which no table of tensors needs")
        if name == "GLOBAL":
            _require_allowed(str(argument))
        if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "MARK":
            marks.append(len(stack))
        else:
            _step(operation, stack, marks)


def _operations(file: IO[bytes]) -> Iterator[tuple[Any, Any, int | None]]:
    yield from pickletools.genops(file)


def _step(operation: Any, stack: list[int], marks: list[int]) -> None:
    """Apply one instruction to a stack that holds, for each value, the number of values nested in it."""
    before, after = operation.stack_before, operation.stack_after
    taken: list[int] = []
    if pickletools.markobject in before:
        mark = marks.pop()
        taken = stack[mark:]
        del stack[mark:]
    plain = sum(kind not in (pickletools.markobject, pickletools.stackslice) for kind in before)
    for _ in range(plain):
        taken.append(stack.pop())
    weight = 1 + sum(taken) if operation.name.startswith("TUPLE") else 1
    if weight > MOST_NESTED:
        _refuse("its tuples are nested too deeply")
    stack.extend([weight] * len(after))


def _require_allowed(name: str) -> None:
    if _ALLOWED.fullmatch(name) is None:
        shown = name.replace(" ", ".", 1)
        _refuse(
            f"it would call {shown}: a network saved whole, or code; only tables of tensors are read"
        )


def _refuse(why: str) -> NoReturn:
    raise ValueError(why)
