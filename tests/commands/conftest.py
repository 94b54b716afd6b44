"""A job of specialists on planted classes, once for all tests of a session."""

from pathlib import Path

import pytest
import torch

from support.planted_classes import JOB, planted_pack
from tutelage.commands import train as verbs
from tutelage.data.pack.pack import Pack


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """Eight classes, of which three and two are alike."""
    return planted_pack(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="session")
def council(planted: Pack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole job with two students."""
    out = tmp_path_factory.mktemp("specialists") / "job"
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # whether classes are mixed up hangs on the last bits, too
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tutelage.engine.finish.measure_latency", lambda *_args, **_options: [])
        verbs.run(planted.folder, JOB, out=out, quiet=True)
    torch.set_num_threads(before)
    return out
