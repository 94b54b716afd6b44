"""The processes that share one run: one is the ordinary case of N.

`torchrun` starts N processes with the same command and tells each its rank in the environment. What
they must agree on goes through here; nothing else in the code knows how processes talk. This module
imports no torch until two processes have something to say to each other.
"""

import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from tutelage.errors import MachineError, TutelageError

T = TypeVar("T")


class World(NamedTuple):
    """rank: this process, from 0; size: how many there are; local: its rank on this machine."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks for all."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """The part of `count` things that falls to this process: neighbours, equal parts or one more.

        >>> [list(World(rank, 2).share(5)) for rank in (0, 1)]
        [[0, 1, 2], [3, 4]]
        """
        low, high = shares(count, self.size)[self.rank]
        return range(low, high)

    def wait(self) -> None:
        """Go on when all are here."""
        if self.size > 1:
            self.everyone(None)

    def everyone(self, fact: Any) -> list[Any]:
        """What each process says, by rank; small plain Python values."""
        if self.size == 1:
            return [fact]
        import torch.distributed as processes

        said: list[Any] = [None] * self.size
        try:
            processes.all_gather_object(said, fact)
        except RuntimeError as error:  # DistError is one
            raise process_lost(error) from error
        return said

    def first_says(self, fact: Any) -> Any:
        """What the first process says; the others' argument does not matter."""
        return self.everyone(fact if self.first else None)[0]

    def first_does(self, action: Callable[[], T]) -> T:
        """Let the first process do something small; its answer, or its error, is everyone's."""
        answer: Any = None
        error: TutelageError | None = None
        if self.first:
            try:
                answer = action()
            except TutelageError as raised:
                error = raised
        answer, error = self.first_says((answer, error))
        if error is not None:
            raise error
        return answer  # type: ignore[no-any-return]


ALONE = World()


def shares(count: int, size: int) -> Sequence[tuple[int, int]]:
    """[low, high) of each of `size` parts of `count` things, larger parts first."""
    each, more = divmod(count, size)
    bounds = [part * each + min(part, more) for part in range(size + 1)]
    return list(itertools.pairwise(bounds))


def world_from_environment() -> World:
    """What torchrun said; one process where it did not start this one."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    if not all(os.environ.get(name, "").isdigit() for name in names):
        return ALONE
    return World(*(int(os.environ[name]) for name in names))


def process_lost(error: RuntimeError) -> MachineError:
    """What to tell a person when another process no longer answers."""
    return MachineError(
        "another process of this run has ended or no longer answers",
        found=str(error).splitlines()[0][:200],
        fix="the same command with --resume; it continues from the last checkpoint",
    )
