"""Kill a whole job at random moments, again and again, until it is done: does it end in the same bytes?

    python benchmarks/reliability/kills.py --rounds 200

A job packs images, trains a teacher, asks it ahead, trains a student and a control, measures, reports. Its
process gets SIGKILL after a random time and the same command is started again with --resume, until it ends
by itself. Weights, scores, predictions, journals, pack, teacher's cache: all files are compared with those of
a job that was never interrupted, and the report is, written with the same wall-clock times.
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

import tiny
from forked import killed_after, run, start


def main() -> int:
    """Kill until there are enough; 0 where every job ended as it should."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--rounds", type=int, default=200, help="kills")
    words.add_argument("--seed", type=int, default=0, help="of the moments")
    chosen = words.parse_args()
    moments = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        log = root / "log.txt"
        data = tiny.images(root / "pictures")
        whole = root / "whole" / "job"
        begin = time.monotonic()
        assert run(lambda: tiny.do_job(data, whole), log=log) == 0, log.read_text()
        seconds = time.monotonic() - begin
        print(f"uninterrupted: {seconds:.1f} s", flush=True)
        kills = good = jobs = 0
        while kills < chosen.rounds:
            jobs += 1
            out = root / f"{jobs}" / "job"
            cut, wrong = _until_done(data, out, log, moments, seconds, chosen.rounds - kills)
            wrong = wrong or _compare(whole, out, root)
            kills += cut
            good += 0 if wrong else cut
            print(f"job {jobs}: {cut} kills, {wrong or 'the same bytes'}", flush=True)
        print(f"{jobs} jobs")
        print(f"kills: {good} of {kills} ended with the same bytes")
    return 0 if good == kills >= chosen.rounds else 1


def _until_done(
    data: Path, out: Path, log: Path, moments: random.Random, seconds: float, most: int
) -> tuple[int, str]:
    """How often a job was killed until it was done, and what went wrong with it."""
    cut = 0
    while True:
        child = start(lambda: tiny.do_job(data, out), log=log)
        left = moments.uniform(0.0, 0.6 * seconds) if cut < most else 300.0
        code = killed_after(child, left)
        if code == 0:
            return cut, ""
        if code != -9:
            return cut, f"exit {code}: {log.read_text()[-2000:]}"
        cut += 1


def _compare(whole: Path, out: Path, root: Path) -> str:
    wrong = tiny.differences(whole.parent, out.parent)

    def report() -> int:
        found = tiny.report_differences(whole, out)
        print(found)
        return int(bool(found))

    log = root / "report.txt"
    if run(report, log=log):
        wrong.append(f"report: {log.read_text()[-500:]}")
    return ", ".join(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
