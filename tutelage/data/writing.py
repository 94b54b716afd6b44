"""Write a pack: each image decoded once, in order; the folder appears only when it is complete."""

import os
import secrets
import shutil
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from tutelage.config import flag
from tutelage.data.contents import Contents, Kept
from tutelage.data.names import shown
from tutelage.data.pack import Pack, open_pack
from tutelage.data.prepare import prepare_all
from tutelage.data.settings import Data
from tutelage.data.sources import Source
from tutelage.data.split import Assigned, assign
from tutelage.errors import InputError, MachineError

_NO_PIXELS = np.empty(0, np.uint8)
_RESERVE = 64 << 20


def write_pack(
    source: Source, settings: Data, folder: str | Path, *, progress: Callable[[int, int], None]
) -> Pack:
    """Decode, resize and store every image of a source, calling `progress(done, total)`.

    Files that cannot be read are set aside and listed. The same source and settings give the same
    bytes.

    Raises:
        InputError: too many unreadable files, a class without training images, no validation
        images,
            or `folder` exists already.
        MachineError: the disk is full or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError("there is something in the place of the pack", where=folder)
    assigned = assign(source, settings)
    with _disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _enough_space(folder, len(assigned) * 3 * settings.image_size**2)
        with _beside(folder) as unfinished:
            _fill(unfinished, source, assigned, settings, progress)
            unfinished.replace(folder)
            _flush(folder.parent)
    return open_pack(folder)


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MachineError(
            "the pack cannot be written",
            where=folder,
            found=error.strerror or error,
            fix="free some space, or another --out",
        ) from error


def _enough_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder.parent).free
    if free < needed + _RESERVE:
        raise MachineError(
            "there is not enough space for the pack",
            where=folder.parent,
            found=f"{free / 1e9:.1f} GB free",
            expected=f"{(needed + _RESERVE) / 1e9:.1f} GB",
            fix="free some space, another --out, or a smaller --data.image-size",
        )


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A new folder beside the target, on the same disk; gone afterwards unless it was renamed."""
    start = f".{folder.name}.{socket.gethostname()}."
    for old in folder.parent.glob(f"{start}*.part"):
        process = old.name.removeprefix(start).split(".")[0]
        if process.isdigit() and not _alive(int(process)):
            shutil.rmtree(old, ignore_errors=True)
    unfinished = folder.parent / f"{start}{os.getpid()}.{secrets.token_hex(4)}.part"
    unfinished.mkdir()
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _alive(process: int) -> bool:
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _fill(
    folder: Path,
    source: Source,
    assigned: Sequence[Assigned],
    settings: Data,
    progress: Callable[[int, int], None],
) -> None:
    """All files of a pack, the manifest last, each flushed to the disk."""
    quarantine = list(source.refused)
    kept: list[Kept] = []
    histogram = np.zeros((3, 256), np.int64)
    items = (one.item for one in assigned)
    with (
        (folder / "images.bin").open("wb") as images,
        closing(prepare_all(items, settings)) as results,
    ):
        for done, (one, result) in enumerate(zip(assigned, results, strict=True), 1):
            if isinstance(result, str):
                quarantine.append((shown(one.item.name), result))
            else:
                images.write(result.pixels.tobytes())
                if one.split == "train":
                    histogram += _histogram(result.pixels)
                kept.append(Kept(one, result._replace(pixels=_NO_PIXELS)))
            progress(done, len(assigned))
        _sync(images)
    _enough_readable(quarantine, len(assigned) + len(source.refused), settings)
    _enough_to_train(kept, source.classes)
    contents = Contents(source, settings, kept, sorted(quarantine), histogram)
    for name, content in contents.files().items():
        _write(folder / name, content)
    lengths = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    _write(folder / "manifest.json", contents.manifest(lengths))
    _flush(folder)


def _histogram(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each value occurs in each channel, [3, 256]; exact in any order of images."""
    flat = pixels.reshape(-1, 3)
    return np.stack([np.bincount(flat[:, channel], minlength=256) for channel in range(3)])


def _enough_readable(quarantine: list[tuple[str, str]], files: int, settings: Data) -> None:
    if len(quarantine) > settings.max_unreadable * files:
        reasons = Counter(reason for _, reason in quarantine).most_common(3)
        name, reason = quarantine[0]
        raise InputError(
            "too many files cannot be used",
            found=f"{len(quarantine)} of {files}: "
            + ", ".join(f"{reason} ({count})" for reason, count in reasons)
            + f"; for example {name} ({reason})",
            expected=f"at most {settings.max_unreadable:.0%}",
            fix=f"tutelage check to list them all, or {flag('data.max_unreadable')}",
        )


def _enough_to_train(kept: Sequence[Kept], classes: Sequence[str]) -> None:
    trained = {one.assigned.label for one in kept if one.assigned.split == "train"}
    missing = [name for name in classes if name not in trained]
    if missing:
        raise InputError(
            "a class has no training image that can be used",
            found=", ".join(missing[:10]),
            expected="at least one in every class",
            fix="add images, or delete the folder to drop the class",
        )
    if not any(one.assigned.split == "val" for one in kept):
        raise InputError("there are no validation images that can be used", expected="at least one")


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        _sync(file)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    """Make names in a folder durable, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
