"""Where the steps of a run come from: an ordered plan, or an iterable of any length."""

from __future__ import annotations

import asyncio
import heapq
import inspect
from collections import defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Final, cast

from aioe2e import _check
from aioe2e.errors import UsageError
from aioe2e.models import Action, SavedImage

from .inputs import is_planned, steps_of
from .plan import Plan
from .step import Step, index_of

__all__ = [
    "AsyncSource",
    "IterableSource",
    "PlanSource",
    "Source",
    "as_plan",
    "source_of",
    "steps_or_plan",
]

_END: Final = object()


class PlanSource:
    """The steps of a plan, in their order, each given out once those it waits for are done.

    A step that waits is parked here and holds no worker up. A step with a `via` is given out twice:
    at once for its first half, and for its second when it was reported `halved` and those in its
    `after` are done.

    Attributes:
        steps: All steps, each with an index; the saves first that an earlier run left open.
        taken: How many times a step was given out.
    """

    def __init__(self, plan: Plan) -> None:
        self.steps: tuple[Step, ...] = (*plan.unknown, *plan)
        self.taken: int = 0
        self._cursor = 0
        self._freed: list[int] = []
        self._places: dict[int, int] = {}
        self._missing: dict[int, int] = {}
        self._followers: dict[int, list[int]] = defaultdict(list)
        self._gone: set[int] = set()
        self._begun: set[int] = set()
        self._halved: set[int] = set()
        self._broken: dict[int, Step] = {}
        if any(step.after or step.via is not None for step in self.steps):
            self._tie()

    def _tie(self) -> None:
        self._places = {index_of(step): place for place, step in enumerate(self.steps)}
        for place, step in enumerate(self.steps):
            # One that is not in the plan was done by an earlier run.
            if before := {index for index in step.after if index in self._places}:
                self._missing[place] = len(before)
                for index in before:
                    self._followers[index].append(place)
        self._advance()

    @property
    def total(self) -> int:
        """How many steps there are."""
        return len(self.steps)

    @property
    def more(self) -> bool:
        """Whether a step can be given out now."""
        return bool(self._freed) or self._cursor < len(self.steps)

    def start(self) -> None:
        """Nothing needs to be done."""

    async def close(self) -> None:
        """Nothing needs to be done."""

    def take(self) -> Step | None:
        """The next step that can run; None if there is none now."""
        if self._freed:
            place = heapq.heappop(self._freed)
        elif self._cursor < len(self.steps):
            place = self._cursor
            self._cursor += 1
            if self._missing:
                self._advance()
        else:
            return None
        self.taken += 1
        step = self.steps[place]
        if step.via is not None:
            self._begun.add(place)
        return step

    def _advance(self) -> None:
        """Move the cursor on to a step that can run; those it passes come back when freed."""
        while self._cursor < len(self.steps):
            place = self._cursor
            waits = place in self._missing and self.steps[place].via is None
            if not waits and place not in self._gone:
                return
            self._cursor += 1

    def done(self, step: Step) -> None:
        """Let the steps go that waited for this one."""
        for place in self._followers.pop(index_of(step), ()):
            self._missing[place] -= 1
            if not self._missing[place]:
                del self._missing[place]
                self._free(place)

    def _free(self, place: int) -> None:
        if place in self._halved or (self.steps[place].via is None and place < self._cursor):
            heapq.heappush(self._freed, place)

    def halved(self, step: Step) -> Step | None:
        """Let the steps go that waited for the name which the first half of this one gave up.

        Returns:
            The step that did not end well meanwhile, so that the second half can never run; None if
            it can.
        """
        place = self._places[index_of(step)]
        self._halved.add(place)
        self.done(step)
        if (cause := self._broken.get(place)) is None and place not in self._missing:
            heapq.heappush(self._freed, place)
        return cause

    def failed(self, step: Step) -> list[tuple[Step, Step]]:
        """Give up the steps that can never run now; each comes with the one that it waited for."""
        given_up: list[tuple[Step, Step]] = []
        causes = [step]
        for cause in causes:
            for place in self._followers.pop(index_of(cause), ()):
                if place in self._gone or place in self._broken:
                    continue
                follower = self.steps[place]
                if place in self._begun and place not in self._halved:
                    self._broken[place] = cause
                    continue
                self._gone.add(place)
                given_up.append((follower, cause))
                causes.append(follower)
        self._advance()
        return given_up


class IterableSource:
    """The steps of an iterable, checked one by one and not kept.

    Attributes:
        taken: How many steps were given out; the next one's index, if it brings none.
    """

    steps: tuple[Step, ...] = ()
    total = None

    def __init__(self, iterable: Iterable[object]) -> None:
        self._iterable = iterable
        self._iterator: Iterator[object] | None = None
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
        step = next(cast("Iterator[object]", self._iterator), _END)
        if step is _END:
            return None
        self.more = True
        return self._checked(step)

    def _checked(self, step: object) -> Step:
        if not isinstance(step, Step):
            self._end()
            raise UsageError(f"steps: item {self.taken} is no Step but {_check.quoted(step)}")
        if step.after or step.via is not None:
            self._end()
            raise UsageError(f"steps: item {self.taken} waits for others; that needs a Plan")
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


Source = PlanSource | IterableSource


def source_of(steps: object) -> Source:
    """The source that fits what a user gave.

    Raises:
        UsageError: It is neither a plan nor an iterable of steps.
    """
    if isinstance(steps, Plan):
        return PlanSource(steps)
    if isinstance(steps, AsyncIterable):
        return AsyncSource(cast("AsyncIterable[object]", steps))
    if isinstance(steps, Iterable) and not isinstance(steps, str | bytes):
        return IterableSource(cast("Iterable[object]", steps))
    raise UsageError(f"steps: a Plan or an iterable of Steps is needed, not {_check.quoted(steps)}")


def as_plan(
    source: Plan | Iterable[Step] | AsyncIterable[Step],
) -> Plan | Iterable[Step] | AsyncIterable[Step]:
    """A plan of steps in a collection with a length; what has none is streamed, and comes back."""
    if isinstance(source, Plan) or not isinstance(source, Iterable) or not is_planned(source):
        return source
    return Plan.of(source)


def steps_or_plan(
    action: Action,
    source: Iterable[Any] | AsyncIterable[Any],
    to: Callable[[Any], str] | None,
    existing: Iterable[SavedImage] | None,
    plan: Callable[[Any], Plan],
    *,
    force: bool = False,
) -> Plan | Iterable[Step] | AsyncIterable[Step]:
    """What a bulk call runs: a plan of a collection with a length; else a stream of steps.

    Raises:
        UsageError: Some inputs cannot be right.
    """
    if is_planned(source):
        return plan(source)
    if existing is not None:
        raise UsageError(
            "existing= checks a whole plan: give a list, not an iterable without a length"
        )
    return steps_of(action, source, to=to, force=force)
