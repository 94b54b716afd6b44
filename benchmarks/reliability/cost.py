"""What a durable save costs beside a plain one, and what share of its time training waits for it.

    python benchmarks/reliability/cost.py

The state of a ResNet-18 in training with Adam (134 MB) is saved in two ways by turns, in one run: with
`torch.save` to a temporary name and a rename, and as a checkpoint: written, hashed, flushed to the disk,
renamed, and read back, which is counted in. Then what a step waits for: the copy of the state, which a
thread then writes. Checkpoints are saved every 120 s.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import timm
import torch

from tutelage.engine.checkpoint.format import Checkpoint, check_checkpoint, save_checkpoint
from tutelage.engine.checkpoint.writer import CheckpointWriter
from tutelage.engine.train.loop import CHECKPOINT_SECONDS

MOST = 3.0
MOST_SHARE = 0.01


def main() -> int:
    """Measure; 0 where both figures are reached."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--rounds", type=int, default=15)
    words.add_argument("--model", default="resnet18")
    chosen = words.parse_args()
    tensors = _state(chosen.model)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    checkpoint = Checkpoint(tensors, {"step": 1})
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as place:
        root = Path(place)
        ways: dict[str, Callable[[], object]] = {
            "plain": lambda: _plain(root / "plain.pt", tensors),
            "written": lambda: save_checkpoint(root / "durable", checkpoint),
            "read back": lambda: check_checkpoint(root / "durable"),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(chosen.rounds + 1):
            for name, way in ways.items():
                begin = time.perf_counter()
                way()
                if number:  # the first round pays for what the others find there
                    times[name].append(time.perf_counter() - begin)
        waits = _waits(root / "run", checkpoint, chosen.rounds)
    middle = {name: statistics.median(found) for name, found in times.items()}
    for name, found in middle.items():
        spread = f"{min(times[name]):.3f} to {max(times[name]):.3f}"
        print(f"{name}: {found:.3f} s ({spread})")
    rounds = zip(*times.values(), strict=True)
    ratio = statistics.median((written + read) / plain for plain, written, read in rounds)
    waited = statistics.median(waits)
    share = waited / CHECKPOINT_SECONDS
    busy = (middle["written"] + middle["read back"]) / CHECKPOINT_SECONDS
    print(f"{size / 1e6:.0f} MB; a step waits {waited:.3f} s of {CHECKPOINT_SECONDS:.0f}")
    print(f"the thread works {busy:.2%} of the time, on a core of its own where there is one")
    good = ratio <= MOST and share <= MOST_SHARE
    print(
        f"cost: {ratio:.2f} times a plain save (at most {MOST:g}), {share:.2%} of training (at most 1 %)"
    )
    return 0 if good else 1


def _state(model: str) -> dict[str, torch.Tensor]:
    network = timm.create_model(model, num_classes=10)
    found = {f"method/{name}": tensor for name, tensor in network.state_dict().items()}
    for number, parameter in enumerate(network.parameters()):
        found[f"optimizer/{number}/exp_avg"] = torch.randn_like(parameter)
        found[f"optimizer/{number}/exp_avg_sq"] = torch.rand_like(parameter)
    return {name: tensor.detach() for name, tensor in found.items()}


def _plain(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    beside = path.with_suffix(".part")
    torch.save(tensors, beside)
    os.replace(beside, path)  # noqa: PTH105 - as a script does it


def _waits(run: Path, checkpoint: Checkpoint, rounds: int) -> list[float]:
    saver = CheckpointWriter(run, tell=print)
    found = []
    for step in range(1, rounds + 2):
        begin = time.perf_counter()
        saver.save(checkpoint, step=step)
        found.append(time.perf_counter() - begin)
        saver.settle(last=True)
    return found[1:]


if __name__ == "__main__":
    sys.exit(main())
