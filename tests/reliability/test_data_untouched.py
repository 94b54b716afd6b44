"""The user's data stay as they are, and nothing asks the network: a whole walk in a watched process."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.child import environment

CHILD = "support.reliability.audited_child"


def told(root: Path) -> dict[str, tuple[object, ...]]:
    """All there is to know of every file and folder, but for when it was last read."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [root, *sorted(root.rglob("*"))]:
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        about = (status.st_mode, status.st_uid, status.st_ino, status.st_nlink, status.st_size)
        found[str(path.relative_to(root))] = (
            *about,
            status.st_mtime_ns,
            status.st_ctime_ns,
            content,
        )
    return found


@pytest.fixture(scope="module")
def data(sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with a broken one among them, other files, and an odd name, none of which may be written."""
    root = Path(shutil.copytree(sample_folder, tmp_path_factory.mktemp("user") / "my images ü"))
    (root / "train" / "Bag" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    (root / "train" / "Bag" / "notes.txt").write_text("dear diary")
    (root / ".hidden").mkdir()
    for path in [*root.rglob("*"), root]:
        os.utime(path, ns=(10**18, 10**18))
        path.chmod(0o555 if path.is_dir() else 0o444)
    return root


def test_a_walk_changes_no_data_and_needs_no_network(data: Path, tmp_path: Path) -> None:
    """Every byte, name, mode and time of the data is as before, and no connection was tried."""
    before = told(data)
    command = [
        sys.executable,
        "-m",
        CHILD,
        str(data),
        str(tmp_path / "out"),
        str(tmp_path / "notes"),
    ]
    answer = subprocess.run(
        command, env=environment(), capture_output=True, text=True, check=False, timeout=240
    )
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "notes").read_text().splitlines() == ["done"]
    assert told(data) == before


def test_the_watch_sees(tmp_path: Path) -> None:
    """A file that is written, one that is renamed, and a name that is looked up are noted; reading is not."""
    (tmp_path / "data").mkdir()
    program = (
        "import os, socket, sys\n"
        "from support.reliability import audited_child\n"
        "data, notes = sys.argv[1], []\n"
        "audited_child.watch(data, notes)\n"
        "open(data + '/new', 'w').close(); os.rename(data + '/new', data + '/other')\n"
        "socket.getaddrinfo('127.0.0.1', 9)\n"
        "open(data + '/other').read()\n"
        "print(*notes, sep='\\n')\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "data")]
    answer = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    lines = answer.stdout.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["open", "os.rename", "socket.getaddrinfo"]
