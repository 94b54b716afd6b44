"""What a cache of a teacher's answers is of. Any difference means other answers.

Which images it covers is not part of it: each record names its image by a hash of the pixels, which
stands for file, decoder and resizing together. So images that are added or changed are asked about, and
all others stay. Student, loss weights, temperature, batch size, order, epochs and optimizer do not matter
either: one cache serves all of them.
"""

from typing import Any, NamedTuple

from tutelage.config.schema import fingerprint

FORMAT = 4


class CacheKey(NamedTuple):
    """The fields that must not differ.

    teacher: fingerprint of the weights; model: name of the network; libraries: versions that compute it;
    classes: in the order of the logits; stored_size, input_size: pixels; mean, std: its normalisation;
    precision, folded, device: how it is computed; views: settings and implementation of the views that
    shape an image; partners: fingerprint of the pack where images are mixed with others of it;
    points: where features are kept beside the logits.
    """

    teacher: str
    model: str
    libraries: str
    classes: tuple[str, ...]
    stored_size: int
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    precision: str
    folded: bool
    device: str
    views: dict[str, Any]
    partners: str | None = None
    points: tuple[str, ...] = ()

    def fields(self) -> dict[str, Any]:
        """As the manifest holds it: plain JSON values."""
        plain = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in self._asdict().items()
        }
        return {"format": FORMAT, "dtype": "float16", **plain}

    @property
    def name(self) -> str:
        """Of the folder: readable, and different for every identity."""
        safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in self.model)
        return f"{safe}-{fingerprint(self.fields())[:12]}"
