"""Write a pack: each image is decoded once, in any order; the folder appears only when it is complete.

What an interrupted run has decoded is kept beside the folder, and the next run of the same pack decodes only
the rest. The processes of a run share the images between them.
"""

import importlib.metadata
import math
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import PIL
from PIL import features

from tutelage.config.data import DataConfig
from tutelage.data.decode.parallel import threads
from tutelage.data.pack.all_ranks import on_all_ranks
from tutelage.data.pack.finish import finish_pack
from tutelage.data.pack.lock import pack_lock
from tutelage.data.pack.pack import FORMAT, Pack, open_pack
from tutelage.data.pack.partial import PartialPack, partial_folder
from tutelage.data.pack.store import store_items
from tutelage.data.readers.source import Source
from tutelage.data.split import assign_splits
from tutelage.distributed import ALONE, World
from tutelage.errors import InputError, MachineError
from tutelage.storage.atomic import make_folder
from tutelage.storage.disk import machine_error

_RESERVE = 64 << 20


def write_pack(
    source: Source,
    settings: DataConfig,
    folder: str | Path,
    *,
    progress: Callable[[int, int], None],
    world: World = ALONE,
    workers: int | None = None,
) -> Pack:
    """Decode, resize and store every image of a source.

    Files that cannot be read are set aside and listed. The same source and settings give the same bytes, in
    one attempt or several, with any number of threads and processes.

    Args:
        source: the images.
        settings: how they are split and stored.
        folder: of the pack; new or empty.
        progress: `progress(done, total)` after each image of this process's part, including what an earlier
            run has decoded. An error it raises ends the packing; the next run continues.
        world: the processes that call this together, on one file system.
        workers: threads of this process; by default its share of the machine's cores.

    Raises:
        InputError: too many unreadable files, a class without training images, no validation images, or
            something in the place of the pack. Nothing is left behind.
        UsageError: another job is packing into the same place.
        MachineError: the disk is full or cannot be written, or another process has ended.
    """
    folder = Path(folder)
    assigned = assign_splits(source, settings)
    part = PartialPack(partial_folder(folder), len(assigned), math.prod(settings.shape))
    identity = _identity(source, settings, world)

    def begin() -> None:
        if world.first:
            make_folder(folder.parent)
            job.enter_context(pack_lock(folder))
            _free(folder)
            part.resume_or_start(identity)
            _enough_space(folder, part)

    def decode() -> None:
        known = part.entries()
        missing = [slot for slot in range(len(assigned)) if slot not in known]
        share = world.share(len(missing))
        mine = [(slot, assigned[slot].item) for slot in missing[share.start : share.stop]]
        count = iter(range(len(known) + 1, len(known) + len(mine) + 1))
        store_items(
            mine,
            settings,
            part.images,
            part.journal(world.rank),
            workers=workers or threads(world),
            progress=lambda: progress(next(count), len(known) + len(mine)),
        )

    def complete() -> None:
        if world.first:
            finish_pack(part, source, assigned, settings, folder)

    with ExitStack() as job:
        for step in (begin, decode, complete):
            on_all_ranks(world, _with_disk_errors(step, folder))
    return open_pack(folder)


def remove_partial(folder: Path) -> None:
    """Remove what is left of a packing that was killed after the pack was in place.

    Raises:
        UsageError: another job is packing into the same place.
    """
    part = PartialPack(partial_folder(folder), 0, 0)
    if part.folder.exists():
        with pack_lock(folder):
            part.remove()


def _identity(source: Source, settings: DataConfig, world: World) -> dict[str, Any]:
    """Return what the pixels of a pack depend on; an attempt with another identity is not continued."""
    jpeg = features.version("libjpeg_turbo") or features.version("jpg")
    identity = {
        "format": FORMAT,
        "tutelage": _version(),
        "decoder": f"Pillow {PIL.__version__}, libjpeg {jpeg}, webp {features.version('webp')}",
        "source": source.fingerprint(settings),
    }
    if any(other != identity for other in world.all_gather(identity)):
        raise InputError(
            "the processes read different data or decode them differently",
            fix="the same packages and the same files on every machine",
        )
    return identity


def _version() -> str | None:
    try:
        return importlib.metadata.version("tutelage")
    except importlib.metadata.PackageNotFoundError:  # used from its sources
        return None


def _free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError("the folder for the pack is not empty", where=folder)


def _enough_space(folder: Path, part: PartialPack) -> None:
    free, needed = shutil.disk_usage(folder.parent).free, part.missing_bytes()
    if free < needed + _RESERVE:
        if not part.entries():
            part.remove()
        raise MachineError(
            "there is not enough space for the pack",
            where=folder.parent,
            found=f"{free / 1e9:.1f} GB free",
            expected=f"{(needed + _RESERVE) / 1e9:.1f} GB",
            fix="free some space, another --out, or a smaller --data.image-size",
        )


def _with_disk_errors(step: Callable[[], None], folder: Path) -> Callable[[], None]:
    def guarded() -> None:
        try:
            step()
        except OSError as error:
            raise machine_error(folder, error) from error

    return guarded
