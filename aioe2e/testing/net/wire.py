"""What a fault may do to a connection."""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import Awaitable, Callable

from .connection import Connection, reset


class Wire:
    """What a fault may do to the connection on which its request came.

    Args:
        connection: The connection.
        transport: Its transport.
        refuse: Stops listening for so many seconds.
        slam: Resets so many connections as soon as they are made.
    """

    def __init__(
        self,
        connection: Connection,
        transport: asyncio.Transport,
        *,
        refuse: Callable[[float], Awaitable[None]],
        slam: Callable[[int], None],
    ) -> None:
        self._connection = connection
        self._transport = transport
        self.refuse = refuse
        self.slam = slam
        #: Whether the connection stays open after the fault.
        self.keep = True
        #: The status that was answered, where it is not that of the reply given.
        self.answered: int | None = None
        #: Whether something could not be written, because nobody was there.
        self.lost = False

    @property
    def gone(self) -> bool:
        """Whether either side has ended the connection."""
        return self._transport.is_closing() or self._connection.left.is_set()

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        if self.gone:
            self.lost = True
        else:
            self._transport.write(data)

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than the client does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._connection.left.wait()

    async def drain(self) -> None:
        """Wait until the client has read most of what was written."""
        await self._connection.drained()

    def close(self) -> None:
        """End the connection in good order, after what was written."""
        self.keep = False
        self._transport.close()

    def reset(self) -> None:
        """Cut the connection; what was written and not sent is lost."""
        self.keep = False
        reset(self._transport)

    def doom(self, end: Callable[[asyncio.Transport], None]) -> None:
        """Let `end` end the connection when its next request comes, before anything is done about
        it."""
        self._connection.doomed = end

    def later(self, seconds: float, happen: Callable[[], None]) -> None:
        """Do something on the idle connection; nothing if its next request is there by then, or on
        its way."""
        connection, heard = self._connection, self._connection.heard

        def unless_busy() -> None:
            sock = self._transport.get_extra_info("socket")
            if (
                connection.heard == heard
                and not self.gone
                and not select.select([sock], [], [], 0)[0]
            ):
                happen()

        asyncio.get_running_loop().call_later(seconds, unless_busy)
