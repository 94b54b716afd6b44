"""Every verb understands each of its flags; what a verb is given is what was typed."""

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from tutelage.cli.completion import names
from tutelage.cli.everyday import PAGES
from tutelage.cli.flags import read_command
from tutelage.cli.parser import app

P = Path

TYPED = {
    "run d --recipe demo --out o --resume --plugin f.py --quiet": {
        "data": "d", "recipe": "demo", "out": P("o"), "resume": True, "plugin": P("f.py"), "quiet": True,
    },
    "train d --recipe kd --out o --resume --quiet": {
        "data": "d", "recipe": "kd", "out": P("o"), "resume": True, "quiet": True,
    },
    "distill d --recipe kd --out o --resume --plugin f.py --quiet": {
        "data": "d", "recipe": "kd", "out": P("o"), "resume": True, "plugin": P("f.py"), "quiet": True,
    },
    "sweep d --compare kd crd --teacher-epochs 3 5 --cells c --out o --recipe demo --plugin f.py --quiet": {
        "data": "d", "compare": ("kd", "crd"), "teacher_epochs": (3, 5), "cells": P("c"), "out": P("o"),
        "recipe": "demo", "plugin": P("f.py"), "quiet": True,
    },
    "check d --image-size 32": {"data": "d"},
    "pack d --out o --quiet": {"data": "d", "out": P("o"), "quiet": True},
    "resume o --plugin f.py --quiet": {"folder": P("o"), "plugin": P("f.py"), "quiet": True},
    "evaluate n d --split test --max-unreadable 0.5": {
        "network": P("n"), "data": "d", "split": "test", "max_unreadable": 0.5,
    },
    "adopt f --model m --classes a b --out o --mean 0 0 1 --std 1 1 1 --input-size 64 --data d --split val": {
        "weights": P("f"), "model": "m", "classes": ("a", "b"), "out": P("o"), "mean": (0.0, 0.0, 1.0),
        "std": (1.0, 1.0, 1.0), "input_size": 64, "data": "d", "split": "val",
    },
    "predict n i --out o.csv --top 5 --max-unreadable 0": {
        "network": P("n"), "images": P("i"), "out": P("o.csv"), "top": 5, "max_unreadable": 0,
    },
    "export n --format onnx --out o --data d": {
        "network": P("n"), "format": "onnx", "out": P("o"), "data": "d",
    },
    "compare a b": {"folders": (P("a"), P("b"))},
    "report j": {"job": P("j")},
    "verify a b": {"paths": (P("a"), P("b"))},
    "cache list --folder f": {"folder": P("f")},
    "cache verify --folder f": {"folder": P("f")},
    "cache remove a b --folder f": {"wanted": ("a", "b"), "folder": P("f")},
    "cache remove --all": {"all": True},
    "benchmark step d --model a --teacher-model b --image-size 8 --batch-size 2 --device cpu "
    "--precision fp32 --rounds 3 --json j": {
        "data": "d", "model": "a", "teacher_model": "b", "image_size": 8, "batch_size": 2,
        "device": "cpu", "precision": "fp32", "rounds": 3, "json": P("j"),
    },
    "benchmark losses --model a --teacher-model b --image-size 8 --classes 3 --batch-size 2 --device cpu "
    "--rounds 3 --json j": {
        "model": "a", "teacher_model": "b", "image_size": 8, "classes": 3, "batch_size": 2,
        "device": "cpu", "rounds": 3, "json": P("j"),
    },
    "benchmark latency n --batch-size 1 8 --device cpu --seconds 2 --json j": {
        "network": P("n"), "batch_size": (1, 8), "device": "cpu", "seconds": 2, "json": P("j"),
    },
    "settings losses.kd": {"prefix": "losses.kd"},
    "losses kd": {"name": "kd"},
    "methods dml --losses": {"name": "dml", "losses": True},
    "recipes": {},
    "show demo": {"recipe": "demo"},
    "models resnet": {"filter": "resnet"},
    "models --filter resnet": {"filter": "resnet"},
    "completion zsh": {"shell": "zsh"},
}  # fmt: skip


def parsed(command: str) -> tuple[Callable[..., str], dict[str, object]]:
    """The function that a command calls, and what it is given."""
    words = command.split()
    if words[0] in PAGES:
        words, _ = read_command(words[0], words)
    function, bound, _ = app.parse_args(words)
    return function, dict(bound.arguments)


@pytest.mark.parametrize("command", TYPED)
def test_what_is_typed_is_given(command: str) -> None:
    assert parsed(command)[1] == TYPED[command]


def test_no_flag_is_left_out() -> None:
    """Each flag of a verb is typed above; those of the settings are in `test_flags`."""
    for verb, flags in names().flags.items():
        commands = [command for command in TYPED if command.split()[0] == verb]
        typed = {word for command in commands for word in command.split()}
        parameters = {
            f"--{name.replace('_', '-')}"
            for command in commands
            for name in inspect.signature(parsed(command)[0]).parameters
        }
        assert parameters & set(flags) <= typed, verb
        assert commands, verb
