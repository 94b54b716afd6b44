"""Choose the mean and standard deviation by which an input is standardized, and say whose they are."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from torch import nn

from tutelage.config.model import ModelConfig
from tutelage.errors import InputError, UsageError
from tutelage.storage.json_files import parse_json, read_file

_LARGEST = 4 << 20
_BESIDE = ("tutelage.json", "config.json", "preprocessor_config.json")
"""Files beside weights that tell of them: our own, timm's, and that of Hugging Face's transformers."""
_LARGEST_UNIT = 2.0
"""A larger mean or deviation is of pixels from 0 to 255."""


class Normalization(NamedTuple):
    """(x / 255 - mean) / std, by channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    """Whose numbers they are, for the screen and the journal."""

    def __str__(self) -> str:
        """Return one line for the screen."""
        mean, std = (" ".join(f"{n:.4g}" for n in numbers) for numbers in self[:2])
        return f"normalization: mean {mean}, std {std} ({self.source})"

    def for_channels(self, count: int) -> "Normalization":
        """Return it for so many channels: grey images are those whose three channels were the same."""
        if count == 1 and len(self.mean) == 3:
            return self._replace(mean=(sum(self.mean) / 3,), std=(sum(self.std) / 3,))
        return self


def choose_normalization(
    settings: ModelConfig,
    network: nn.Module,
    train: tuple[Sequence[float], Sequence[float]],
    *,
    weights: Path | None,
    says: Mapping[str, Any],
) -> Normalization:
    """Choose by the settings; where weights come from a file and nothing is said, the weights' own.

    Args:
        settings: of the network.
        network: as timm or the caller made it.
        train: mean and standard deviation of each channel of the training split.
        weights: the file that the weights come from; None: none.
        says: what is written in that file, by path; see `weight_files.contents`.

    Raises:
        UsageError: half of what is needed is given, or the weights' normalization is recorded nowhere.
    """
    if (settings.mean is None) != (settings.std is None):
        raise UsageError(
            "a mean without a standard deviation, or the reverse",
            fix="--mean R G B --std R G B, both of pixels from 0 to 1",
        )
    if settings.mean is not None and settings.std is not None:
        return Normalization(settings.mean, settings.std, "as given")
    kind = settings.normalization or settings.when_unset()["normalization"]
    if kind == "train":
        return Normalization(tuple(train[0]), tuple(train[1]), "of the training images")
    if kind == "half":
        return Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "one half")
    found = next(_records(network, weights, says), None)
    if found is None:
        raise UsageError(
            "this network has no record of how its pretrained weights were normalised",
            found="normalization = weights",
            fix="--normalization train, or --mean R G B --std R G B",
        )
    return found


def _records(
    network: nn.Module, weights: Path | None, says: Mapping[str, Any]
) -> Iterator[Normalization]:
    """List what is recorded, the nearest to the weights first."""
    beside = [] if weights is None else [weights.with_name(name) for name in _BESIDE]
    for path in beside:
        if path.is_file():
            try:
                table = parse_json(read_file(path, largest=_LARGEST), path)
            except InputError:  # a file of that name of anything else
                continue
            inner = table.get("pretrained_cfg")
            for one in (inner, table):
                yield from _pairs(
                    one if isinstance(one, dict) else {}, f"by {path.name} beside the weights"
                )
    if weights is not None:
        yield from _pairs(says, "by the weight file itself")
    config = cast(Mapping[str, Any] | None, getattr(network, "pretrained_cfg", None)) or {}
    yield from _pairs(config, f"timm's record of {config.get('architecture') or 'the network'}")


def _pairs(table: Mapping[str, Any], source: str) -> Iterator[Normalization]:
    """List the pairs of a mean and a deviation of three channels in a table."""
    for key, value in table.items():
        last = key.rpartition(".")[2]
        if not last.lower().endswith("mean"):
            continue
        other = table.get(key.removesuffix(last) + last[:-4] + ("STD" if last.isupper() else "std"))
        mean, std = _three(value), _three(other)
        if mean and std and all(number > 0 for number in std):
            scale = 255.0 if max(mean) > _LARGEST_UNIT or max(std) > _LARGEST_UNIT else 1.0
            yield Normalization(
                tuple(n / scale for n in mean), tuple(n / scale for n in std), source
            )


def _three(value: object) -> tuple[float, ...]:
    """Return three numbers, one for each channel; empty: they are none."""
    numbers: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    if len(numbers) not in (1, 3) or not all(
        isinstance(n, int | float) and not isinstance(n, bool) for n in numbers
    ):
        return ()
    return tuple(float(n) for n in numbers) * (3 // len(numbers))
