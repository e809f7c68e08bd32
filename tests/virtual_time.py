"""An event loop whose time jumps to the next timer, so that hours of pacing and pauses run in milliseconds."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec

P = ParamSpec("P")


class _Jumping(selectors.DefaultSelector):
    """Instead of waiting, moves the clock."""

    jumped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout:
            self.jumped += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time begins at 1000 s and passes only while every task waits for a timer."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return 1000.0 + self._jumping.jumped

    def timers(self) -> int:
        """How many timers are set and not cancelled."""
        return sum(not handle.cancelled() for handle in self._scheduled)  # type: ignore[attr-defined]  # asyncio's own


def now() -> float:
    return asyncio.get_running_loop().time()


def timers() -> int:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop.timers()


async def turns(count: int = 5) -> None:
    """Let everybody who can run do so, without time passing."""
    for _ in range(count):
        await asyncio.sleep(0)


def in_virtual_time(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run a coroutine test (without fixtures) on a `VirtualLoop`; a task that it leaves behind fails it."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def guarded() -> None:
            await test(*args, **kwargs)
            await turns()
            assert asyncio.all_tasks() == {asyncio.current_task()}

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(guarded())

    # pytest and the plugin in conftest look through __wrapped__, where they would find a coroutine function.
    del run.__wrapped__
    return run
