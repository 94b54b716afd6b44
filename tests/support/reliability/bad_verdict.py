"""What is wrong with an answer, as a list of words: none where a verb did with a case what it must."""

import csv
from pathlib import Path

from support.reliability.bad_case import Case, Seen
from support.reliability.bad_entries import Answer
from support.reliability.bad_networks import MARKER

REFUSED = (2, 3, 5)
SOON = 15.0
"""Seconds within which a refusal must come, on a busy machine; on an idle one it is under a second."""


def wrong(case: Case, entry: str, answer: Answer, folder: Path) -> list[str]:
    """Everything an answer lacks: its exit code, file and remedy in its message, what became of files."""
    kind = case.cell(entry)
    found = []
    if "internal error" in answer.err or "Traceback" in answer.out + answer.err:
        found.append("a traceback")
    if (folder / MARKER).exists():
        found.append("a payload has run")
    codes = {"E": REFUSED, "S": (130,)}.get(kind, (0,))
    if answer.code not in codes:
        found.append(f"exit code {answer.code}")
    elif kind == "E":
        found += _message(case.word(entry), answer)
        if case.role in ("data", "recipe", "settings") and (folder / "out").exists():
            found.append("a folder is left behind")
    elif kind == "S":
        found += [] if "nothing is lost" in answer.err else ["no word that nothing is lost"]
    else:
        found += [word for seen in case.seen if (word := _outcome(seen, entry, answer, folder))]
    return found


def _message(word: str, answer: Answer) -> list[str]:
    found = []
    if answer.err.count("error: ") != 1:
        found.append("not one message")
    if word not in answer.err:
        found.append(f"not named: {word}")
    if "  try:" not in answer.err and "  expected:" not in answer.err:
        found.append("no remedy")
    if answer.seconds > SOON:
        found.append(f"only after {answer.seconds:.0f} s")
    return found


def _outcome(seen: Seen, entry: str, answer: Answer, folder: Path) -> str:
    """What is wrong with what became of one file, or nothing."""
    if entry == "pack":
        return in_pack(seen, folder / "out")
    text = answer.out + answer.err
    if seen.kind == "Q" and entry in ("check", "evaluate", "predict"):
        return "" if seen.file in text and seen.says in text else f"not listed: {seen.file}"
    if entry == "check":
        return "" if seen.says in text else f"not told: {seen.says}"
    if entry == "predict" and seen.kind == "H":
        names = [row["file"].removeprefix("'") for row in rows(folder / "out.csv")]
        return "" if seen.file.removeprefix("'") in names else f"no answer for {seen.file}"
    return ""


def in_pack(seen: Seen, pack: Path) -> str:
    """What is wrong with what a pack says of one file, or nothing."""
    kept = [row["file"].removeprefix("'") for row in rows(pack / "images.csv")]
    aside = {row["file"].removeprefix("'"): row["reason"] for row in rows(pack / "quarantine.csv")}
    if seen.kind == "Q":
        reasons = [reason for name, reason in aside.items() if name.startswith(seen.file)]
        return (
            "" if any(seen.says in reason for reason in reasons) else f"not set aside: {seen.file}"
        )
    if seen.kind == "H":
        return "" if seen.file in kept else f"not kept: {seen.file}"
    return f"not passed over: {seen.file}" if seen.file in (*kept, *aside) else ""


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
