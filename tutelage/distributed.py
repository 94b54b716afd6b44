"""The processes that share one run; a single process is the ordinary case.

`torchrun` starts N processes with the same command and sets the rank of each in its environment. What they
must agree on goes through here; no other code knows how processes communicate. torch is imported only if
there are several processes.
"""

import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from tutelage.errors import MachineError, TutelageError

T = TypeVar("T")


class World(NamedTuple):
    """The place of this process among those of the run."""

    rank: int = 0
    """Of this process, from 0."""
    size: int = 1
    """Number of processes."""
    local: int = 0
    """Rank of this process on its machine."""

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which writes files and messages for all."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """Return this process's part of `count` items: contiguous, and equal up to one item.

        >>> [list(World(rank, 2).share(5)) for rank in (0, 1)]
        [[0, 1, 2], [3, 4]]
        """
        low, high = shares(count, self.size)[self.rank]
        return range(low, high)

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            self.all_gather(None)

    def all_gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank; small plain Python values.

        Raises:
            MachineError: another process has ended or no longer responds.
        """
        if self.size == 1:
            return [value]
        import torch.distributed as processes

        values: list[Any] = [None] * self.size
        try:
            processes.all_gather_object(values, value)
        except RuntimeError as error:  # DistError is one
            raise process_lost(error) from error
        return values

    def broadcast(self, value: Any) -> Any:
        """Return the value of rank 0; those of the others are ignored."""
        return self.all_gather(value if self.first else None)[0]

    def run_on_rank0(self, action: Callable[[], T]) -> T:
        """Run a small action on rank 0; its result is returned, or its error raised, on all ranks."""
        result: Any = None
        error: TutelageError | None = None
        if self.first:
            try:
                result = action()
            except TutelageError as raised:
                error = raised
        result, error = self.broadcast((result, error))
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]


ALONE = World()


def shares(count: int, size: int) -> Sequence[tuple[int, int]]:
    """Divide `count` items into `size` contiguous parts [low, high), larger parts first."""
    each, more = divmod(count, size)
    bounds = [part * each + min(part, more) for part in range(size + 1)]
    return list(itertools.pairwise(bounds))


def world_from_environment() -> World:
    """Return what torchrun set in the environment; a single process without it."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    if not all(os.environ.get(name, "").isdigit() for name in names):
        return ALONE
    return World(*(int(os.environ[name]) for name in names))


def process_lost(error: RuntimeError) -> MachineError:
    """Build the error for another process that no longer responds."""
    return MachineError(
        "another process of this run has ended or no longer responds",
        found=str(error).splitlines()[0][:200],
        fix="the same command with --resume; it continues from the last checkpoint",
    )
