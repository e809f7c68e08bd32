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
        refuse: Stops listening for a number of seconds.
        reset_next: Resets a number of connections as soon as they are made.
    """

    def __init__(
        self,
        connection: Connection,
        transport: asyncio.Transport,
        *,
        refuse: Callable[[float], Awaitable[None]],
        reset_next: Callable[[int], None],
    ) -> None:
        self._connection = connection
        self._transport = transport
        self.refuse = refuse
        self.reset_next = reset_next
        #: Whether the connection stays open after the fault.
        self.keep: bool = True
        #: The status that was sent, if it is not that of the given reply.
        self.answered: int | None = None
        #: Whether something could not be written because the client had left.
        self.lost: bool = False

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
        """Wait, or until the client leaves."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._connection.left.wait()

    async def drain(self) -> None:
        """Wait until the client has read most of what was written."""
        await self._connection.drained()

    def close(self) -> None:
        """Close the connection after what was written has been sent."""
        self.keep = False
        self._transport.close()

    def reset(self) -> None:
        """Reset the connection; what was written but not sent is lost."""
        self.keep = False
        reset(self._transport)

    def end_on_next(self, end: Callable[[asyncio.Transport], None]) -> None:
        """End the connection with `end` when its next request arrives, which is not carried out."""
        self._connection.end_on_next = end

    def later(self, seconds: float, happen: Callable[[], None]) -> None:
        """Do something on the connection later, unless its next request has arrived by then."""
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
