"""Write docs/evidence/bad-input.md, the catalogue as a table.

PYTHONPATH=tests python -m support.reliability.bad_table
"""

from pathlib import Path

from support.reliability.bad_case import KINDS
from support.reliability.bad_cases import CASES, COUNT
from support.reliability.bad_entries import ENTRIES

PAGE = Path(__file__).parents[3] / "docs" / "evidence" / "bad-input.md"


def page() -> str:
    """The page: what each letter means, and a row for each case."""
    called = sum(len(case.entries()) for case in CASES)
    lines = [
        "# Bad input",
        "",
        f"What {COUNT} kinds of bad input ({len(CASES)} forms of them) do at each of {len(ENTRIES)} verbs:",
        f"{called:,} calls. None ends in a traceback, none waits, every message names file and remedy.",
        "",
        *(f"- **{letter}** {meaning}" for letter, meaning in KINDS.items()),
        "- words instead of a letter: the verb has no place for it, and why.",
        "",
        "This page is written by `PYTHONPATH=tests python -m support.reliability.bad_table` from the",
        "cases in `tests/support/reliability/`. A part of the calls is made in every run of the tests; all",
        "of them, each in a process of its own, by `python benchmarks/reliability/bad_input.py`.",
        "",
        "| | case | " + " | ".join(ENTRIES) + " |",
        "|" + "---|" * (len(ENTRIES) + 2),
    ]
    for case in CASES:
        cells = [case.cell(entry) for entry in ENTRIES]
        lines.append(f"| {case.number} | {case.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
