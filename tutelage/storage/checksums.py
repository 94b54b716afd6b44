"""Detect damaged files: JSON sealed with its own checksum, and checksums of the files beside it.

The last line before the closing bracket of a sealed file is `"seal"`, the SHA-256 of all bytes before its
comma, so that any changed byte is detected. To check it by hand: `head -c -81 run.json | sha256sum`.

A sealed file may hold lengths and checksums of other files under `"files"`, and so vouch for them too.
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tutelage.errors import InputError
from tutelage.storage.atomic import write_bytes
from tutelage.storage.json_files import LARGEST_JSON, open_bounded, parse_json, read_file

Sums = Mapping[str, Mapping[str, Any]]
"""File name, relative to a folder with forward slashes -> `bytes` and `sha256` (hexadecimal)."""

_DIFFERS = "its bytes are not those that were written: the checksum differs"
_BEFORE, _AFTER = b',\n "seal": "', b'"\n}\n'
_TAIL = len(_BEFORE) + 64 + len(_AFTER)


def seal(content: Mapping[str, Any]) -> bytes:
    """Encode a table as JSON that ends with its own checksum; ValueError for NaN and infinity."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    body = text.encode("utf-8", "surrogateescape").removesuffix(b"\n}")
    return body + _BEFORE + hashlib.sha256(body).hexdigest().encode() + _AFTER


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a table as a sealed file, completely or not at all.

    Raises:
        MachineError: there is no room or no permission.
    """
    write_bytes(path, seal(content))


def read_sealed(
    path: Path, *, kind: str, version: int | None = None, fix: str | None = None
) -> dict[str, Any]:
    """Read the table in a sealed file, without its seal.

    Args:
        path: the file.
        kind: what the file belongs to, for messages: "a pack".
        version: the `format` it must have.
        fix: what to do if it is damaged.

    Raises:
        InputError: the file is missing, not sealed, changed since it was written, or of another format.
    """
    return unseal(read_file(path, largest=LARGEST_JSON), path, kind=kind, version=version, fix=fix)


def unseal(
    raw: bytes, path: Path, *, kind: str, version: int | None = None, fix: str | None = None
) -> dict[str, Any]:
    """Parse the bytes of a sealed file; see `read_sealed`."""
    body, tail = raw[:-_TAIL], raw[-_TAIL:]
    if tail != _BEFORE + hashlib.sha256(body).hexdigest().encode() + _AFTER:
        found = _format_of(raw, path)
        if version is not None and found not in (None, version):
            raise _other_format(path, kind, found, version, fix)
        raise InputError(
            f"{kind} that is damaged",
            where=path,
            found=_DIFFERS,
            fix=fix,
        )
    content = parse_json(body + b"\n}", path)
    if version is not None and content.get("format") != version:
        raise _other_format(path, kind, content.get("format"), version, fix)
    return content


def _format_of(raw: bytes, path: Path) -> object:
    try:
        return parse_json(raw, path).get("format")
    except InputError:
        return None


def _other_format(
    path: Path, kind: str, found: object, version: int, fix: str | None
) -> InputError:
    return InputError(
        f"{kind} of another format",
        where=path,
        found=f"format {found!r:.40}, as another version of tutelage writes it",
        expected=f"format {version}",
        fix=fix,
    )


def checksums_of(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Compute lengths and checksums of files below a folder, in the order of their names.

    Raises:
        InputError: a file cannot be read.
    """
    return {name: _sum(folder / name) for name in sorted(names)}


def checksum_of(content: bytes) -> dict[str, Any]:
    """Compute length and checksum of some bytes."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _sum(path: Path) -> dict[str, Any]:
    with open_bounded(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": file.tell(), "sha256": digest}


def require_checksums(
    folder: Path,
    sums: Sums,
    names: Collection[str] | None = None,
    *,
    kind: str,
    fix: str | None = None,
) -> None:
    """Require that files are as they were written; lengths are compared first, being quick.

    Args:
        folder: what the names are relative to.
        sums: lengths and checksums that were recorded.
        names: the files to check; all by default.
        kind: what the files belong to, for messages: "a pack".
        fix: what to do if one is damaged.

    Raises:
        InputError: with the name of the first file that is missing, damaged, or not among the sums.
    """
    for name in sorted(sums if names is None else names):
        if wrong := find_damage(folder, sums, name):
            found, expected = wrong
            raise InputError(
                f"{kind} that is damaged",
                where=folder / name,
                found=found,
                expected=expected,
                fix=fix,
            )


def find_damage(folder: Path, sums: Sums, name: str) -> tuple[str, str | None] | None:
    """Describe what is wrong with a file: found, and expected. None if it is intact."""
    known = sums.get(name)
    parts = PurePosixPath(name)
    if not isinstance(known, Mapping) or parts.is_absolute() or ".." in parts.parts:
        return "there is no checksum of it", None
    try:
        with open_bounded(folder / name) as file:
            size = os.fstat(file.fileno()).st_size
    except InputError as error:
        return error.what, "a whole file"
    if size != known.get("bytes"):
        return f"{size:,} bytes", f"{known.get('bytes')} bytes"
    if _sum(folder / name) != known:
        return _DIFFERS, None
    return None


def read_checked(
    folder: Path, sums: Sums, name: str, *, kind: str, largest: int, fix: str | None = None
) -> bytes:
    """Read a file and verify the checksum of exactly the bytes returned.

    Raises:
        InputError: as `require_checksums`, or the file is larger than `largest` bytes.
    """
    try:
        raw = read_file(folder / name, largest=largest)
    except InputError:
        require_checksums(folder, sums, [name], kind=kind, fix=fix)
        raise
    if checksum_of(raw) != sums.get(name):
        require_checksums(folder, sums, [name], kind=kind, fix=fix)
        raise InputError(f"{kind} that is being written", where=folder / name, fix=fix)
    return raw
