"""Files from strangers do no harm: every payload in one child process that notes all it does.

The environment asks torch to load unsafely, as a stranger's instructions might.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from support.child import environment
from support.reliability.payloads import Code

CHILD = "support.reliability.hostile_child"
MOST_SECONDS = 5.0
MOST_MEGABYTES = 300
"""New memory of one payload; several ask for a thousand times as much."""
Found = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What became of every payload."""
    top = tmp_path_factory.mktemp("hostile")
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", CHILD, str(top)],
        env=environment(TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD="1"),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    read: Found = json.loads((top / "found.json").read_text())
    return read


def test_each_ends_as_it_must(found: Found) -> None:
    """Refused with a message of ours, set aside with a reason, or harmless: never another error."""
    wrong = {n: (o["ended"], o["said"]) for n, o in found.items() if o["ended"] != o["wanted"]}
    assert not wrong
    assert len(found) >= 150


def test_no_code_ran(found: Found) -> None:
    """No payload's code made its marker."""
    assert not [name for name, one in found.items() if one["marker"]]


def test_nothing_was_written_started_or_called(found: Found) -> None:
    """No file beyond a payload's own folder was changed, no program started, no connection opened."""
    assert not {name: one["seen"] for name, one in found.items() if one["seen"]}


def test_no_time_and_no_memory_is_lost(found: Found) -> None:
    """Bombs go off in no time, and in no more memory than is stated."""
    slow = {name: one["seconds"] for name, one in found.items() if one["seconds"] > MOST_SECONDS}
    large = {n: one["megabytes"] for n, one in found.items() if one["megabytes"] > MOST_MEGABYTES}
    assert (slow, large) == ({}, {})


def test_messages_do_nothing_to_a_terminal(found: Found) -> None:
    """Whatever a file put into a message is shown with escapes."""
    odd = [name for name, one in found.items() if any(unseen(one["said"]))]
    assert not odd


def unseen(text: str) -> list[str]:
    return [
        c
        for c in text
        if (c < " " and c != "\n") or "\x7f" <= c <= "\x9f" or "\u202a" <= c <= "\u202e"
    ]


def test_the_code_in_payloads_is_real(tmp_path: Path) -> None:
    """A reader that runs code would have made the marker."""
    torch.save({"weight": Code(tmp_path / "marker")}, tmp_path / "w.pt")
    torch.load(tmp_path / "w.pt", weights_only=False)
    assert (tmp_path / "marker").is_dir()


def test_the_watch_sees(tmp_path: Path) -> None:
    """The hook that notes what payloads do hears of writing, programs and connections."""
    program = (
        "import sys, os, socket, subprocess\n"
        "from support.reliability import watch\n"
        "sys.addaudithook(watch.hook); watch.folder, watch.seen = '/nowhere', []\n"
        f"open({str(tmp_path / 'a')!r}, 'w').close(); os.mkdir({str(tmp_path / 'b')!r})\n"
        "subprocess.run(['true'])\n"
        "try: socket.create_connection(('127.0.0.1', 9), 1)\n"
        "except OSError: pass\n"
        "seen, watch.seen = watch.seen, None; print(seen)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    for word in ("/a to write", "os.mkdir", "subprocess.Popen", "socket.connect"):
        assert word in answer.stdout
