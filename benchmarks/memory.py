"""Memory that packing and training take, for a small pack and for one of 4 GB of images.

    python benchmarks/memory.py --gigabytes 4

What counts is anonymous memory (RssAnon, Linux): pages that the system cannot drop. Images are read
through a memory map, whose pages it can. Each figure is the peak in a process of its own; rounds take turns.
The images are random pixels of the stored size; a training takes some steps and then reads all that is
left of the epoch, so that every image of the pack has been read.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tutelage.config.data import DataConfig
from tutelage.data.pack.write import write_pack
from tutelage.data.readers.source import Item, Source, Split

SIDE = 224
CLASSES = tuple("abcdefghij")
SMALL = 640
VALIDATION = 64
TARGET_MB = 100


def random_images(count: int) -> Source:
    """Images that are made when they are read, always the same ones."""

    def pixels(number: int) -> NDArray[np.uint8]:
        return np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)

    def item(number: int) -> Item:
        split: Split = "val" if number < VALIDATION else "train"
        label = CLASSES[number % len(CLASSES)]
        return Item(f"{split}/{label}/{number:07}", split, label, partial(pixels, number))

    return Source({"kind": "random"}, CLASSES, [item(number) for number in range(count)])


def packing(folder: Path, count: int) -> None:
    """Pack so many random images, as any source is packed."""
    write_pack(random_images(count), DataConfig(image_size=SIDE), folder, progress=lambda *_: None)


def training(folder: Path, model: str, batch: int, steps: int) -> None:
    """Train on a pack for some steps, then read the rest of the epoch."""
    import torch
    from torch.nn.functional import cross_entropy

    from tutelage.config.augmentation import AugmentationConfig
    from tutelage.config.model import ModelConfig
    from tutelage.data.loading.loader import training_loader
    from tutelage.data.pack.pack import open_pack
    from tutelage.models.build import build_model

    pack = open_pack(folder)
    network = build_model(
        ModelConfig(model=model, weights="none"),
        classes=len(pack.classes),
        stored_size=pack.image_size,
        train_statistics=(pack.mean, pack.std),
        seed=0,
    ).classifier.train()
    loader = training_loader(
        pack=pack,
        batch_size=batch,
        views=AugmentationConfig(flip=True),
        seed=0,
        device=torch.device("cpu"),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    left = steps
    for epoch in itertools.count():
        for images in loader.epoch(epoch):
            if left:
                optimizer.zero_grad()
                cross_entropy(network(images.images).logits, images.labels).backward()
                optimizer.step()
                left -= 1
        if not left:
            return


@contextmanager
def peak() -> Iterator[list[int]]:
    """The most kB of anonymous memory this process has while the block runs, looked at every 5 ms."""
    found, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            lines = Path("/proc/self/status").read_text().splitlines()
            (line,) = (line for line in lines if line.startswith("RssAnon"))
            found[0] = max(found[0], int(line.split()[1]))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def apart(work: str, folder: Path, *more: object) -> float:
    """Peak of anonymous memory, in MB, of some work in a process of its own."""
    words = [sys.executable, __file__, "--work", json.dumps([work, str(folder), *more])]
    answer = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return int(answer.stdout) / 1024


def work(name: str, folder: str, *more: object) -> None:
    """What a process of its own does; it prints its peak in kB."""
    with peak() as found:
        {"packing": packing, "training": training}[name](Path(folder), *more)
    print(found[0])


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory of packing and training by size of pack.")
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--model", default="test_resnet")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.work:
        work(*json.loads(wanted.work))
        return
    if not Path("/proc/self/status").exists():
        raise SystemExit("this benchmark reads /proc/self/status, which only Linux has")
    from result import write

    from tutelage.evaluation.timing import median_range

    count = int(wanted.gigabytes * 1e9 / (3 * SIDE**2))
    with tempfile.TemporaryDirectory() as place:
        free = shutil.disk_usage(place).free
        if free < 1.2e9 * wanted.gigabytes:
            raise SystemExit(f"{free / 1e9:.1f} GB free in {place}: too little, see TMPDIR")
        packs = {"small": (Path(place) / "small", SMALL), "large": (Path(place) / "large", count)}
        packed = {name: apart("packing", *pack) for name, pack in packs.items()}
        trained: dict[str, list[float]] = {name: [] for name in packs}
        for _ in range(wanted.rounds):
            for name, (folder, _) in packs.items():
                more = (wanted.model, wanted.batch, wanted.steps)
                trained[name].append(apart("training", folder, *more))
    growth = [b - a for a, b in zip(trained["small"], trained["large"], strict=True)]
    write(
        "memory",
        batch_images={"small": SMALL, "large": count},
        pixels_gb={"small": SMALL * 3 * SIDE**2 / 1e9, "large": count * 3 * SIDE**2 / 1e9},
        model=wanted.model,
        batch=wanted.batch,
        steps=wanted.steps,
        cores=os.cpu_count(),
        training_peak_mb={name: median_range(values) for name, values in trained.items()},
        training_growth_mb=median_range(growth),
        packing_peak_mb=packed,
        packing_growth_mb=packed["large"] - packed["small"],
        target_mb=TARGET_MB,
    )


if __name__ == "__main__":
    main()
