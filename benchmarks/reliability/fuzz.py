"""Damaged and hostile inputs for every parser of our own: a message or a result, soon, in little memory.

    python benchmarks/reliability/fuzz.py                        1,000,000 inputs a parser
    python benchmarks/reliability/fuzz.py --inputs 2000 --parser recipe --parser zip

Seeded: the same numbers give the same inputs. With --state FILE it goes on where it was stopped. An input
that is not refused as it should be is kept beside the state, and the exit code is 1.
"""

import argparse
import json
import random
import sys
import tempfile
import time
import warnings
import zlib
from pathlib import Path
from typing import Any

from parsers import parsers
from parsing import Parser, refuses

from tutelage.storage.atomic import write_json

CHUNK = 5_000
SLOW_SECONDS = 1.0
MOST_MEGABYTES = 256
"""New memory within one chunk; every input is below 64 KiB."""


def main() -> int:
    """Fuzz the parsers that were asked for, one after the other; the last line is the count."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--inputs", type=int, default=1_000_000, help="for each parser")
    options.add_argument(
        "--parser", action="append", help="its name; several times; all by default"
    )
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--state", type=Path, help="a JSON file to go on from")
    asked = options.parse_args()
    warnings.simplefilter("ignore")
    state: dict[str, Any] = {}
    if asked.state and asked.state.is_file():
        state = json.loads(asked.state.read_text())
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        every = parsers(Path(folder))
        chosen = [one for one in every if not asked.parser or one.name in asked.parser]
        for parser in chosen:
            fuzz(parser, asked.inputs, asked.seed, state, asked.state)
    return told(state, [one.name for one in chosen], asked.inputs)


def fuzz(parser: Parser, inputs: int, seed: int, state: dict[str, Any], file: Path | None) -> None:
    """Give one parser its inputs, chunk by chunk; after each, what is known is kept."""
    one = state.setdefault(
        parser.name,
        {"inputs": 0, "refused": 0, "wrong": [], "slowest": 0.0, "megabytes": 0.0, "seconds": 0.0},
    )
    while one["inputs"] < inputs:
        dice = random.Random(f"{seed} {parser.name} {one['inputs']}")
        begin = time.perf_counter()
        forget_peak()
        before = memory("VmRSS")
        for _ in range(min(CHUNK, inputs - one["inputs"])):
            raw = parser.change(dice.choice(parser.corpus), dice)
            start = time.process_time()  # other programs on the machine do not count
            try:
                one["refused"] += refuses(parser.parse, raw)
            except Exception as error:
                wrong(one, f"{type(error).__name__}: {error}", raw, file)
            seconds = time.process_time() - start
            one["slowest"] = max(one["slowest"], seconds)
            if seconds > SLOW_SECONDS:
                wrong(one, f"{seconds:.1f} s", raw, file)
            one["inputs"] += 1
        one["megabytes"] = max(one["megabytes"], memory("VmHWM") - before)
        if one["megabytes"] > MOST_MEGABYTES:
            wrong(one, f"{one['megabytes']:.0f} MB", b"", file)
        one["seconds"] += time.perf_counter() - begin
        if file is not None:
            write_json(file, state)
    print(
        f"{parser.name}: {one['inputs']:,} inputs, {one['refused']:,} refused, {len(one['wrong'])} wrong, "
        f"slowest {1000 * one['slowest']:.0f} ms, {one['megabytes']:.0f} MB, {one['seconds']:.0f} s",
        flush=True,
    )


def wrong(one: dict[str, Any], why: str, raw: bytes, file: Path | None) -> None:
    """Note what went wrong; the first hundred inputs of a parser are kept."""
    one["wrong"].append(why[:300])
    if len(one["wrong"]) > 100:
        return
    print(f"wrong: {why[:300]}: {raw[:200]!r}", file=sys.stderr)
    if file is not None:
        kept = file.with_suffix("") / f"{zlib.crc32(raw):08x}.bin"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(raw)


def forget_peak() -> None:
    """The largest memory of this process begins anew."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def memory(field: str) -> float:
    """Megabytes of this process, now (VmRSS) or at most (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) / 1024


def told(state: dict[str, Any], names: list[str], inputs: int) -> int:
    """The last line, and the exit code: 1 where something was wrong or is missing."""
    of = [state[name] for name in names]
    done, bad = sum(one["inputs"] for one in of), sum(len(one["wrong"]) for one in of)
    slowest = max(one["slowest"] for one in of)
    print(
        f"fuzzing: {done - bad:,} of {inputs * len(of):,} inputs to {len(of)} parsers ended in a message or "
        f"a result, slowest {1000 * slowest:.0f} ms"
    )
    return 0 if bad == 0 and done >= inputs * len(of) else 1


if __name__ == "__main__":
    sys.exit(main())
