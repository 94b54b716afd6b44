"""Every payload in one process that is watched: `hostile_child FOLDER` writes found.json there."""

import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from support.reliability import payloads, watch
from tutelage.errors import TutelageError

for _kind in ("data", "folders", "weights", "pickles"):
    import_module(f"support.reliability.payloads_{_kind}")


def memory(field: str) -> float:
    """Megabytes of this process: now (VmRSS), or the most since the last reset (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) / 1024


def tried(name: str, top: Path) -> dict[str, Any]:
    """One payload: how it ended, what it did, how long it took and how much memory was new."""
    folder = top / "work"
    folder.mkdir(parents=True)
    watch.folder = str(folder.resolve())
    marker = top / "marker"
    one = payloads.PAYLOADS[name]
    action = one.build(folder, marker)
    Path("/proc/self/clear_refs").write_text("5")  # the largest memory so far is forgotten
    before, begin = memory("VmRSS"), time.perf_counter()
    watch.seen = []
    try:
        answer = action()
        ended = "set aside" if answer else "harmless"
        said = str(answer)
    except TutelageError as error:
        ended, said = "refused", str(error)
    except BaseException as error:
        ended, said = f"{type(error).__name__}", str(error)[:300]
    seen, watch.seen = watch.seen, None
    return {
        "ended": ended,
        "wanted": one.ends,
        "said": said[:5000],
        "seen": seen,
        "marker": marker.exists() or marker.is_symlink(),
        "seconds": time.perf_counter() - begin,
        "megabytes": memory("VmHWM") - before,
    }


def main() -> None:
    """Every payload, each in a folder of its own."""
    torch.set_num_threads(1)
    sys.addaudithook(watch.hook)
    top = Path(sys.argv[1])
    found = {name: tried(name, top / str(i)) for i, name in enumerate(payloads.PAYLOADS)}
    (top / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
