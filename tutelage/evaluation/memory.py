"""Peak memory: the bytes of tensors a function needs at once, beyond those that existed before."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """Measure the most bytes of tensors alive at once while `work` runs, minus those alive before.

    On a GPU this is the allocator's figure. On a CPU every new storage is followed while it lives; what a
    kernel allocates inside one call is not seen.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    followed = _Followed()
    with followed:
        work()
    return followed.peak


class _Followed(TorchDispatchMode):
    """Counts the bytes of storages created while it is active."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive = 0
        self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if _counts(t)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if _counts(tensor) and tensor.untyped_storage()._cdata not in known:
                self._follow(tensor)
        return result

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.alive += size
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.alive -= size


def _counts(value: Any) -> bool:
    return isinstance(value, Tensor) and value.device.type == "cpu"
