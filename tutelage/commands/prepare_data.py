"""Make the pack of a job, once, or find it again, and describe it in the job's folder."""

from pathlib import Path

import numpy as np

from tutelage.config.data import DataConfig
from tutelage.config.schema import flag
from tutelage.data.decode.deep import LEVELS
from tutelage.data.decode.loss import crop_warning
from tutelage.data.pack.pack import Pack, open_pack, require_validation
from tutelage.data.pack.write import remove_partial, write_pack
from tutelage.data.readers.open import open_source
from tutelage.data.split import missing_classes
from tutelage.data.split_index import SPLIT_NAMES, pack_counts, write_split
from tutelage.distributed import ALONE, World
from tutelage.engine.context import RunContext
from tutelage.engine.runtime.console import Console
from tutelage.engine.runtime.signals import StopRequest
from tutelage.errors import Interrupted, UsageError
from tutelage.storage.checksums import write_sealed
from tutelage.text import escape

_LOOKED_AT = 256
"""Images whose grey levels are counted."""


def prepare_data(data: str | Path, settings: DataConfig, context: RunContext) -> Pack:
    """Open or make the pack of a job, and list the split and the bad files in the job's folder.

    Raises:
        InputError: the data are refused.
        Interrupted: stopped.
    """
    out, world = context.folder, context.world
    pack = open_or_pack(
        data, settings, out / "pack", console=context.console, stop=context.stop, world=world
    )
    require_validation(pack)
    if not world.first:
        return pack
    quarantine = [{"file": name, "reason": reason} for name, reason in pack.quarantine()]
    write_sealed(out / "data.json", {**pack.manifest, "quarantine": quarantine})
    write_split(pack, out / "split.csv")
    for line in _reading(pack):
        context.console.line(f"data: {escape(line)}")
    sizes = ", ".join(f"{len(pack.rows(split))} {split}" for split in ("train", "val", "test"))
    context.console.line(
        f"data: {len(pack.classes)} classes; {sizes}; {len(quarantine)} unreadable"
    )
    for split, names in missing_classes(pack_counts(pack), pack.classes).items():
        some = ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
        context.console.line(f"data: no {SPLIT_NAMES[split]} image of class {some}")
    for told in (crop_warning(pack.sizes(), pack.prepared), few_levels(pack)):
        if told:
            context.console.line(f"data: {told}")
    return pack


def few_levels(pack: Pack) -> str | None:
    """Return a line about 16-bit images that have become few grey levels; None where there are none."""
    if not pack.manifest["notes"].get("16-bit") or "range" in pack.preparation:
        return None
    seen, pixels = np.zeros(LEVELS, bool), np.empty((1, *pack.images.shape[1:]), np.uint8)
    for row in pack.rows("train")[:_LOOKED_AT]:
        pack.gather(np.array([row]), pixels)
        seen[pixels] = True
    if 2 * seen.sum() > LEVELS:
        return None
    left = f"16-bit images are {seen.sum()} of {LEVELS} grey levels"
    return f"{left}: `tutelage check` offers a {flag('data.range')}"


def open_or_pack(
    data: str | Path,
    settings: DataConfig,
    out: Path,
    *,
    console: Console,
    stop: StopRequest,
    world: World = ALONE,
) -> Pack:
    """Open the pack that `data` is or that is in `out`; make it where there is none.

    Raises:
        UsageError: the data are not those that were packed in `out`.
        InputError: the data are refused.
        Interrupted: stopped.
    """
    if (Path(data) / "manifest.json").is_file():
        return open_pack(Path(data))
    source = open_source(str(data), settings)
    if (out / "manifest.json").is_file():
        pack = open_pack(out)
        if world.first:
            remove_partial(out)
        if pack.manifest["source_fingerprint"] == source.fingerprint(settings):
            return pack
        raise UsageError(
            "the data have changed since they were packed", where=out, fix="another --out"
        )

    def progress(done: int, count: int) -> None:
        if stop:
            raise Interrupted("stopped while packing; the next run continues there", where=out)
        console.status(f"packing {done}/{count}")

    pack = write_pack(source, settings, out, progress=progress, world=world)
    console.clear()
    return pack


def _reading(pack: Pack) -> list[str]:
    """Return how the data were read when they were packed; nothing where an earlier version packed them."""
    source = pack.manifest.get("source")
    reading = source.get("reading") if isinstance(source, dict) else None
    if isinstance(reading, str):
        return [f"read as {reading}"]
    return list(map(str, reading)) if isinstance(reading, list) else []
