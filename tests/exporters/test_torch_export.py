"""The `.pt2` file: what PyTorch makes of it without our code."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tutelage.config.data import DataConfig
from tutelage.data.pack.pack import Pack
from tutelage.errors import InputError
from tutelage.exporters.registry import EXPORTERS
from tutelage.exporters.torch_export import export_torch
from tutelage.models.build import BuiltModel
from tutelage.storage.sidecar import require_checksum


@pytest.fixture
def images(small_pack: Pack) -> torch.Tensor:
    return torch.tensor(small_pack.images[:8]).permute(0, 3, 1, 2).contiguous()


def test_file_gives_the_networks_logits(
    small_pack: Pack, make_network: Callable[..., BuiltModel], images: torch.Tensor, tmp_path: Path
) -> None:
    """Loaded by torch alone, at batches it was not traced with; class names and checksum are there."""
    classifier = make_network().classifier.eval()
    result = export_torch(
        classifier, tmp_path / "m.pt2", images, small_pack.classes, small_pack.prepared
    )
    assert result.size_bytes == (tmp_path / "m.pt2").stat().st_size
    assert result.difference < 1e-4
    require_checksum(tmp_path / "m.pt2")
    extra = {"classes.json": ""}
    module = torch.export.load(io.BytesIO(result.path.read_bytes()), extra_files=extra).module()
    assert json.loads(extra["classes.json"]) == list(small_pack.classes)
    for batch in (1, 2, 5, 8):
        with torch.no_grad():
            expected = classifier(images[:batch]).logits
            torch.testing.assert_close(module(images[:batch]), expected, rtol=1e-4, atol=1e-4)


def test_wrong_outputs_are_refused(
    make_network: Callable[..., BuiltModel],
    images: torch.Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file that answers differently is not written."""
    monkeypatch.setattr(
        "tutelage.exporters.torch_export._run", lambda _content: lambda pixels: pixels.float()
    )
    with pytest.raises(InputError, match="other classes"):
        export_torch(
            make_network().classifier.eval(), tmp_path / "m.pt2", images, ["a"] * 10, DataConfig()
        )
    assert not list(tmp_path.iterdir())


def test_formats_have_names_and_suffixes_of_their_own() -> None:
    assert len({exporter.suffix for exporter in EXPORTERS.values()}) == len(EXPORTERS) > 1
    assert all(name == exporter.name for name, exporter in EXPORTERS.items())
