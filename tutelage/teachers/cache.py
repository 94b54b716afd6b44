"""A cached teacher: its logits for every training picture, computed once, read by image id.

Exact where views are fixed: every epoch then shows the same pixels, and the teacher, being frozen, would
say the same again. On disk: `logits.bin`, float16 [R, C], training images by id, and a manifest of everything
that must not differ. Opened with a mismatch it is an error naming the field.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tutelage.data.loader import reading_loader
from tutelage.data.pack import Pack
from tutelage.errors import InputError
from tutelage.files import read_json, whole_folder
from tutelage.nouns import Batch, Signal
from tutelage.teachers.source import Teacher

FORMAT = 1


class Identity(NamedTuple):
    """What a cache is of. Any difference means other logits."""

    teacher: str
    pack: str
    classes: tuple[str, ...]
    input_size: int
    precision: str

    def fields(self) -> dict[str, Any]:
        """As the manifest holds it."""
        return {
            "format": FORMAT,
            "dtype": "float16",
            **self._asdict(),
            "classes": list(self.classes),
        }


class Cached:
    """Logits [R, C] of some images, and the row of each image id [N], on the device."""

    def __init__(self, logits: Tensor, row_of: Tensor) -> None:
        self.logits = logits
        self.row_of = row_of

    def __call__(self, batch: Batch) -> Signal:
        """What the teacher said about these images: logits [B, C] in fp32."""
        return Signal(logits=self.logits[self.row_of[batch.ids]].float(), features={})


def write_cache(
    folder: Path,
    teacher: Teacher,
    pack: Pack,
    identity: Identity,
    *,
    device: torch.device,
    batch_size: int = 256,
    progress: Callable[[int, int], None] = lambda _done, _count: None,
) -> None:
    """Ask the teacher about every training picture, in order of the ids, and keep its logits.

    Raises:
        InputError: a logit that float16 cannot hold; nothing is then left behind.
    """
    rows, classes = pack.rows("train"), len(pack.classes)
    loader = reading_loader(pack, rows, batch_size=batch_size, device=device)
    with whole_folder(folder) as part:
        with (part / "logits.bin").open("wb") as file:
            done = 0
            for batch in loader.epoch():
                signal = teacher(batch)
                assert signal.logits is not None
                logits = signal.logits.to(torch.float16).cpu()
                if logits.shape != (len(batch.ids), classes):
                    raise InputError(
                        "the teacher's answer has another shape than the classes",
                        found=list(logits.shape),
                        expected=[len(batch.ids), classes],
                    )
                if not bool(torch.isfinite(logits).all()):
                    raise InputError(
                        "the teacher's logits are not finite",
                        found=f"image {int(batch.ids[~torch.isfinite(logits).all(1)][0])}",
                    )
                file.write(logits.numpy().tobytes())
                done += len(batch.ids)
                progress(done, len(rows))
        (part / "manifest.json").write_text(json.dumps(identity.fields(), indent=1))


def open_cache(folder: Path, identity: Identity, *, pack: Pack, device: torch.device) -> Cached:
    """Open a cache that must be of exactly this teacher, pack and preprocessing.

    Raises:
        InputError: another identity (the field is named), or a file of the wrong length.
    """
    found, expected = read_json(folder / "manifest.json"), identity.fields()
    for field, value in expected.items():
        if found.get(field) != value:
            raise InputError(
                f"the teacher's cache belongs to another {field}",
                where=folder,
                found=found.get(field),
                expected=value,
                fix=f"remove {folder}; it is made again",
            )
    path, rows = folder / "logits.bin", pack.rows("train")
    length = path.stat().st_size if path.is_file() else 0
    if length != 2 * len(rows) * len(identity.classes):
        raise InputError(
            "the teacher's cache has another length", where=path, fix=f"remove {folder}"
        )
    logits = torch.from_numpy(np.fromfile(path, dtype=np.float16).reshape(len(rows), -1))
    # An image that is not in the cache points behind its end: an error rather than another's logits.
    row_of = torch.full((len(pack),), len(rows))
    row_of[torch.from_numpy(rows)] = torch.arange(len(rows))
    return Cached(logits.to(device), row_of.to(device))
