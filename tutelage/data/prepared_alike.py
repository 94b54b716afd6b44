"""Whether a pack's images were prepared as a network's own."""

from collections.abc import Mapping

from tutelage.config.schema import flag
from tutelage.errors import InputError


def require_prepared_alike(
    found: Mapping[str, object], expected: Mapping[str, object], *, where: object
) -> None:
    """Require a pack whose images were prepared as those that a network was trained on.

    Args:
        found: of the pack; see `config.data.preparation`.
        expected: of the network.
        where: the pack.

    Raises:
        InputError: they were prepared otherwise.
    """
    if dict(found) != dict(expected):
        raise InputError(
            "the pack was prepared otherwise than the images that the network was trained on",
            where=where,
            found=_spell(found),
            expected=_spell(expected),
            fix="the images themselves instead of the pack: they are prepared as the network needs them",
        )


def _spell(prepared: Mapping[str, object]) -> str:
    parts = [f"{flag(f'data.{name}')} {value}" for name, value in sorted(prepared.items())]
    return ", ".join(parts) or "the defaults"
