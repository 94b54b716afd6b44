"""A module as two processes that meet: how a test starts it, and what the module does."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from support.child import environment
from tutelage.distributed import World


def by_two(module: str, folder: Path) -> list[dict[str, Any]]:
    """Run `python -m MODULE RANK FOLDER` twice and return what each process found, by rank."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", module, str(rank), str(folder)],
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=240)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], "\n".join(said)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def meet(find: Callable[[str, World], Any], names: Iterable[str]) -> None:
    """Be one of the two: find something by each name in turn, over one connection, and save it."""
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    address = f"file://{folder / 'meeting'}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    world = World(rank, 2, rank)
    torch.save({name: find(name, world) for name in names}, folder / f"{rank}.pt")
    dist.destroy_process_group()
