"""Folders that somebody else is at work in are looked at all the same."""

import threading
from pathlib import Path

from tutelage.storage.safe_paths import require_plain


def test_files_that_vanish_meanwhile_are_no_fault(tmp_path: Path) -> None:
    """A run that is at work renames its files while another looks whether the folder is free."""
    end = threading.Event()

    def work() -> None:
        while not end.is_set():
            for number in range(20):
                (tmp_path / f".{number}.part").write_bytes(b"")
            for number in range(20):
                (tmp_path / f".{number}.part").replace(tmp_path / f"{number}")
            for number in range(20):
                (tmp_path / f"{number}").unlink()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(300):
            require_plain(tmp_path, written=True)
    finally:
        end.set()
        worker.join()
