"""How many files may be set aside before a command stops: one rule for packing, evaluation and prediction."""

from collections import Counter
from collections.abc import Sequence

from tutelage.data.readers.listing import LINK_OUT
from tutelage.errors import InputError


def require_readable(
    set_aside: Sequence[tuple[str, str]],
    files: int,
    most: float,
    *,
    flag: str,
    where: object = None,
) -> None:
    """Refuse data of which too much cannot be used; the caller lists what is set aside.

    Args:
        set_aside: (file, reason) of what cannot be used.
        files: number of files, those included.
        most: largest share of them that may be set aside, 0 to 1.
        flag: the command-line flag for that share.
        where: the data.

    Raises:
        InputError: more than that; the message has the most common reasons and one file.
    """
    if len(set_aside) <= most * files:
        return
    reasons = Counter(reason for _, reason in set_aside).most_common(3)
    name, reason = set_aside[0]
    links = any(why == LINK_OUT for _, why in set_aside) and flag.startswith("--data.")
    raise InputError(
        "too many files cannot be used",
        where=where,
        found=f"{len(set_aside)} of {files}: "
        + ", ".join(f"{reason} ({count})" for reason, count in reasons)
        + f"; for example {name} ({reason})",
        expected=f"at most {most:.0%}",
        fix=f"remove them (tutelage check DATA lists them all), or {flag} SHARE"
        + ("; --data.links follow reads what the links lead to" if links else ""),
    )
