"""Two processes that want the same: a folder, a teacher's cache, or checkpoints while they are rotated.

    python benchmarks/reliability/together.py --rounds 50

Two runs: one trains, the other is refused with host, process and start of the first, and the bytes are
those of a run that was alone. Two builders: both students end as if each had been alone, and the cache
holds every answer once. A reader while checkpoints are saved and rotated: it always finds a whole one, and
never an older one than before. The processes are forked from this one, which has computed nothing yet, and
wait for each other.
"""

import argparse
import dataclasses
import json
import os
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from tutelage.commands import train as verbs
from tutelage.commands.pack import pack as pack_data
from tutelage.config.data import DataConfig
from tutelage.config.job import TrainConfig
from tutelage.engine.checkpoint.format import MANIFEST, Checkpoint, load_checkpoint, save_checkpoint
from tutelage.engine.checkpoint.rotation import checkpoint_folder, find_latest_checkpoint
from tutelage.engine.checkpoint.writer import CheckpointWriter
from tutelage.errors import InputError, TutelageError
from tutelage.teachers.cache.folder import cache_entry, cache_names, verify_cache

SAVES = 60
SETTINGS = TrainConfig(
    model="test_resnet",
    weights="none",
    role="control",
    epochs=1,
    batch_size=50,
    device="cpu",
    precision="fp32",
    skip_teacher_check=True,  # a few steps make no teacher
)


def at_once(*works: Callable[[], object], limit: float = 120) -> list[tuple[int, str]]:
    """Do each work in a process of its own, begun at the same moment; exit code and message of each."""
    gate_out, gate_in = os.pipe()
    told = []
    for work in works:
        said_out, said_in = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(gate_in)
            os.read(gate_out, 1)  # until the parent closes it
            os._exit(_done(work, said_in, limit))
        os.close(said_in)
        told.append((child, said_out))
    os.close(gate_out)
    os.close(gate_in)
    found = []
    for child, said_out in told:
        with os.fdopen(said_out, "rb") as file:
            message = file.read().decode()
        found.append((os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), message))
    return found


def _done(work: Callable[[], object], said: int, limit: float) -> int:
    signal.alarm(int(limit))  # a hang ends as a failure
    torch.set_num_threads(1)
    try:
        work()
        return 0
    except TutelageError as error:
        os.write(said, str(error).encode()[:4000])
        return error.exit_code
    except BaseException:
        os.write(said, traceback.format_exc().encode()[-4000:])
        return 1


def weights_of(run: Path) -> bytes:
    """The trained network, as bytes."""
    return (run / "model" / "model.safetensors").read_bytes()


def in_one_folder(pack: Path, folder: Path, alone: bytes) -> str:
    """Two runs in one folder; what is wrong, or nothing."""

    def train() -> object:
        return verbs.train(pack, SETTINGS, out=folder, quiet=True)

    found = sorted(at_once(train, train))
    codes = [code for code, _ in found]
    if codes != [0, 2]:
        return f"exit codes {codes}: {found}"
    if missing := [part for part in ("process", socket.gethostname()) if part not in found[1][1]]:
        return f"the refusal names no {missing}: {found[1][1]}"
    return "" if weights_of(folder) == alone else "other bytes"


def of_one_cache(pack: Path, teacher: Path, folder: Path, alone: dict[int, bytes]) -> str:
    """Two students of one teacher begin at once; what is wrong, or nothing."""

    def student(seed: int) -> Callable[[], object]:
        settings = taught(teacher, folder / "cache", seed)
        return lambda: verbs.distill(pack, settings, out=folder / str(seed), quiet=True)

    found = at_once(student(0), student(1))
    if [code for code, _ in found] != [0, 0]:
        return f"{found}"
    if any(weights_of(folder / str(seed)) != alone[seed] for seed in (0, 1)):
        return "other bytes"
    if wrong := [reason for reason in verify_cache(folder / "cache").values() if reason]:
        return f"{wrong}"
    (name,) = cache_names(folder / "cache")
    kept = cache_entry(folder / "cache" / name)
    return "" if kept.answers == kept.images * kept.views else f"{kept.answers} answers"


def taught(teacher: Path, cache: Path, seed: int) -> TrainConfig:
    """The settings of a student."""
    return dataclasses.replace(
        SETTINGS, role="student", teacher=(str(teacher),), cache=str(cache), seed=seed
    )


def during_rotation(run: Path) -> str:
    """A reader beside a writer of checkpoints; what is wrong, or nothing."""

    def state(step: int) -> Checkpoint:
        return Checkpoint({"weights": torch.full((20_000,), float(step))}, {"step": step})

    def write() -> None:
        saver = CheckpointWriter(run, tell=print, whole=checkpoint_folder(run, 1))
        for step in range(2, SAVES):
            saver.save(state(step), step=step)
            time.sleep(0.01)
        saver.settle(last=True)
        (run / "end").touch()

    def read() -> None:
        last, readings = 0, 0
        while not (run / "end").exists():
            folder = find_latest_checkpoint(run).folder
            assert folder is not None
            try:
                found = load_checkpoint(folder)
            except (OSError, RuntimeError, InputError):
                assert not (folder / MANIFEST).exists()  # rotated away: two newer ones stand
                continue
            step = int(found.facts["step"])
            whole = bool((found.tensors["weights"] == step).all())
            if step < last or not whole:
                raise AssertionError(f"step {step} after {last}, whole: {whole}")
            last, readings = step, readings + 1
        if readings < 10:
            raise AssertionError(f"only {readings} readings")

    save_checkpoint(checkpoint_folder(run, 1), state(1))
    found = at_once(write, read)
    return "" if [code for code, _ in found] == [0, 0] else f"{found}"


def main() -> None:
    """All rounds; the last line is the count."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=50)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    counts = {"two runs": 0, "two builders": 0, "reader": 0}
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        pack, teacher = root / "pack", root / "teacher"
        small = DataConfig(image_size=32, splits="redraw", split=(200, 100, 0))
        prepared = at_once(
            lambda: pack_data("sample", small, out=pack, quiet=True),
            limit=300,
        ) + at_once(
            lambda: verbs.train(
                pack, dataclasses.replace(SETTINGS, role="teacher"), out=teacher, quiet=True
            ),
            lambda: verbs.train(pack, SETTINGS, out=root / "alone", quiet=True),
        )
        prepared += at_once(
            *(
                lambda seed=seed: verbs.distill(
                    pack,
                    taught(teacher, root / f"cache-{seed}", seed),
                    out=root / f"alone-{seed}",
                    quiet=True,
                )
                for seed in (0, 1)
            )
        )
        if any(code for code, _ in prepared):
            sys.exit(f"the preparation failed: {prepared}")
        alone = {seed: weights_of(root / f"alone-{seed}") for seed in (0, 1)}
        for number in range(rounds):
            work = root / f"round-{number}"
            work.mkdir()
            found = {
                "two runs": in_one_folder(pack, work / "run", weights_of(root / "alone")),
                "two builders": of_one_cache(pack, teacher, work, alone),
                "reader": during_rotation(work / "saved"),
            }
            for what, wrong in found.items():
                counts[what] += not wrong
                if wrong:
                    print(f"round {number}, {what}: {wrong}")
    print(f"{time.monotonic() - began:.0f} s; {json.dumps(counts)}")
    whole = ", ".join(f"{what} {count} of {rounds}" for what, count in counts.items())
    print(f"together: {whole} without loss")
    sys.exit(any(count < rounds for count in counts.values()))


if __name__ == "__main__":
    main()
