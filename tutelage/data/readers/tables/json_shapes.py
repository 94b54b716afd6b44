"""The shapes in which a whole JSON file holds a table, as a list of objects.

[{"file": "1.jpg", "label": "a"}]          {"data": [{"file": "1.jpg", "label": "a"}]}
{"1.jpg": "a"}                             {"1.jpg": {"label": "a"}}
{"file": ["1.jpg"], "label": ["a"]}        {"file": {"0": "1.jpg"}, "label": {"0": "a"}}
"""

from collections.abc import Mapping
from typing import Any


def objects_of(value: Any) -> list[Any] | None:
    """Return the rows of a table in JSON; None: it has no such shape.

    >>> objects_of({"1.jpg": "a", "2.jpg": "b"})
    [{'path': '1.jpg', 'label': 'a'}, {'path': '2.jpg', 'label': 'b'}]
    >>> objects_of({"file": ["1.jpg"], "label": ["a"]})
    [{'file': '1.jpg', 'label': 'a'}]
    """
    if isinstance(value, list):
        return value
    if not isinstance(value, dict) or not value:
        return None
    inner = list(value.values())
    rows = [one for one in inner if isinstance(one, list) and one and isinstance(one[0], dict)]
    if len(rows) == 1:
        return rows[0]
    if all(isinstance(one, list) for one in inner):
        return _by_columns({name: dict(enumerate(cells)) for name, cells in value.items()})
    if all(isinstance(one, dict) for one in inner):
        if len(value) < len(inner[0]):  # fewer columns than rows
            return _by_columns(value)
        return [{"path": name, **cells} for name, cells in value.items()]
    if any(isinstance(one, list | dict) for one in inner):
        return None
    return [{"path": name, "label": label} for name, label in value.items()]


def _by_columns(columns: Mapping[str, Mapping[Any, Any]]) -> list[dict[str, Any]] | None:
    keys = list(next(iter(columns.values())))
    if any(list(cells) != keys for cells in columns.values()):
        return None
    return [{name: cells[key] for name, cells in columns.items()} for key in keys]
