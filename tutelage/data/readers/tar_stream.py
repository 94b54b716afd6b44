"""Read a tar from its start to its end, decompressed on the way, within bounds."""

import bz2
import gzip
import io
import lzma
from pathlib import Path
from typing import IO, Self

from tutelage.data.readers.archive_member import MOST_RATIO

RATIO_MATTERS_ABOVE = 64 << 20
LARGEST_DICTIONARY = 256 << 20
"""Bytes that xz may ask for; `xz -9` takes 65 MiB."""
_CHUNK = 1 << 20


def compression_of(head: bytes) -> str | None:
    """Return how a file is compressed by its first bytes: gz, bz2, xz or None."""
    starts = {"gz": b"\x1f\x8b\x08", "bz2": b"BZh", "xz": b"\xfd7zXZ\0"}
    return next((kind for kind, start in starts.items() if head.startswith(start)), None)


class TarStream:
    """The bytes of a tar in their order."""

    def __init__(self, path: Path) -> None:
        self.path, self.length, self.position = path, path.stat().st_size, 0
        self._raw = path.open("rb")
        kind = compression_of(self._raw.read(8))
        self._raw.seek(0)
        self.plain = kind is None
        self._file: IO[bytes] | gzip.GzipFile = self._raw
        if kind == "gz":
            self._file = gzip.GzipFile(fileobj=self._raw)
        elif kind == "bz2":
            self._file = bz2.BZ2File(self._raw)
        elif kind == "xz":
            self._file = io.BufferedReader(_Xz(self._raw), _CHUNK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()

    def read(self, count: int) -> bytes:
        """Read so many bytes, or fewer at the end.

        Raises:
            ValueError: the file inflates out of proportion.
        """
        found = self._file.read(count)
        self.position += len(found)
        if self.position > RATIO_MATTERS_ABOVE and self.position > MOST_RATIO * self.length:
            raise ValueError(f"it inflates more than {MOST_RATIO}-fold")
        return found

    def read_exactly(self, count: int) -> bytes:
        """Read so many bytes, in parts, so that a false number takes no memory.

        Raises:
            EOFError: there are fewer.
        """
        parts, missing = [], count
        while missing:
            part = self.read(min(missing, _CHUNK))
            if not part:
                raise EOFError("it ends within a member")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def skip(self, count: int) -> None:
        """Pass over so many bytes."""
        if self.plain:
            self._file.seek(count, io.SEEK_CUR)
            self.position += count
            return
        while count and (part := self.read(min(count, _CHUNK))):
            count -= len(part)


class _Xz(io.RawIOBase):
    """An xz file, decompressed with bounded memory."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self._waiting = raw, b""
        self._decoder = lzma.LZMADecompressor(memlimit=LARGEST_DICTIONARY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while True:
            if self._decoder.eof:
                self._waiting = self._decoder.unused_data.lstrip(b"\0") or self._raw.read(_CHUNK)
                if not self._waiting.strip(b"\0"):
                    return 0
                self._decoder = lzma.LZMADecompressor(memlimit=LARGEST_DICTIONARY)
            elif self._decoder.needs_input:
                self._waiting = self._raw.read(_CHUNK)
                if not self._waiting:
                    raise EOFError("it ends before its end mark")
            found = self._decoder.decompress(self._waiting, len(buffer))
            self._waiting = b""
            if found:
                buffer[: len(found)] = found
                return len(found)
