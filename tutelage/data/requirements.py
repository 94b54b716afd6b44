"""How many files may be set aside before a verb stops: one rule for packing, measuring and predicting."""

from collections import Counter
from collections.abc import Sequence

from tutelage.errors import InputError


def require_readable(
    set_aside: Sequence[tuple[str, str]],
    files: int,
    most: float,
    *,
    flag: str,
    where: object = None,
) -> None:
    """Refuse data of which too much cannot be used; what may be set aside, the caller lists.

    Args:
        set_aside: (file, reason) of what cannot be used.
        files: how many there are, those included.
        most: the largest share of them that may be set aside, 0 to 1.
        flag: the command-line flag that says so.
        where: the data.

    Raises:
        InputError: more than that; the commonest reasons and one file are named.
    """
    if len(set_aside) <= most * files:
        return
    reasons = Counter(reason for _, reason in set_aside).most_common(3)
    name, reason = set_aside[0]
    raise InputError(
        "too many files cannot be used",
        where=where,
        found=f"{len(set_aside)} of {files}: "
        + ", ".join(f"{reason} ({count})" for reason, count in reasons)
        + f"; for example {name} ({reason})",
        expected=f"at most {most:.0%}",
        fix=f"take them away (tutelage check DATA lists them all), or {flag} SHARE",
    )
