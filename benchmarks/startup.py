"""How long `tutelage --help` takes: a fresh process each time, beside one that starts Python alone.

python benchmarks/startup.py
"""

import argparse
import subprocess
import sys

from result import write

from tutelage.evaluation.timing import Way, median_range, time_interleaved

COMMANDS = {
    "python": ["-c", "pass"],
    "help": ["-m", "tutelage", "--help"],
    "train_help": ["-m", "tutelage", "train", "--help"],
    "mistake": ["-m", "tutelage", "trian", "photos"],
}
"""`mistake` is a misspelt verb, which ends with exit code 2."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--name", default="startup", help="of the file of results")
    chosen = parser.parse_args()
    seconds = time_interleaved({name: _way(name) for name in COMMANDS}, rounds=chosen.rounds)
    write(chosen.name, seconds={name: median_range(values) for name, values in seconds.items()})


def _way(name: str) -> Way:
    def way() -> None:
        answer = subprocess.run(
            [sys.executable, *COMMANDS[name]], capture_output=True, text=True, check=False
        )
        if answer.returncode != (2 if name == "mistake" else 0):
            raise SystemExit(f"{name} failed: {answer.stderr}")

    return way


if __name__ == "__main__":
    main()
