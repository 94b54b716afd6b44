"""Save, restore and compare the states of all random number generators.

Nothing of ours draws from them in training, but a network of a user's own may: dropout, or plain `random`.
"""

import hashlib
import json
import random
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class RandomState(NamedTuple):
    """tensors: the states of torch's generators, by device; facts: those of Python and NumPy."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    def sums(self) -> dict[str, str]:
        """Hash each generator's state, by its name."""
        contents = {name: tensor.numpy().tobytes() for name, tensor in self.tensors.items()}
        contents |= {name: json.dumps(state).encode() for name, state in self.facts.items()}
        return {name: hashlib.sha256(found).hexdigest() for name, found in contents.items()}


def read_random_state() -> RandomState:
    """Read the states of all generators of this process."""
    tensors = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    name, numbers, *rest = np.random.get_state(legacy=True)
    version, state, gauss = random.getstate()
    facts = {
        "python": [version, list(state), gauss],
        "numpy": [name, np.asarray(numbers).tolist(), *rest],
    }
    return RandomState(tensors, facts)


def restore_random_state(saved: RandomState) -> None:
    """Restore the states, and verify them.

    Raises:
        RuntimeError: a generator does not stand where it was put.
    """
    version, state, gauss = saved.facts["python"]
    random.setstate((version, tuple(state), gauss))
    name, numbers, *rest = saved.facts["numpy"]
    np.random.set_state((name, np.asarray(numbers, np.uint32), *rest))
    torch.set_rng_state(saved.tensors["cpu"])
    if "cuda" in saved.tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(saved.tensors["cuda"])
    found = read_random_state().sums()
    wrong = [name for name, sum_ in saved.sums().items() if found.get(name, sum_) != sum_]
    if wrong:
        raise RuntimeError(f"random numbers do not go on where they stood: {', '.join(wrong)}")
