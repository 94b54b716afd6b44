"""The verbs a user walks through, in a process that notes every connection and every change to the data.

    python -m support.reliability.audited_child DATA OUT NOTES

The last line of NOTES is `done`; before it stands one line for each event that should not have been.
"""

import os
import sys
from pathlib import Path
from typing import Any

NETWORK = {
    "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.sendto",
    "socket.sendmsg", "urllib.Request", "http.client.connect", "ftplib.connect", "smtplib.connect",
}  # fmt: skip
CHANGES = {
    "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.setxattr",
    "os.symlink", "os.truncate", "os.utime", "shutil.copyfile", "shutil.move", "shutil.rmtree",
}  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def watch(data: str, notes: list[str]) -> None:
    """Note what should not be, from now on until the process ends; an audit hook cannot be taken away."""

    def below(path: Any) -> bool:
        return isinstance(path, str | bytes | os.PathLike) and Path(
            os.fsdecode(path)
        ).absolute().is_relative_to(data)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "shutil.copyfile":
            arguments = arguments[1:]  # what is copied out of the data is read, not changed
        if event in NETWORK:
            notes.append(f"{event} {arguments[1:]!r}")
        elif event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & WRITING and below(path):
                notes.append(f"open for writing: {path!r}")
        elif event in CHANGES and any(map(below, arguments)):
            notes.append(f"{event} {arguments!r}")

    sys.addaudithook(hook)


def walk(data: Path, out: Path) -> None:
    """Check, pack, run, compare, report, evaluate, predict, verify."""
    from tutelage import (
        DataConfig,
        DistillConfig,
        NetworkConfig,
        check,
        evaluate,
        pack,
        predict,
        run,
        verify,
    )
    from tutelage.reports.write import comparison, write_report

    small = NetworkConfig(model="test_resnet", weights="none", epochs=1, batch_size=50)
    size = DataConfig(image_size=32)
    common = {
        "device": "cpu",
        "precision": "fp32",
        "skip_teacher_check": True,
    }  # a few steps make no teacher
    job = DistillConfig(teacher=small, student=small, data=size, seeds=1, **common)
    check(data, size)
    pack(data, size, out=out / "pack", quiet=True)
    run(data, job, out=out / "job", quiet=True)
    comparison([out / "job"])
    write_report(out / "job")
    evaluate(out / "job" / "student-0", data)
    predict(out / "job" / "student-0", data / "test", out=out / "predictions.csv")
    assert not verify(out).damaged


def main() -> None:
    """Walk with the watch on, and write down what it saw."""
    data, out, file = map(Path, sys.argv[1:])
    notes: list[str] = []
    watch(str(data), notes)
    walk(data, out)
    file.write_text("\n".join([*notes, "done"]))


if __name__ == "__main__":
    main()
