"""The last step of packing: refuse, or close the gaps, write the small files, and move into place."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from tutelage.config.data import DataConfig
from tutelage.config.schema import flag
from tutelage.data.pack.contents import PackContents, PackedItem
from tutelage.data.pack.entries import RefusedEntry
from tutelage.data.pack.partial import PartialPack
from tutelage.data.readers.source import Source
from tutelage.data.requirements import require_readable
from tutelage.data.split import AssignedItem
from tutelage.errors import InputError, MachineError
from tutelage.storage.atomic import sync, write_new
from tutelage.storage.checksums import checksum_of
from tutelage.text import escape


def finish_pack(
    part: PartialPack,
    source: Source,
    assigned: Sequence[AssignedItem],
    settings: DataConfig,
    folder: Path,
) -> None:
    """Make a pack of images that have all been decoded, and move it into place when it is complete.

    Raises:
        InputError: too many images cannot be used, or too few remain; nothing is left behind.
    """
    try:
        contents = _contents(part, source, assigned, settings)
    except InputError:
        part.remove()
        raise
    part.close()
    _gather(part, contents)
    part.gathered.replace(folder)
    try:
        sync(folder.parent)
    finally:
        part.remove()


def _contents(
    part: PartialPack, source: Source, assigned: Sequence[AssignedItem], settings: DataConfig
) -> PackContents:
    quarantine = list(source.refused)
    kept: list[PackedItem] = []
    known = part.entries()
    if len(known) < len(assigned):
        raise MachineError(
            "some of what the processes have packed is missing",
            where=part.folder,
            found=f"{len(known)} of {len(assigned)} images",
            fix="a folder that the processes of all machines share",
        )
    for slot, one in enumerate(assigned):
        entry = known[slot]
        if isinstance(entry, RefusedEntry):
            quarantine.append((escape(one.item.name), entry.reason))
        else:
            kept.append(PackedItem(one, entry))
    files = len(assigned) + len(source.refused)
    require_readable(quarantine, files, settings.max_unreadable, flag=flag("data.max_unreadable"))
    _enough_to_train(kept, source.classes)
    return PackContents(source, settings, kept, sorted(quarantine))


def _gather(part: PartialPack, contents: PackContents) -> None:
    """Put all files of the pack into one folder, the manifest last, each flushed to disk.

    The pixels move first, so that an interrupted pack whose pixels are here can take them back.
    """
    new = part.gathered
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    part.images.replace(new / part.images.name)
    files = contents.files()
    for name, content in files.items():
        write_new(new / name, [content])
    sums = {name: checksum_of(content) for name, content in sorted(files.items())}
    write_new(new / "manifest.json", [contents.manifest(sums)])
    sync(new)


def _enough_to_train(kept: Sequence[PackedItem], classes: Sequence[str]) -> None:
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
