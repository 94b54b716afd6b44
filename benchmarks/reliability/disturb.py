"""Files below a folder, watched in this very process: each thing done to one is counted, and can go wrong.

What is counted are the calls of `os` and of `open` that change something or make something durable. Numbers
written by libraries that are not Python (safetensors, NumPy's tofile) are not seen.
"""

import builtins
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = {
    errno.ENOSPC: {"open", "write", "fsync", "mkdir", "rename"},
    errno.EIO: {"write", "fsync", "rename", "truncate"},
    errno.EROFS: {"open", "write", "mkdir", "rename", "unlink", "rmdir", "truncate"},
    errno.EMFILE: {"open"},
}
"""What a disk or a system refuses with each error."""

_BY_PATH = ("open", "mkdir", "rmdir", "unlink", "rename", "replace", "truncate")
_BY_HANDLE = ("write", "fsync", "ftruncate")
_KIND = {"replace": "rename", "ftruncate": "truncate"}


class Watch:
    """Calls `before(number, kind)` ahead of each event below `folder`, and `after` when it is done."""

    def __init__(
        self,
        folder: Path,
        before: Callable[[int, str], None] = lambda _number, _kind: None,
        after: Callable[[int, str], None] = lambda _number, _kind: None,
    ) -> None:
        self.kinds: list[str] = []
        self.on = True
        self._folder, self._before, self._after = f"{folder.resolve()}/", before, after

    def install(self) -> "Watch":
        """Watch from now on, in this process."""
        for name in (*_BY_PATH, *_BY_HANDLE):
            setattr(os, name, self._around(name, getattr(os, name)))
        builtins.open = io.open = self._opening(io.open)  # type: ignore[assignment]
        return self

    def _around(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(target: Any, *arguments: Any, **options: Any) -> Any:
            reading = name == "open" and not _flags(arguments, options) & (os.O_WRONLY | os.O_RDWR)
            if reading or not self._is_below(target, options):
                return real(target, *arguments, **options)
            return self._event(_KIND.get(name, name), lambda: real(target, *arguments, **options))

        return call

    def _opening(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(
            file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **options: Any
        ) -> Any:
            if not set(mode) & set("wax+") or not self._is_below(file, {}):
                return real(file, mode, buffering, *rest, **options)
            raw = self._event("open", lambda: _Raw(self, file, mode.translate(_PLAIN)))
            if buffering == 0:
                return raw
            buffer = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffer if "b" in mode else io.TextIOWrapper(buffer, *rest, **options)

        return call

    def _is_below(self, target: Any, options: dict[str, Any]) -> bool:
        if isinstance(target, int):
            path = _opened(target)
        else:
            path = Path(os.fsdecode(target))
            if (inside := options.get("dir_fd")) is not None:
                path = _opened(inside) / path
        return f"{path.absolute()}/".startswith(self._folder)

    def _event(self, kind: str, do: Callable[[], Any]) -> Any:
        if not self.on:
            return do()
        number = len(self.kinds)
        self.kinds.append(kind)
        self._before(number, kind)
        try:
            return do()
        finally:
            self._after(number, kind)


_PLAIN = str.maketrans("", "", "bt")


class _Raw(io.FileIO):
    def __init__(self, watch: Watch, file: Any, mode: str) -> None:
        super().__init__(file, mode)
        self._watch = watch

    def write(self, data: Any) -> int:  # type: ignore[override]
        return int(self._watch._event("write", lambda: super(_Raw, self).write(data)))

    def truncate(self, size: int | None = None) -> int:
        return int(self._watch._event("truncate", lambda: super(_Raw, self).truncate(size)))


def _opened(handle: int) -> Path:
    return Path(f"/proc/self/fd/{handle}").readlink()


def _flags(arguments: tuple[Any, ...], options: dict[str, Any]) -> int:
    return int(arguments[0] if arguments else options.get("flags", 0))


def refusing(number: int, at: int, *, once: bool = False) -> Callable[[int, str], None]:
    """Refuses, with an error number, each event it applies to from the given one on, or that one alone."""

    def refuse(count: int, kind: str) -> None:
        if kind in CHANGES[number] and (count == at if once else count >= at):
            raise OSError(number, os.strerror(number))

    return refuse
