"""What others' ways of saving make of damage and of a kill, beside a checkpoint of ours.

    python benchmarks/reliability/anchors.py

The same small state in each format. A flipped bit, or a tail of zeros from a random place on, is noticed
where the reader raises; it is taken without a word where the reader gives other tensors than were saved.
Where it gives the same ones, no harm was done. Then each is saved again and again, over what was there, by a
process that is killed at a random moment: lost is what cannot be read afterwards. Exit code 1 where ours
takes or loses anything.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import safetensors
import torch
from forked import killed_after, start
from safetensors.torch import load_file, save_file
from torch import Tensor

from tutelage.engine.checkpoint.format import TENSORS, Checkpoint, load_checkpoint
from tutelage.engine.checkpoint.rotation import checkpoint_folder, find_latest_checkpoint
from tutelage.engine.checkpoint.writer import CheckpointWriter

State = dict[str, Tensor]


class Way(NamedTuple):
    """Saves, for the so-manieth time; reads it all back; the file of tensors of the first time."""

    name: str
    save: Callable[[State, int], object]
    read: Callable[[], State]
    file: Path


def main() -> int:
    """Every way with every damage; 0 where ours has taken and lost nothing."""
    flags = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    flags.add_argument("--rounds", type=int, default=1000, help="of each damage")
    flags.add_argument("--kills", type=int, default=100)
    chosen = flags.parse_args()
    torch.set_num_threads(1)
    state = {f"layer{n}.weight": torch.full((64, 64), 0.1 + n) for n in range(8)}
    told = []
    with tempfile.TemporaryDirectory() as folder:
        for way in _ways(Path(folder)):
            way.save(state, 1)
            taken = [_taken(way, damage, chosen.rounds) for damage in (flipped, without_tail)]
            lost = sum(_lost(way, state, number, Path(folder)) for number in range(chosen.kills))
            told.append(f"{way.name} {taken[0]}, {taken[1]}, {lost}")
            print(told[-1], flush=True)
    print(f"torch {torch.__version__.partition('+')[0]}, safetensors {safetensors.__version__}")
    print(
        f"anchors: of {chosen.rounds} flipped bits and {chosen.rounds} zeroed tails taken without a word, of "
        f"{chosen.kills} kills lost: {'; '.join(told)}"
    )
    return int(any(taken) or lost > 0)  # of the last one, which is ours


def _ways(root: Path) -> list[Way]:
    plain, tensors, ours = root / "state.pt", root / "state.safetensors", root / "ours"
    saver = CheckpointWriter(ours, tell=print)

    def save(state: State, step: int) -> None:
        saver.save(Checkpoint(state, {"step": step}), step=step)
        saver.settle(last=True)

    def read() -> State:
        folder = find_latest_checkpoint(ours).folder
        assert folder is not None
        return load_checkpoint(folder).tensors

    return [
        Way(
            "torch.save",
            lambda state, _step: torch.save(state, plain),
            lambda: torch.load(plain, weights_only=True),
            plain,
        ),
        Way(
            "safetensors",
            lambda state, _step: save_file(state, tensors),
            lambda: load_file(tensors),
            tensors,
        ),
        Way("Tutelage", save, read, checkpoint_folder(ours, 1) / TENSORS),
    ]


def flipped(good: bytes, dice: random.Random) -> bytes:
    """One bit is another."""
    at = dice.randrange(len(good))
    return good[:at] + bytes([good[at] ^ 1 << dice.randrange(8)]) + good[at + 1 :]


def without_tail(good: bytes, dice: random.Random) -> bytes:
    """Zeros from some place on, as a rename without a flush can leave."""
    at = dice.randrange(len(good))
    return good[:at] + bytes(len(good) - at)


def _taken(way: Way, damage: Callable[[bytes, random.Random], bytes], rounds: int) -> int:
    """How often other tensors than were saved were read without a word."""
    dice, good, taken = random.Random(0), way.file.read_bytes(), 0
    whole = {name: tensor.clone() for name, tensor in way.read().items()}
    for _ in range(rounds):
        way.file.write_bytes(damage(good, dice))
        try:
            state = way.read()
        except Exception:  # whatever it raises, it has noticed
            continue
        taken += not _same(whole, state)
    way.file.write_bytes(good)
    return taken


def _same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(
        one[name].shape == other[name].shape
        and one[name].dtype == other[name].dtype
        and one[name].numpy().tobytes() == other[name].numpy().tobytes()
        for name in one
    )


def _lost(way: Way, state: State, number: int, root: Path) -> bool:
    """Whether nothing can be read after a process was killed that went on saving."""

    def save_on() -> None:
        for step in range(2, 1_000_000):
            way.save(state, step)

    child = start(save_on, log=root / "log.txt")
    killed_after(child, random.Random(number).uniform(0.05, 0.15))
    try:
        way.read()
    except Exception:
        return True
    finally:
        way.save(state, 1)
    return False


if __name__ == "__main__":
    sys.exit(main())
