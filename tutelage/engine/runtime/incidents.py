"""Log what happened to a run, as opposed to what it computed: resumes and failed saves.

`incidents.jsonl` of a run's folder: one JSON object a line, with the time. The journal holds none of it, so
that it is the same for a run that was interrupted and one that was not.
"""

import datetime
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

NAME = "incidents.jsonl"


def note_incident(run: Path, event: str, **facts: Any) -> None:
    """Append an incident; if even that cannot be written, do nothing."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    line = json.dumps({"time": now, "event": event, **facts}, ensure_ascii=False)
    with suppress(OSError), (run / NAME).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
