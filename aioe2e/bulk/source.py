"""The steps of an iterable of any length, one by one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Final, cast

from aioe2e import _check
from aioe2e.errors import UsageError

from .step import Step

__all__ = ["AsyncSource", "IterableSource", "iterable_source"]

_END: Final = object()


class IterableSource:
    """The steps of an iterable, checked one by one and not kept.

    Attributes:
        taken: How many steps were given out; the next one's index, if it brings none.
    """

    total = None

    def __init__(self, iterable: Iterable[object]) -> None:
        self._iterable = iterable
        self._iterator: Iterator[object] = iter(())
        self.taken: int = 0
        self.more: bool = True

    def _end(self) -> None:
        """There are no more steps."""
        self.more = False

    def start(self) -> None:
        """Ask the iterable for its iterator."""
        self._iterator = iter(self._iterable)

    def take(self) -> Step | None:
        """The next step; None if there is none. Whatever the iterable raises comes through."""
        if not self.more:
            return None
        self.more = False  # and it stays so if this raises
        step = next(self._iterator, _END)
        if step is _END:
            return None
        self.more = True
        return self._checked(step)

    def _checked(self, step: object) -> Step:
        if not isinstance(step, Step):
            self._end()
            raise UsageError(f"steps: item {self.taken + 1} is no Step but {_check.quoted(step)}")
        if step.after or step.via is not None:
            self._end()
            raise UsageError(f"steps: item {self.taken + 1} waits for others; that needs a Plan")
        self.taken += 1
        return step

    def done(self, step: Step) -> None:
        """No step waits for another."""

    def failed(self, _: Step) -> list[tuple[Step, Step]]:
        """No step waits for another."""
        return []

    def halved(self, step: Step) -> Step | None:
        """No step comes in halves."""
        raise AssertionError(step)

    async def close(self) -> None:
        """Close a generator, so that what it holds is given back now."""
        self._end()
        if inspect.isgenerator(self._iterator):
            self._iterator.close()


class AsyncSource(IterableSource):
    """The steps of an async iterable. One worker at a time asks it for the next."""

    def __init__(self, iterable: AsyncIterable[object]) -> None:
        super().__init__(())
        self._async_iterable = iterable
        self._async_iterator: AsyncIterator[object] | None = None
        self._turn = asyncio.Lock()

    def start(self) -> None:
        """Ask the iterable for its iterator."""
        self._async_iterator = aiter(self._async_iterable)

    async def pull(self) -> Step | None:
        """The next step; None if there is none. Whatever the iterable raises comes through."""
        async with self._turn:
            if not self.more:
                return None
            try:
                step = await anext(cast("AsyncIterator[object]", self._async_iterator))
            except StopAsyncIteration:
                self._end()
                return None
            except BaseException:
                self._end()
                raise
            return self._checked(step)

    async def close(self) -> None:
        """Close an async generator, so that what it holds is given back now."""
        self._end()
        if inspect.isasyncgen(self._async_iterator):
            await self._async_iterator.aclose()


def iterable_source(steps: object) -> IterableSource:
    """The source that fits what a user gave in the place of a plan.

    Raises:
        UsageError: It is no iterable of steps.
    """
    if isinstance(steps, AsyncIterable):
        return AsyncSource(cast("AsyncIterable[object]", steps))
    if _check.is_collection(steps):
        return IterableSource(steps)
    raise UsageError(f"steps: a Plan or an iterable of Steps is needed, not {_check.quoted(steps)}")
