"""The flags of the command line, frozen: what people have typed into scripts goes on working.

`flags.txt` lists them all. After a change that is meant, write it again and look at the difference:

    python tests/cli/test_frozen_flags.py > tests/cli/flags.txt
"""

import sys
from pathlib import Path

from tutelage.cli.completion import names
from tutelage.cli.everyday import PAGES
from tutelage.cli.flags import flags_of

LIST = Path(__file__).with_name("flags.txt")


def lines() -> list[str]:
    """Verbs with their flags and short names, and the settings of each kind of verb."""
    found = []
    kinds: dict[str, list[str]] = {}
    for verb, flags in names().flags.items():
        found.append(f"tutelage {verb}")
        if verb in PAGES:
            known = flags_of(verb)
            kind = PAGES[verb].settings
            kinds[kind] = [*known.dotted]
            found += [f"  {name}" for name in sorted(known.own)]
            found += [f"  {name} = {' '.join(sets)}" for name, sets in known.short.items()]
            found.append(f"  and every setting of {kind}")
        else:
            found += [f"  {name}" for name in flags]
    for kind, settings in kinds.items():
        found += [f"settings of {kind}", *(f"  {name}" for name in sorted(settings))]
    return found


def test_flags_are_those_that_were() -> None:
    assert lines() == LIST.read_text().splitlines()


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines()) + "\n")
