"""The key of a cache of teacher outputs: everything that changes the outputs.

The images are not part of it: each record has a hash of its image's pixels, which covers file, decoder and
resizing. So new and changed images are computed, and all others reused. Student, loss weights, temperature,
batch size, order, epochs and optimizer do not matter either: one cache serves all of them.
"""

from typing import Any, NamedTuple

from tutelage.config.image_size import ImageSize
from tutelage.config.schema import fingerprint

FORMAT = 4
"""Version of the file format."""


class CacheKey(NamedTuple):
    """What must be equal for outputs to be reused."""

    teacher: str
    """Fingerprint of the weights."""

    model: str
    """Name of the network."""

    libraries: str
    """Versions of the libraries that compute it."""

    classes: tuple[str, ...]
    """Class names in the order of the logits."""

    stored_size: ImageSize
    """Side of the stored images in pixels, or height and width."""

    input_size: ImageSize
    """Side of the network's input in pixels, or height and width."""

    mean: tuple[float, ...]
    """Mean of the input normalisation."""

    std: tuple[float, ...]
    """Standard deviation of the input normalisation."""

    precision: str
    """Floating-point precision."""

    folded: bool
    """Whether BatchNorm is folded into convolutions."""

    device: str
    """Kind of device."""

    views: dict[str, Any]
    """Settings and implementation version of the views."""

    partners: str | None = None
    """Fingerprint of the pack, if views mix images of it."""

    points: tuple[str, ...] = ()
    """Points whose features are stored with the logits."""

    def fields(self) -> dict[str, Any]:
        """Return the key as plain JSON values, for the manifest."""
        plain = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in self._asdict().items()
        }
        return {"format": FORMAT, "dtype": "float16", **plain}

    @property
    def name(self) -> str:
        """Name of the folder: readable, and different for every key."""
        safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in self.model)
        return f"{safe}-{fingerprint(self.fields())[:12]}"
