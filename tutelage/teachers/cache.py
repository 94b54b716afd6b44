"""A cached teacher: its logits for every picture, computed once, read by image id.

Exact where views are fixed: every epoch then shows the same pixels, and the teacher, being frozen, would
say the same again. On disk: `logits.bin`, float16 [N, C], row = image id, and a manifest of everything
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
    """Logits by image id, on the device."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    def __call__(self, batch: Batch) -> Signal:
        """What the teacher said about these images: logits [B, C] in fp32."""
        return Signal(logits=self.logits[batch.ids].float(), features={})


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
    """Ask the teacher about every picture of the pack, in order, and keep its logits.

    Raises:
        InputError: a logit that float16 cannot hold; nothing is then left behind.
    """
    count, classes = len(pack.labels), len(pack.classes)
    loader = reading_loader(pack, np.arange(count), batch_size=batch_size, device=device)
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
                progress(done, count)
        (part / "manifest.json").write_text(json.dumps(identity.fields(), indent=1))


def open_cache(folder: Path, identity: Identity, *, count: int, device: torch.device) -> Cached:
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
    path = folder / "logits.bin"
    length = path.stat().st_size if path.is_file() else 0
    if length != 2 * count * len(identity.classes):
        raise InputError(
            "the teacher's cache has another length", where=path, fix=f"remove {folder}"
        )
    raw = np.fromfile(path, dtype=np.float16)
    return Cached(torch.from_numpy(raw.reshape(count, -1)).to(device))
