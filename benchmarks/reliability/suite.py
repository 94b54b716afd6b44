"""The long suite: every promise of docs/evidence/reliability.md against its figure, script after script.

    python benchmarks/reliability/suite.py

It can be stopped and started again: what has reached its figure is not run twice, unless with `--again`. Its
rows go to `benchmarks/results/reliability.json` and, as a table, to `docs/evidence/reliability-figures.md`,
each with the name of the sources it was measured with. Two scripts run at once, those that time something
alone. The last line is the count; exit code 1 where one falls short.
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
ROWS = ROOT / "benchmarks/results/reliability.json"
TABLE = ROOT / "docs/evidence/reliability-figures.md"


class Check(NamedTuple):
    """A script of this folder with the arguments of its asked figure; `alone`: it times something."""

    promise: str
    script: str
    asked: str
    arguments: tuple[str, ...] = ()
    alone: bool = False

    @property
    def command(self) -> str:
        """As a person types it, from the project's folder."""
        return " ".join(["python", f"benchmarks/reliability/{self.script}.py", *self.arguments])


CHECKS = (
    Check(
        "fuzzing of each own parser",
        "fuzz",
        "1,000,000 inputs each, 0 crashes",
        ("--inputs", "1000000", "--state", "runs/reliability/fuzz.json"),
    ),
    Check("full disk and other errors at each write", "disk_errors", "earlier state intact"),
    Check(
        "loss of power at file events of a run, simulated",
        "power",
        "all that was saved is there",
        ("--every", "6"),
    ),
    Check(
        "random SIGKILL over the whole job",
        "kills",
        "200 kills, the same bytes",
        ("--rounds", "200"),
    ),
    Check("signals, once and twice, in each phase", "signals", "100 of 100", ("--rounds", "100")),
    Check("resume at every step of a short run", "resume", "all equal, tolerance zero"),
    Check("kill at every file event of a save", "events", "all resume, no lost work"),
    Check(
        "corruption of each artefact",
        "corruption",
        "2,000 each, all found, no false alarm",
        ("--rounds", "2000"),
    ),
    Check(
        "two runs, two cache builders, a reader during rotation",
        "together",
        "50 repetitions each, no loss",
        ("--rounds", "50"),
    ),
    Check("what others' files and saves let pass", "anchors", "ours: nothing taken, nothing lost"),
    Check("bad input x entry points, each a process", "bad_input", "0 tracebacks, 0 hangs"),
    Check("soak", "soak", "100,000 steps: memory slope zero", ("--steps", "100000"), alone=True),
    Check("cost of saving", "cost", "at most 1 % of training, 3 plain saves", alone=True),
    Check("cost of masked steps", "guard", "at most 1 % of a step at 224 px", alone=True),
)


def sources() -> str:
    """A name for the code that is checked: the package and the scripts of this folder."""
    digest = hashlib.sha256()
    for folder in (ROOT / "tutelage", Path(__file__).parent):
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:8]


def machine() -> str:
    """Processor, cores and system, for a person."""
    model = platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        named = [line for line in information.read_text().splitlines() if "model name" in line]
        model = named[0].partition(":")[2].strip() if named else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def run(check: Check, deadline: float, logs: Path) -> dict[str, Any]:
    """One check to its end, or to the end of the time; what it printed is in `logs`."""
    began = time.monotonic()
    log = logs / f"{check.script}.log"
    places = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = {} if check.alone else {"OMP_NUM_THREADS": "1"}
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *check.command.split()[1:]],
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(places)},
        )
        try:
            code = process.wait(max(deadline - began, 1))
        except subprocess.TimeoutExpired:
            process.terminate()
            code = process.wait()
            return {"script": check.script, "stopped": "the time was over", "code": code}
    lines = log.read_text(errors="replace").strip().splitlines() or ["(it printed nothing)"]
    return {
        "script": check.script,
        "command": check.command,
        "sources": sources(),
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "seconds": round(time.monotonic() - began),
        "code": code,
        "last_line": lines[-1],
        "lines": lines[-12:],
    }


def told(rows: dict[str, dict[str, Any]]) -> str:
    """The table of all checks."""
    lines = [
        "# Reliability, measured",
        "",
        "Written by `python benchmarks/reliability/suite.py`. What each line promises: "
        "[reliability.md](reliability.md).",
        "",
        "| what | asked | found | command | date, sources | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for check in CHECKS:
        row = rows.get(check.script)
        if row is None:
            lines.append(f"| {check.promise} | {check.asked} | not run | `{check.command}` | | |")
            continue
        found = row["last_line"] + ("" if row["code"] == 0 else " **falls short**")
        lines.append(
            f"| {check.promise} | {check.asked} | {found} | `{row['command']}` "
            f"| {row['date']}, {row['sources']} | {row['seconds']:,} |"
        )
    machines = sorted({row["machine"] for row in rows.values()})
    lines += ["", *(f"Machine: {one}." for one in machines), ""]
    return "\n".join(lines)


def main() -> None:
    """Run what has not ended with these sources yet."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=90, help="of the whole suite")
    parser.add_argument("--only", nargs="*", help="scripts, by name")
    parser.add_argument("--again", action="store_true", help="also what has reached its figure")
    parser.add_argument("--logs", type=Path, default=ROOT / "runs/reliability")
    chosen = parser.parse_args()
    chosen.logs.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * chosen.minutes
    rows = {row["script"]: row for row in json.loads(ROWS.read_text())} if ROWS.is_file() else {}
    wanted = [c for c in CHECKS if not chosen.only or c.script in chosen.only]
    due = [
        check
        for check in wanted
        if chosen.again or (row := rows.get(check.script)) is None or row["code"]
    ]
    writing = threading.Lock()

    def one(check: Check) -> None:
        row = run(check, deadline, chosen.logs)
        print(f"{check.script}: {row.get('last_line') or row['stopped']}", flush=True)
        if "stopped" in row:
            return
        with writing:
            rows[check.script] = row
            ROWS.write_text(json.dumps(list(rows.values()), indent=1, ensure_ascii=False) + "\n")
            TABLE.write_text(told(rows))

    _two_at_once(one, [check for check in due if not check.alone])
    for check in due:
        if check.alone:
            one(check)
    good = [c for c in wanted if (row := rows.get(c.script)) and not row["code"]]
    print(f"suite: {len(good)} of {len(wanted)} reach their figure")
    sys.exit(len(good) < len(wanted))


def _two_at_once(one: Any, checks: Iterable[Check]) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, checks))


if __name__ == "__main__":
    main()
