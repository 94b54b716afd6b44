"""Compute losses in full precision, whatever the networks compute in.

Squares and Gram matrices overflow float16 at 65,504, and an epsilon of 1e-8 is zero there.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

F = TypeVar("F", bound=Callable[..., Any])


def in_full_precision(loss: F) -> F:
    """Run a function outside autocast, with half-precision arguments converted to fp32 (fp64 stays fp64).

    Tensors are found among the arguments and one level deep in tuples and lists of them.
    """

    @wraps(loss)
    def run(*args: Any, **kwargs: Any) -> Any:
        args = tuple(_full(value) for value in args)
        kwargs = {name: _full(value) for name, value in kwargs.items()}
        tensors = (v for v in tree_leaves((args, kwargs)) if isinstance(v, Tensor))
        device = next((tensor.device.type for tensor in tensors), "cpu")
        with torch.autocast(device, enabled=False):
            return loss(*args, **kwargs)

    return cast(F, run)


def _full(value: Any) -> Any:
    if isinstance(value, Tensor):
        half = value.is_floating_point() and value.dtype.itemsize < 4
        return value.float() if half else value
    if type(value) in (tuple, list):
        return type(value)(_full(item) for item in value)
    return value
