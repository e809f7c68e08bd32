"""The server in a process of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_SERVER = Path(__file__).with_name("_server.py")


@contextlib.contextmanager
def served(*, latency: float = 0.0, images: int = 0) -> Iterator[str]:
    """The base URL of a server that runs as long as the block.

    Args:
        latency: Seconds before each reply.
        images: Elements of the listing.
    """
    command = [sys.executable, str(_SERVER), "--latency", str(latency), "--images", str(images)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield f"http://127.0.0.1:{port}/myaccount/api/v1/"
        finally:
            process.terminate()
