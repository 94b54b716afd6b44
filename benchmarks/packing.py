"""Packing with two threads against one: 500 x 375 JPEG files to 224 x 224, decoded, resized, stored.

    python benchmarks/packing.py --images 600 --rounds 15

Both take turns in one process. On Linux, rounds in which other programs took more than a tenth of a
processor are left out where enough others remain, since they take from two threads what one does not use.

What two processors of this machine give at best is measured beside it (`ceiling`): two separate programs,
each with one thread and a pack of its own, against one of them. They share nothing but the machine.
"""

import argparse
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from folder_of_images import KINDS, make
from result import write

from tutelage.config.data import DataConfig
from tutelage.data.pack.write import write_pack
from tutelage.data.readers.open import open_source
from tutelage.evaluation.timing import median_range, median_ratio, time_interleaved

STORED = 224
QUIET = 0.1  # processors that other programs may take
ENOUGH = 5


def others() -> float:
    """Processor seconds that all other programs have had so far; 0 where the system does not tell."""
    try:
        ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    except OSError:
        return 0.0
    user, nice, system, _, _, irq, soft, steal = ticks
    own = os.times()
    busy = (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")
    return busy - own.user - own.system


def main() -> None:
    parser = argparse.ArgumentParser(description="Packing with two threads against one.")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=15)
    wanted = parser.parse_args()
    taken: dict[str, list[float]] = {"1": [], "2": []}
    with tempfile.TemporaryDirectory() as place:
        images, out = Path(place) / "pictures", Path(place) / "pack"
        val = wanted.images // 10
        make(images, size=STORED, train=wanted.images - val, val=val)
        settings = DataConfig(image_size=STORED)
        source = open_source(images, settings)

        def packing(workers: int) -> Callable[[], None]:
            def pack() -> None:
                shutil.rmtree(out, ignore_errors=True)
                before, begin = others(), time.perf_counter()
                write_pack(source, settings, out, progress=lambda *_: None, workers=workers)
                rate = (others() - before) / (time.perf_counter() - begin)
                taken[str(workers)].append(rate)

            return pack

        def alone(number: int) -> None:
            folder = Path(place) / f"pack-{number}"
            write_pack(source, settings, folder, progress=lambda *_: None, workers=1)
            shutil.rmtree(folder)

        def programs() -> None:
            fork = multiprocessing.get_context("fork")
            both = [fork.Process(target=alone, args=(number,)) for number in (1, 2)]
            for one in both:
                one.start()
            for one in both:
                one.join()

        ways = {"1": packing(1), "2": packing(2), "programs": programs}
        seconds = time_interleaved(ways, rounds=wanted.rounds, warm_up=1)
    busy = [max(pair) for pair in zip(*(taken[name][1:] for name in taken), strict=True)]
    quiet = [number for number, rate in enumerate(busy) if rate < QUIET]
    rounds = quiet if len(quiet) >= ENOUGH else range(wanted.rounds)
    one, two, apart = ([seconds[name][number] for number in rounds] for name in ways)
    write(
        "packing",
        images=len(source.items),
        files=KINDS[STORED]._asdict(),
        stored=STORED,
        cores=os.cpu_count(),
        seconds={"1 thread": median_range(one), "2 threads": median_range(two)},
        images_a_second={name: len(source.items) / min(seconds[name]) for name in taken},
        speed_up=median_ratio(one, two),
        ceiling=median_ratio([2 * value for value in one], apart),
        target="at least 1.8",
        quiet_rounds=len(quiet),
        other_programs_in_processors=median_range(busy),
    )


if __name__ == "__main__":
    main()
