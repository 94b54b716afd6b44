"""First names of settings: what earlier versions wrote, and what fingerprints are computed from.

A fingerprint is computed from the first name of each setting. Renaming a setting therefore changes neither
the identity of a run nor that of a teacher cache, and folders written before are read, verified and resumed.
"""

import re
from collections.abc import Mapping
from typing import Any

_KEYS: Mapping[str, Mapping[str, str]] = {
    "": {
        "ask": "teacher_outputs",
        "trust": "skip_teacher_check",
        "shift": "translate",
        "crop": "crop_scale",
        "distinct": "num_views",
        "accumulate": "grad_accum_steps",
        "clip": "clip_grad",
        "ema": "ema_decay",
        "keep": "keep_checkpoints",
        "terms": "losses",
        "own": "custom",
    },
    "data": {"root": "dir"},
    "losses": {"attention": "at", "similarity": "sp", "correlation": "cc"},
    "methods": {
        "several": "multi_teacher",
        "course": "rco",
        "mutual": "dml",
        "ensemble": "one",
        "generations": "born_again",
        "exits": "byot",
        "virtual": "tf_kd",
        "momentum": "mean_teacher",
    },
}
"""First name -> current name, by the table of a setting; "" is a job, a run, or a network of a job."""

_VALUES: Mapping[str, Mapping[str, str]] = {
    "teacher_outputs": {"ahead": "cached"},
    "splits": {"anew": "redraw"},
    "role": {"longer": "control-equal-compute", "alone": "peer-control"},
    "method": {
        "several": "multi-teacher",
        "course": "rco",
        "mutual": "dml",
        "ensemble": "one",
        "generations": "born-again",
        "exits": "byot",
        "past": "ps-kd",
        "class-wise": "cs-kd",
        "virtual": "tf-kd",
        "momentum": "mean-teacher",
    },
}
"""First value -> current value, by the current name of the setting."""

_NETWORKS = ("teacher", "student")


def current_names(table: Mapping[str, Any], group: str = "") -> dict[str, Any]:
    """Translate settings of an earlier version to current names; current names are kept.

    >>> current_names({"ask": "ahead", "student": {"clip": 1.0}, "terms": {"attention": {"weight": 2}}})
    {'teacher_outputs': 'cached', 'student': {'clip_grad': 1.0}, 'losses': {'at': {'weight': 2}}}
    """
    names = _KEYS.get(group, {})
    result = {}
    for key, value in table.items():
        name = names.get(key, key)
        if isinstance(value, Mapping):
            result[name] = current_names(value, _inner(name, group))
        else:
            result[name] = _of(_VALUES.get(name, {}), value)
    return result


def first_names(table: Mapping[str, Any], group: str = "") -> dict[str, Any]:
    """Reverse `current_names`, for a fingerprint.

    >>> first_names({"teacher_outputs": "cached", "losses": {"at": {"weight": 2}}})
    {'ask': 'ahead', 'terms': {'attention': {'weight': 2}}}
    """
    names = {name: first for first, name in _KEYS.get(group, {}).items()}
    result = {}
    for key, value in table.items():
        name = names.get(key, key)
        if isinstance(value, Mapping):
            result[name] = first_names(value, _inner(key, group))
        else:
            values = {new: first for first, new in _VALUES.get(key, {}).items()}
            result[name] = _of(values, value)
    return result


def renamed_to(key: str, group: str) -> str | None:
    """Return the current name of a setting by its first name; None if it was never renamed.

    >>> renamed_to("clip", "student"), renamed_to("attention", "losses"), renamed_to("clop", "")
    ('clip_grad', 'at', None)
    """
    return (
        _KEYS["" if group in _NETWORKS else group].get(key)
        if group in (*_NETWORKS, *_KEYS)
        else None
    )


def renamed_value(path: str, value: object) -> str | None:
    """Return the current name of a setting's value by its first name; None if it was never renamed.

    >>> renamed_value("method", "mutual"), renamed_value("data.splits", "anew"), renamed_value("role", 3)
    ('dml', 'redraw', None)
    """
    names = _VALUES.get(path.rpartition(".")[2].lstrip("-").replace("-", "_"), {})
    return names.get(value) if isinstance(value, str) else None


def current_name(kind: str, name: str) -> str:
    """Return the current name of a loss (`losses`), a `method` or a `role`.

    >>> current_name("losses", "attention"), current_name("role", "student")
    ('at', 'student')
    """
    return (_KEYS.get(kind) or _VALUES[kind]).get(name, name)


def first_name(kind: str, name: str) -> str:
    """Reverse `current_name`.

    >>> first_name("losses", "at")
    'attention'
    """
    found = (_KEYS.get(kind) or _VALUES[kind]).items()
    return next((first for first, now in found if now == name), name)


def current_run_name(name: str) -> str:
    """Return the current name of a run of a job.

    >>> current_run_name("longer-0"), current_run_name("peer1-alone-2"), current_run_name("student-1")
    ('control-equal-compute-0', 'peer1-control-2', 'student-1')
    """
    return re.sub(
        r"^longer-(?=\d+$)", "control-equal-compute-", re.sub(r"-alone-(?=\d+$)", "-control-", name)
    )


def first_run_name(name: str) -> str:
    """Reverse `current_run_name`.

    >>> first_run_name("control-equal-compute-0"), first_run_name("peer1-control-2")
    ('longer-0', 'peer1-alone-2')
    """
    return re.sub(
        r"(?<=.)-control-(?=\d+$)",
        "-alone-",
        re.sub(r"^control-equal-compute-(?=\d+$)", "longer-", name),
    )


def _inner(name: str, group: str) -> str:
    """Return the group of a nested table: a network of a job has the names of the job itself."""
    if group == "" and name in _NETWORKS:
        return ""
    return name if group == "" and name in _KEYS else "-"


def _of(names: Mapping[str, str], value: Any) -> Any:
    return names.get(value, value) if isinstance(value, str) else value
