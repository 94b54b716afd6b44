"""Find out within seconds whether a host answers, where a download would fail after a minute."""

import socket
import threading
from urllib.parse import urlparse


def answers(url: str, seconds: float = 3.0) -> bool:
    """Return whether a TCP connection to port 443 of a URL's host opens; a slow name look-up counts as no."""
    host = urlparse(url).hostname
    opened = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection((host or "", 443), timeout=seconds).close()
            opened.set()
        except OSError:
            pass

    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(seconds)
    return bool(host) and opened.is_set()
