"""Every call of docs/evidence/bad-input.md, each through the command line in a process of its own.

    python benchmarks/reliability/bad_input.py [--processes 2] [--files 20000] [--first 80] [--last 90]

A parent that has imported the packages is forked for each call, so that a call costs its own time and not
that of starting Python. The last line is the count; exit code 1 where a call does not what the table says.
"""

import argparse
import io
import itertools
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

PATIENCE = 60.0
"""Seconds after the time in which a call itself gives up, until its process is ended."""

Job = tuple[str, Callable[[Path], list[str]]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--files", type=int, default=20_000, help="in one folder, for case 81")
    parser.add_argument("--first", type=int, default=1, help="number of a case")
    parser.add_argument("--last", type=int, default=136, help="number of a case")
    given = parser.parse_args()
    os.environ["TUTELAGE_MANY_FILES"] = str(given.files)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from support.reliability.bad_bench import Bench
    from support.reliability.bad_networks import bomb_bytes
    from tutelage.commands import sweep as sweeping  # noqa: F401  so that no fork has to import them

    bomb_bytes()
    started = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix="bad-input-"))
    bench = Bench(root)
    made = os.fork()  # torch's threads must not run in a process that is forked again
    if made == 0:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            bench.make()
        os._exit(0)
    assert os.waitpid(made, 0)[1] == 0, "what the cases share could not be made"
    jobs = list(calls(bench, range(given.first, given.last + 1)))
    failed = 0
    sums: Counter[str] = Counter()
    for name, problems in forked(jobs, root, given.processes):
        cells = int(name.rpartition("*")[2]) if "*" in name else 1
        sums["cells"] += cells
        for problem in problems:
            sums[
                "traceback" if "traceback" in problem else "hang" if "hung" in problem else "other"
            ] += 1
        if problems:
            failed += 1
            print(f"{name}: {'; '.join(problems)}", flush=True)
    shutil.rmtree(root, ignore_errors=True)
    print(
        f"{time.monotonic() - started:.0f} s, {len(jobs)} processes, {given.files:,} files in case 81"
    )
    names = (
        "all messages name file and remedy"
        if not sums["other"]
        else f"{sums['other']} other faults"
    )
    print(f"{sums['cells']:,} cells: {sums['traceback']} tracebacks, {sums['hang']} hangs, {names}")
    return 1 if failed else 0


def calls(bench: "Bench", numbers: range) -> Iterator[Job]:  # noqa: F821
    """Each case at each verb by itself; harmless data at the verbs that train, all cases in one folder."""
    from support.reliability.bad_bench import together
    from support.reliability.bad_case import Case
    from support.reliability.bad_cases import CASES
    from support.reliability.bad_entries import ENTRIES, TRAINING, call, words
    from support.reliability.bad_verdict import in_pack, wrong

    shared: dict[str, list[Case]] = {entry: [] for entry in (*TRAINING, "export")}
    chosen = [case for case in CASES if case.at in numbers]
    for case, entry in itertools.product(chosen, ENTRIES):
        if entry not in case.entries():
            continue
        if case.role == "data" and not case.alone and entry in shared and entry not in case.quick():
            shared[entry].append(case)
            continue

        def alone(folder: Path, case: Case = case, entry: str = entry) -> list[str]:
            answer = bench.knock(case, entry, folder)
            found = wrong(case, entry, answer, folder)
            return [*found, answer.err[:300].replace("\n", " | ")] if found else []

        yield f"{case.number} {entry}", alone

    for entry, cases in shared.items():
        if not cases:
            continue

        def all_of_them(folder: Path, entry: str = entry, cases: list[Case] = cases) -> list[str]:
            places, around = together(bench, cases, folder)
            with around:
                answer = call(words(entry, "data", places), folder)
            if answer.code != 0:
                return [f"exit code {answer.code}", answer.err[:300]]
            pack = folder / "out" / "pack"
            seen = [one for case in cases for one in case.seen] if pack.is_dir() else []
            return [problem for one in seen if (problem := in_pack(one, pack))]

        yield f"together {entry} *{len(cases)}", all_of_them


def forked(jobs: list[Job], root: Path, processes: int) -> Iterator[tuple[str, list[str]]]:
    """Run each job in a fork with a new folder; what it says is wrong comes back by a file."""
    from support.reliability.bad_entries import LIMIT

    running: dict[int, tuple[str, Path, float]] = {}
    waiting = iter(enumerate(jobs))
    while True:
        while len(running) < processes and (job := next(waiting, None)) is not None:
            number, (name, work) = job
            folder = root / f"call-{number}"
            folder.mkdir()
            child = os.fork()
            if child == 0:
                _child(work, folder)
            running[child] = (name, folder, time.monotonic())
        if not running:
            return
        child, status = os.waitpid(-1, os.WNOHANG)
        if child == 0:
            for other, (name, _, since) in running.items():
                if time.monotonic() - since > LIMIT + PATIENCE:
                    print(f"{name} has hung", flush=True)
                    os.kill(other, 9)
            time.sleep(0.005)
            continue
        name, folder, _ = running.pop(child)
        said = folder / "problems"
        whole = status == 0 and said.is_file()
        problems = said.read_text().splitlines() if whole else [f"hung or died: status {status}"]
        for path in folder.glob("data/*"):  # some cannot be written, and so not be emptied
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)
        yield name, problems


def _child(work: Callable[[Path], list[str]], folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        problems = work(folder)
    except BaseException as error:
        problems = [f"traceback: {type(error).__name__}: {str(error)[:300]}".replace("\n", " ")]
    (folder / "problems").write_text("\n".join(problems), errors="backslashreplace")
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
