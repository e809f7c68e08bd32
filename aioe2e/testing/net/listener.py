"""The socket on which the emulator listens: open, closed for a while, or resetting connections."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any

from aiohttp import web

from .connection import Connection, Server, reset

#: The address at which a client reaches a server that listens on all addresses.
_REACHED_AT = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104  # the user's own choice


async def _turns() -> None:
    """Let the loop run what is scheduled."""
    for _ in range(3):
        await asyncio.sleep(0)


class Listener:
    """Listens on one address, and keeps it while it refuses and from one start to the next.

    Args:
        host: The address.
        port: The port; 0 for any that is free.
    """

    def __init__(self, host: str, port: int) -> None:
        #: The address.
        self.host = host
        #: The port; once it listens, the one that was found.
        self.port: int = port
        self._server: Server | None = None
        self._listening: asyncio.Server | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._to_reset = 0

    @property
    def origin(self) -> str:
        """The start of its URLs, for a client on this machine."""
        host = _REACHED_AT.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether it was started and not closed; also true while it refuses connections."""
        return self._server is not None

    async def start(
        self, handle: Callable[[web.BaseRequest], Any], *, on_gone: Callable[[Connection], None]
    ) -> None:
        """Begin to listen.

        Args:
            handle: Answers one request.
            on_gone: Called when a client has left.

        Raises:
            OSError: It cannot listen on the address.
        """
        try:
            sock = _bound(self.host, self.port)
        except OSError as error:
            raise OSError(
                error.errno, f"cannot listen on {self.host} port {self.port}: {error.strerror}"
            ) from None
        # The first port found is kept, so that the URL stays the same after a refusal.
        self.port = sock.getsockname()[1]
        self._server = Server(
            handle, on_made=self._made, on_gone=on_gone, access_log=None, keepalive_timeout=3600.0
        )
        try:
            await self._listen(sock)
        except OSError:
            self._server = None
            raise

    async def close(self, *, cancel: Callable[[], None]) -> None:
        """Stop listening and end all connections. May be called twice.

        Args:
            cancel: Ends the requests in progress; called once no further request can arrive.
        """
        server, self._server = self._server, None
        if server is None:
            return
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.wait([self._reopening])
        await self._stop_listening()
        server.pre_shutdown()
        cancel()
        await server.shutdown(0.2)

    async def refuse(self, seconds: float) -> None:
        """Refuse connections for a number of seconds, counted from the return."""
        if self._listening is None:
            return
        await self._stop_listening()
        self._reopening = asyncio.get_running_loop().create_task(self._reopen(seconds))

    def reset_next(self, count: int) -> None:
        """Reset the next `count` connections as soon as they are made."""
        self._to_reset += count

    async def _listen(self, sock: socket.socket) -> None:
        assert self._server is not None
        self._listening = await asyncio.get_running_loop().create_server(
            self._server, sock=sock, backlog=2048
        )

    async def _stop_listening(self) -> None:
        listening, self._listening = self._listening, None
        if listening is None:
            return
        loop = asyncio.get_running_loop()
        # A connection that was just accepted must be handed to the server before that is closed:
        # asyncio cannot release one that is only half made.
        try:
            with contextlib.suppress(NotImplementedError):  # Windows
                for sock in listening.sockets:
                    loop.remove_reader(sock.fileno())
            await _turns()
        finally:
            listening.close()

    async def _reopen(self, seconds: float) -> None:
        # A socket that is bound and does not listen refuses connections, and keeps the port taken.
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(_bound(self.host, self.port))
            await asyncio.sleep(seconds)
            await self._listen(sock)
            stack.pop_all()

    def _made(self, _: Connection, transport: asyncio.Transport) -> None:
        if self._to_reset > 0:
            self._to_reset -= 1
            reset(transport)


def _bound(host: str, port: int) -> socket.socket:
    """A socket that has the address and does not listen yet."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock
