"""Decide whether half precision pays on this processor: time a few training steps both ways.

Processors that lack the instructions compute bf16 more slowly than fp32, and some networks gain nothing
even where they have them. What was decided is kept in a file, so that a continued run computes as it began.
"""

import copy
import math
from collections.abc import Callable
from pathlib import Path

import torch

from tutelage.config.image_size import ImageSize, height_width, spell_size
from tutelage.config.training import DeviceConfig
from tutelage.distributed import World
from tutelage.engine.runtime.device import Runtime
from tutelage.evaluation.timing import median_ratio, time_interleaved
from tutelage.models.preprocess import Classifier
from tutelage.storage.checksums import read_sealed, write_sealed

PIXELS = 8 * 224**2
"""A step is timed on the batch of the run, or on so many pixels where that is less: it takes seconds."""

ROUNDS = 3
_KIND = "what was decided about precision"
WORTH = 1.1
"""Half precision must be so much faster to be taken: noise must not decide, and fp32 is more exact."""


def choose_precision(
    runtime: Runtime,
    machine: DeviceConfig,
    classifier: Classifier,
    *,
    size: ImageSize,
    batch_size: int,
    name: str,
    file: Path,
    world: World,
    say: Callable[[str], None],
) -> Runtime:
    """Choose the precision to train this network with; on a processor with bf16, `auto` is timed.

    Args:
        runtime: what `resolve` found.
        machine: the settings.
        classifier: the network; a copy is timed.
        size: of the stored images.
        batch_size: of the run.
        name: of the network, for the file and the reader.
        file: what was decided before, by network and size; added to.
        world: all processes take what the first one finds.
        say: prints a line.
    """
    if machine.precision != "auto" or runtime.device.type != "cpu" or runtime.autocast is None:
        return runtime
    known = read_sealed(file, kind=_KIND, fix=f"remove {file}") if file.is_file() else {}
    key = f"{name} at {size if isinstance(size, int) else spell_size(size)} px, batch {batch_size}"
    if key not in known:
        count = min(batch_size, max(8, PIXELS // math.prod(height_width(size))))
        gain = _gain(runtime, classifier, size, count) if world.first else 0.0
        half = bool(world.broadcast(gain >= WORTH))
        known |= {key: str(runtime.autocast).removeprefix("torch.") if half else "fp32"}
        if world.first:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_sealed(file, known)
            say(
                f"{key}: trained in {known[key]}; a step in bf16 is {gain:.2f} x as fast as in fp32"
            )
        world.wait()
    return runtime.plain if known[key] == "fp32" else runtime


def _gain(runtime: Runtime, classifier: Classifier, size: ImageSize, count: int) -> float:
    generator = torch.Generator().manual_seed(0)
    shape = (count, *classifier.blank(size).shape[1:])
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    ways = {
        "half": _step(runtime, classifier, images),
        "fp32": _step(runtime.plain, classifier, images),
    }
    seconds = time_interleaved(ways, rounds=ROUNDS, warm_up=1)
    return median_ratio(seconds["fp32"], seconds["half"])["median"]


def _step(runtime: Runtime, classifier: Classifier, images: torch.Tensor) -> Callable[[], None]:
    network = copy.deepcopy(classifier).train()
    runtime.place(network)

    def step() -> None:
        with runtime.cast():
            logits = network(images).logits.float()
        logits.logsumexp(1).mean().backward()
        network.zero_grad(set_to_none=True)

    return step
