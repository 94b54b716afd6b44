"""Tiers, one thread, Hypothesis profiles; and small, real training: a pack, a saved teacher, settings.

Imports of torch wait inside the fixtures, so that tests that need none start at once.
"""

from __future__ import annotations

import dataclasses
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.examples import register_profiles
from support.tiers import longest_first, set_tiers
from tutelage.config.data import DataConfig
from tutelage.config.job import TrainConfig
from tutelage.config.model import ModelConfig
from tutelage.data.pack.pack import Pack
from tutelage.data.pack.write import write_pack
from tutelage.data.readers.open import open_source
from tutelage.data.readers.zip import SAMPLE
from tutelage.engine.runtime.signals import StopRequest

if TYPE_CHECKING:
    from tutelage.commands.benchmark_step import StepBenchmark
    from tutelage.engine.context import RunContext
    from tutelage.models.build import BuiltModel

SIZE = 32

os.environ["OMP_NUM_THREADS"] = "1"  # tiny networks: threads would wait for each other
register_profiles()
collect_ignore = ["support"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test its tier; what takes long comes first."""
    set_tiers(items)
    longest_first(items)


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real images as files: 20 a class to train on, 8 to validate, 10 without a class to test."""
    root = tmp_path_factory.mktemp("sample")
    with zipfile.ZipFile(SAMPLE) as archive:
        by_folder: dict[tuple[str, ...], list[str]] = {}
        for name in archive.namelist():
            by_folder.setdefault(tuple(name.split("/")[:-1]), []).append(name)
        chosen: dict[str, str] = {}
        for (*split, label), names in sorted(by_folder.items()):
            if split == ["train"]:
                train, val, test = names[:20], names[20:28], names[28:29]
                chosen |= {f"train/{label}/{Path(n).name}": n for n in train}
                chosen |= {f"val/{label}/{Path(n).name}": n for n in val}
                chosen |= {f"test/{label}-{Path(n).name}": n for n in test}
        for target, name in chosen.items():
            path = root / target
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(name))
    return root


@pytest.fixture(scope="session")
def small_pack(sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """The images of `sample_folder` at 32 pixels: 200 train, 80 val, 10 unlabelled test."""
    settings = DataConfig(image_size=SIZE)
    source = open_source(str(sample_folder), settings)
    folder = tmp_path_factory.mktemp("packed") / "pack"
    return write_pack(source, settings, folder, progress=lambda _done, _count: None)


@pytest.fixture(scope="session")
def make_network(small_pack: Pack) -> Callable[..., BuiltModel]:
    """Build a tiny network for the small pack."""
    from tutelage.models.build import build_model

    def make(model: str = "test_resnet", *, seed: int = 0, **settings: object) -> BuiltModel:
        network = ModelConfig(model=model, **settings)  # type: ignore[arg-type]
        return build_model(
            network,
            classes=len(small_pack.classes),
            stored_size=small_pack.image_size,
            train_statistics=(small_pack.mean, small_pack.std),
            seed=seed,
        )

    return make


@pytest.fixture(scope="session")
def teacher_folder(
    small_pack: Pack,
    make_network: Callable[..., BuiltModel],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A model folder that can teach: an untrained network, whose word is as good as any here."""
    from tutelage.models.model_folder import save_model

    folder = tmp_path_factory.mktemp("teacher") / "model"
    classifier = make_network("test_resnet", seed=7).classifier.eval()
    save_model(
        folder,
        classifier,
        settings=ModelConfig(model="test_resnet"),
        classes=small_pack.classes,
        stored_size=small_pack.image_size,
        background="white",
        card="",
    )
    return folder


@pytest.fixture
def single() -> Callable[..., TrainConfig]:
    """Settings of a run of 2 epochs x 4 steps on the small pack."""

    def make(**changes: object) -> TrainConfig:
        settings = TrainConfig(
            model="test_resnet",
            weights="none",
            epochs=2,
            batch_size=50,
            device="cpu",
            precision="fp32",
            role="control",
            skip_teacher_check=True,  # a few steps make no teacher
        )
        return dataclasses.replace(settings, **changes)  # type: ignore[arg-type]

    return make


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., RunContext]:
    """A quiet place for a run."""
    from tutelage.engine.context import RunContext
    from tutelage.engine.runtime.console import Console

    def make(name: str = "run", stop: StopRequest | None = None) -> RunContext:
        screen = Console(quiet=True)
        folder = tmp_path / name
        stop = StopRequest() if stop is None else stop  # one that nobody asked yet is false
        return RunContext("run", folder, tmp_path / "cache", screen, stop)

    return make


@pytest.fixture
def make_trial(tmp_path: Path) -> Callable[..., StepBenchmark]:
    """Two batches of 16 of the sample's images at 32 pixels, and tiny networks."""
    from tutelage.commands.benchmark_step import open_step_benchmark

    def make(data: str | Path = "sample", **changes: object) -> StepBenchmark:
        settings = TrainConfig(
            model="test_resnet",
            weights="none",
            batch_size=16,
            device="cpu",
            precision="fp32",
            data=DataConfig(image_size=SIZE),
            **changes,  # type: ignore[arg-type]
        )
        return open_step_benchmark(
            data, settings, teacher="test_resnet", folder=tmp_path, images=32, say=print
        )

    return make
