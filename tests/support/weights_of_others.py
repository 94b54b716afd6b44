"""Checkpoints as other software writes them: the same network in every wrapping, with what lies beside it."""

import argparse
import collections
import datetime
import enum
import functools
import pathlib
import pickle
import random
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

State = dict[str, Tensor]
NAME = "test_resnet"


@functools.cache
def network(seed: int = 0, classes: int = 5, name: str = NAME) -> nn.Module:
    """A network whose every tensor tells its seed."""
    torch.manual_seed(seed)
    made = timm.create_model(name, num_classes=classes)
    for tensor in made.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.1, 1.0)
        else:
            tensor.fill_(seed + 7)
    return made.eval()


class Color(enum.Enum):
    """An enumeration."""

    RED = 1


@contextmanager
def stranger() -> Iterator[Any]:
    """An object of a class of a module that is there while it is saved, and never again."""
    module = types.ModuleType("a_module_of_somebody")
    made = type("Config", (dict,), {"__module__": module.__name__, "__qualname__": "Config"})
    module.Config = made  # type: ignore[attr-defined]
    one = made(a=1)
    one.values, one.deep = [1, 2, {"a": None}], argparse.Namespace(x=(1, 2))
    sys.modules[module.__name__] = module
    try:
        yield one
    finally:
        del sys.modules[module.__name__]


def objects(draw: random.Random) -> dict[str, Any]:
    """Some of what people save beside the weights."""
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(net.parameters())
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    every: dict[str, Any] = {
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1, model=NAME, out=pathlib.PosixPath("/x"), mean=None),
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 3).state_dict(),
        "scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3),
        "best_acc1": torch.tensor(0.5),
        "best": np.float64(0.25),
        "history": collections.defaultdict(list, loss=[1.0, 2.0]),
        "when": datetime.datetime(2020, 1, 1, 3),
        "kind": Color.RED,
        "transform": functools.partial(max, 1),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "rng": torch.get_rng_state(),
        "numpy rng": np.random.get_state(),
        "array": np.arange(6).reshape(2, 3),
        "names": {0: "a", 1: "b", (1, 2): "c"},
        "tags": {"a", "b"},
        "complex": 1 + 2j,
        "hyper_parameters": {"lr": 0.1, "model_name": NAME, "path": pathlib.PurePosixPath("a/b")},
        "bytes": b"abc",
        "ordered": collections.OrderedDict(a=1),
        "callbacks": {"ModelCheckpoint{'monitor': 'val'}": {"best_model_path": "/a/b.ckpt"}},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 1}}}},
        "scaler": {"scale": 65536.0, "_growth_tracker": 2},
        "loss_fn": nn.CrossEntropyLoss(),
    }
    names = draw.sample(sorted(every), draw.randint(0, len(every)))
    return {name: every[name] for name in names}


KEYS = (
    "", "state_dict", "model", "model_state_dict", "model_state", "net", "network", "module", "weights",
    "params", "net_state_dict", "state", "student", "generator_weights", "my own key", "checkpoint.model",
    "state_dict.net", "data.net.weights",
)  # fmt: skip
EMA_KEYS = (
    "state_dict_ema", "model_ema", "ema_state_dict", "ema", "ema_model", "model_state_dict_ema",
    "params_ema", "callbacks.EMA.ema_weights", "averaged_model", "swa_model", "model_ema.state_dict_ema",
    "emas.0.shadow_ema",
)  # fmt: skip
PREFIXES = (
    "", "module.", "model.", "net.", "backbone.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.",
    "module.module.", "model.model.", "network.", "encoder.", "module.backbone._orig_mod.", "student.net.",
    "_fsdp_wrapped_module.", "0.", "model._fsdp_wrapped_module._checkpoint_wrapped_module.",
    "anything_at_all.",
)  # fmt: skip
BESIDE = {
    "num_batches_tracked missing": lambda s: {n: t for n, t in s.items() if "num_batches" not in n},
    "thop": lambda s: {**s, "total_ops": torch.zeros(1), "layer1.0.total_params": torch.zeros(1)},
    "metric": lambda s: {**s, "val_acc.correct": torch.zeros(5), "confmat.confmat": torch.zeros(5, 5).long()},
    "loss": lambda s: {**s, "criterion.weight": torch.ones(5)},
    "nothing": lambda s: s,
}  # fmt: skip


def nested(key: str, content: Any) -> Any:
    """Put content under a dotted path of keys."""
    for part in reversed(key.split(".") if key else []):
        content = {part: content}
    return content


def merged(*tables: dict[str, Any]) -> dict[str, Any]:
    """Join tables, also below the same key."""
    found: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            both = isinstance(value, dict) and isinstance(found.get(key), dict)
            found[key] = merged(found[key], value) if both else value
    return found


def save(content: Any, path: Path, form: str) -> None:
    """Write in a form: `zip`, `old` (before torch 1.6), `pickle` or `safetensors`."""
    if form == "safetensors":
        save_file({name: tensor.contiguous() for name, tensor in content.items()}, path)
    elif form == "pickle":
        path.write_bytes(pickle.dumps(content, 2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")


def random_file(path: Path, seed: int) -> tuple[State, str]:
    """Write a random checkpoint; return what a reader must find in it, and how it was made."""
    draw = random.Random(seed)
    truth, other = network(1), network(2)
    form = draw.choice(["zip", "zip", "old", "safetensors", "pickle"])
    kind = draw.choice([torch.float32, torch.float32, torch.float16, torch.bfloat16, torch.float64])
    prefix, beside = draw.choice(PREFIXES), draw.choice(sorted(BESIDE))
    state: State = {
        n: t.to(kind) if t.is_floating_point() else t for n, t in truth.state_dict().items()
    }
    wanted = dict(state)
    state = {prefix + n: t for n, t in state.items()}
    if prefix == "" or beside != "thop":
        state = BESIDE[beside](state)
    key, ema = draw.choice(KEYS), ""
    if form == "safetensors":
        save(state, path, form)
    else:
        content = nested(key, state)
        if key and draw.random() < 0.5:
            ema = draw.choice(EMA_KEYS)
            plain = {prefix + n: t.clone() for n, t in other.state_dict().items()}
            content = merged(nested(key, plain), nested(ema, state))
            if draw.random() < 0.3:
                content = dict(reversed(content.items()))
        if key:
            extra = {
                n: v
                for n, v in objects(draw).items()
                if n not in content and not (form == "pickle" and n == "rng")
            }
            content = merged(extra, content) if draw.random() < 0.5 else merged(content, extra)
        with stranger() as config:
            save(content | ({"config": config} if key else {}), path, form)
    if beside == "num_batches_tracked missing":
        wanted = {n: t for n, t in wanted.items() if "num_batches" not in n}
    return wanted, f"{seed}: {form}, {kind}, key {key!r}, ema {ema!r}, prefix {prefix!r}, {beside}"
