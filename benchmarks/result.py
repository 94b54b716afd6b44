"""What every benchmark writes: its figures, and the machine, versions and date they were measured with."""

import datetime
import json
import sys
from pathlib import Path
from typing import Any

from tutelage.config.training import DeviceConfig
from tutelage.engine.runtime.device import resolve_runtime
from tutelage.engine.runtime.environment import environment

RESULTS = Path(__file__).parent / "results"


def write(name: str, **facts: Any) -> None:
    """Print the figures and write `results/NAME.json`."""
    content = {
        "benchmark": name,
        "command": " ".join(["python", *sys.argv]),
        "date": datetime.date.today().isoformat(),
        "environment": environment(resolve_runtime(DeviceConfig())),
        **facts,
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)
