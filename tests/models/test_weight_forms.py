"""Weights from elsewhere come in whole, in every form in which people save them."""

import argparse
import copy
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from timm.utils import CheckpointSaver, ModelEmaV3
from torch import Tensor, nn

from support.weights_of_others import network, random_file
from tutelage.models.weights import LoadedWeights, load_weights

State = dict[str, Tensor]


def loaded(path: Path, name: str = "test_resnet", classes: int = 5) -> tuple[State, LoadedWeights]:
    """What a fresh network is after a file was loaded."""
    target = copy.deepcopy(network(3, classes=classes, name=name))
    heads = target.pretrained_cfg["classifier"]
    return target.state_dict(), load_weights(target, path, classifier=heads)


def same(found: State, wanted: State) -> list[str]:
    """The names that differ."""
    return [n for n, t in wanted.items() if not torch.equal(found[n], t.to(found[n].dtype))]


@pytest.mark.full
@pytest.mark.parametrize("part", range(8))
def test_random_forms(tmp_path: Path, part: int) -> None:
    """Keys, prefixes, formats, number types, averages, counters and objects, in any combination."""
    for seed in range(25 * part, 25 * part + 25):
        wanted, how = random_file(tmp_path / "w.pt", seed)
        state, told = loaded(tmp_path / "w.pt")
        assert not same(state, wanted), how
        assert (told.random, told.taken) == ((), told.of), how
        assert any("moving average" in note for note in told.notes) is ("ema ''" not in how), how


def truth() -> nn.Module:
    return copy.deepcopy(network(1))


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def body() -> State:
    return {n: t for n, t in truth().state_dict().items() if not n.startswith("fc.")}


def head() -> State:
    state = truth().state_dict()
    return {n.removeprefix("fc."): t for n, t in state.items() if n.startswith("fc.")}


def averaged(network_: nn.Module) -> nn.Module:
    made = torch.optim.swa_utils.AveragedModel(network(2))
    made.module.load_state_dict(network_.state_dict())
    return made


def whole_of_a_lost_class(path: Path) -> None:
    """A network of a module that is not there when it is read, which wraps another one."""
    module = types.ModuleType("somebodys_networks")
    sys.modules["somebodys_networks"] = module

    def start(self: nn.Module, inner: nn.Module) -> None:
        nn.Module.__init__(self)
        self.backbone, self.config = inner, argparse.Namespace(a=1)

    kind = type("Wrapped", (nn.Module,), {"__init__": start, "__module__": "somebodys_networks"})
    module.Wrapped = kind  # type: ignore[attr-defined]
    torch.save(kind(truth()), path)
    del sys.modules["somebodys_networks"]


def lightning(path: Path, average: bool = False) -> None:
    state = prefixed("model.", truth().state_dict())
    content: dict[str, Any] = {
        "epoch": 4,
        "global_step": 100,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {**state, "criterion.weight": torch.ones(5)},
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{}": {"best_model_score": torch.tensor(0.9)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"arch": "resnet", "lr": 0.1},
    }
    if average:
        content["current_model_state"] = prefixed("model.", network(2).state_dict())
        content["averaging_state"] = {"n_averaged": torch.tensor(3)}
    torch.save(content, path)


def timm_saver(path: Path) -> None:
    """What timm's own training script writes, with its average."""
    plain = copy.deepcopy(network(2))
    ema = ModelEmaV3(plain)
    ema.module.load_state_dict(truth().state_dict())
    optimizer = torch.optim.SGD(plain.parameters(), 0.1)
    args = argparse.Namespace(model="test_resnet", num_classes=5)
    saver = CheckpointSaver(
        plain,
        optimizer,
        args=args,
        model_ema=ema,
        checkpoint_dir=str(path.parent),
        recovery_dir=str(path.parent),
    )
    saver.save_checkpoint(3, 0.5)
    (path.parent / "last.pth.tar").replace(path)


FORMS: dict[str, Callable[[Path], None]] = {
    "bare": lambda p: torch.save(truth().state_dict(), p),
    "bare, old form": lambda p: torch.save(truth().state_dict(), p, _use_new_zipfile_serialization=False),
    "bare, pickle": lambda p: p.write_bytes(pickle.dumps(truth().state_dict())) and None,
    "whole network": lambda p: torch.save(truth(), p),
    "whole network, old form": lambda p: torch.save(truth(), p, _use_new_zipfile_serialization=False),
    "whole network in a table": lambda p: torch.save({"model": truth(), "epoch": 2}, p),
    "whole network, DataParallel": lambda p: torch.save(nn.DataParallel(truth()), p),
    "whole network, half precision": lambda p: torch.save(truth().bfloat16(), p),
    "whole network of a lost class": whole_of_a_lost_class,
    "whole average": lambda p: torch.save(averaged(truth()), p),
    "average's table": lambda p: torch.save(averaged(truth()).state_dict(), p),
    "compiled": lambda p: torch.save(prefixed("_orig_mod.", truth().state_dict()), p),
    "Lightning": lightning,
    "Lightning with averaging": lambda p: lightning(p, average=True),
    "timm's saver": timm_saver,
    "torchvision's references": lambda p: torch.save(
        {
            "model": network(2).state_dict(),
            "optimizer": torch.optim.SGD(network(2).parameters(), 0.1).state_dict(),
            "epoch": 1,
            "args": argparse.Namespace(model="resnet18"),
            "model_ema": averaged(truth()).state_dict(),
        },
        p,
    ),
    "ImageNet example": lambda p: torch.save(
        {"epoch": 1, "arch": "resnet", "state_dict": prefixed("module.", truth().state_dict())}, p
    ),
    "backbone and head apart": lambda p: torch.save(
        {"backbone": body(), "head": head()}, p
    ),
    "backbone and head under prefixes": lambda p: torch.save(
        {**prefixed("backbone.", body()), **prefixed("head.", head())}, p
    ),
    "head behind dropout": lambda p: torch.save(
        {**body(), **prefixed("fc.1.", head())}, p
    ),
    "sequence of backbone and head": lambda p: torch.save(
        {**prefixed("0.", body()), **prefixed("1.", head())}, p
    ),
    "normalization in front": lambda p: torch.save(
        {"0.mean": torch.zeros(1, 3, 1, 1), "0.std": torch.ones(3), **prefixed("1.", truth().state_dict())}, p
    ),
    "list": lambda p: torch.save([truth().state_dict(), {"epoch": 3}], p),
    "tuple": lambda p: torch.save((3, truth().state_dict()), p),
    "parts wrapped": lambda p: torch.save(
        {n.replace("layer1.", "layer1._orig_mod.module."): t for n, t in truth().state_dict().items()}, p
    ),
    "FSDP": lambda p: torch.save(
        {n.replace("layer2.", "layer2._fsdp_wrapped_module."): t for n, t in truth().state_dict().items()}, p
    ),
    "parameters": lambda p: torch.save({n: nn.Parameter(t) if t.is_floating_point() else t
                                        for n, t in truth().state_dict().items()}, p),
    "no counters": lambda p: torch.save(
        {n: t for n, t in truth().state_dict().items() if "num_batches" not in n}, p
    ),
    "safetensors": lambda p: save_file(truth().state_dict(), p),
    "safetensors, prefixes": lambda p: save_file(prefixed("module._orig_mod.", truth().state_dict()), p),
    "momentum encoder beside": lambda p: torch.save(
        {"state_dict": {**prefixed("base.", truth().state_dict()), "queue": torch.ones(3),
                        **prefixed("momentum_base.", network(2).state_dict())}}, p
    ),
    "mean teacher": lambda p: torch.save(
        {"student": network(2).state_dict(), "mean_teacher": truth().state_dict()}, p
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_everyday_forms(tmp_path: Path, form: str) -> None:
    """Each is taken whole, to the bit, but for the counters that the file has not."""
    FORMS[form](tmp_path / "w.pt")
    state, told = loaded(tmp_path / "w.pt")
    kind = torch.bfloat16 if "half" in form else torch.float32
    wanted = {n: t.to(kind) for n, t in truth().state_dict().items() if "num_batches" not in n}
    assert not same(state, wanted)
    assert (told.random, told.taken) == ((), told.of)
