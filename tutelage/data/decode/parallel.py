"""Threads that work on parts of a list: results come in the order of the list, memory is bounded."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from tutelage.distributed import World

Thing = TypeVar("Thing")
Made = TypeVar("Made")


def in_order(
    work: Callable[[list[Thing]], Made],
    things: Iterable[Thing],
    *,
    workers: int,
    chunk: int,
    ahead: int = 4,
) -> Generator[Made, None, None]:
    """What `work` makes of each `chunk` of neighbouring things, in their order.

    At most `ahead` chunks a worker are under way or wait to be taken. An error of `work` is raised
    where its result would have come. When the generator is closed, what has not begun is dropped.
    """
    rest = iter(things)
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            while True:
                while len(waiting) < ahead * workers and (some := list(islice(rest, chunk))):
                    waiting.append(pool.submit(work, some))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def threads(world: World) -> int:
    """How many threads are this process's part of the cores of its machine; at least one."""
    said = os.environ.get("LOCAL_WORLD_SIZE", "")
    here = int(said) if world.size > 1 and said.isdigit() and int(said) else world.size
    return max(1, (os.cpu_count() or 1) // here)
