"""Process parts of a list in threads: results come in the order of the list, memory is bounded."""

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
    """Yield what `work` makes of each `chunk` of consecutive things, in their order.

    At most `ahead` chunks per worker are in progress or wait to be consumed. An error of `work` is raised
    where its result would have come. When the generator is closed, chunks not yet started are dropped.
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
    """Return the number of threads that is this process's share of its machine's cores; at least one."""
    local = os.environ.get("LOCAL_WORLD_SIZE", "")
    here = int(local) if world.size > 1 and local.isdigit() and int(local) else world.size
    return max(1, (os.cpu_count() or 1) // here)
