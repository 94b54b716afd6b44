"""What a process does to the machine, heard by an audit hook, whichever library does it.

Every file that is opened to be written, every folder made, link, rename and removal, every program and
every connection is noted, but for what happens in one folder.
"""

import os
from typing import Any

PROGRAMS = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "pty.spawn",
)
NETWORK = ("socket.connect", "socket.bind", "socket.sendto", "urllib.Request", "ftplib.connect")
CHANGES = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
)
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
seen: list[str] | None = None
"""What was noted; None while nobody listens."""
folder = ""
"""The folder in which anything may happen."""


def hook(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what a payload does outside its folder."""
    if seen is None:
        return
    if event in PROGRAMS or event in NETWORK:
        seen.append(f"{event} {arguments[:2]}")
    elif event == "open":
        path, mode, flags = (*arguments, None, None, None)[:3]
        writes = (
            bool(flags & WRITES) if isinstance(flags, int) else any(c in str(mode) for c in "wax+")
        )
        if writes and isinstance(path, str | bytes | os.PathLike) and not own(path):
            seen.append(f"open {os.fsdecode(path)} to write")
    elif event in CHANGES and not all(own(p) for p in arguments[:1]):
        seen.append(f"{event} {arguments[:2]}")


def own(path: Any) -> bool:
    """Whether a path is, over all its links, in the folder of the payload at work."""
    if not isinstance(path, str | bytes | os.PathLike):
        return True
    return (
        os.path.realpath(os.fsdecode(path)).startswith(folder + os.sep)
        or os.fsdecode(path) == os.devnull
    )
