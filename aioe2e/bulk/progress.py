"""How far a run has got, told to a callback."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs

from aioe2e import _check
from aioe2e._clock import Clock

__all__ = ["Meter", "Progress", "Standing"]

_log = logging.getLogger("aioe2e.bulk")

#: Seconds between two calls of a callback, at the least.
_INTERVAL: Final = 0.1
#: Seconds that a rate looks back.
_WINDOW: Final = 10.0


@attrs.frozen(kw_only=True)
class Progress:
    """How far a run has got."""

    #: Steps in all; None when they come from an iterable of unknown length.
    total: int | None
    #: Steps that have ended, well or not. One that was skipped has not.
    finished: int
    #: Those among them that ended FAILED or UNKNOWN.
    failed: int
    #: Steps under way now.
    in_flight: int
    #: Steps that may be under way now: the limit of the run, or that of a throttled session if it
    #: is lower.
    limit: int
    #: Steps finished in a second, over the last ten seconds.
    rate: float
    #: Whether the run holds back, because step after step met a fault that passes.
    paused: bool = False
    #: Seconds left at this rate; None where that cannot be said.
    eta: float | None = None


@attrs.frozen
class Standing:
    """The part of a `Progress` that the engine counts; the rest follows from it and the time."""

    total: int | None
    finished: int
    failed: int
    in_flight: int
    limit: int
    paused: bool


class Meter:
    """Calls back with a `Progress` when something has changed, at most ten times a second.

    It calls once more at the end. It looks by a timer and not when a step ends, so that it costs a
    fast run nothing, and a slow one still shows what is under way.

    Args:
        callback: What is called. An exception in it is logged, the first time, and goes no further.
        standing: Gives the counts of now.
        clock: Where the time is read.

    Raises:
        UsageError: The callback is no plain callable.
    """

    def __init__(
        self,
        callback: Callable[[Progress], object],
        *,
        standing: Callable[[], Standing],
        clock: Clock,
    ) -> None:
        _check.require_callable("progress", callback, "print")
        self._callback = callback
        self._standing = standing
        self._clock = clock
        self._shown: Standing | None = None
        self._samples: deque[tuple[float, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._logged = False

    def start(self) -> None:
        """Begin to look."""
        self._samples.append((self._clock.now(), 0))
        self._timer = asyncio.get_running_loop().call_later(_INTERVAL, self._look)

    def end(self) -> None:
        """Call back once more, and never again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._tell(self._standing())

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_INTERVAL, self._look)
        if (standing := self._standing()) != self._shown:
            self._tell(standing)

    def _tell(self, standing: Standing) -> None:
        self._shown = standing
        rate = self._rate(standing.finished)
        progress = Progress(
            total=standing.total,
            finished=standing.finished,
            failed=standing.failed,
            in_flight=standing.in_flight,
            limit=standing.limit,
            rate=rate,
            paused=standing.paused,
            eta=_eta(standing, rate),
        )
        try:
            self._callback(progress)
        except Exception:  # noqa: BLE001  # the user's own; it is logged below
            if not self._logged:
                self._logged = True
                _log.exception("the progress callback raised; the run goes on")

    def _rate(self, finished: int) -> float:
        now = self._clock.now()
        samples = self._samples
        samples.append((now, finished))
        # The oldest sample kept is the last one from before the window, so that a stall is seen as
        # one.
        while len(samples) > 2 and samples[1][0] <= now - _WINDOW:
            samples.popleft()
        since, before = samples[0]
        return (finished - before) / (now - since) if now > since else 0.0


def _eta(standing: Standing, rate: float) -> float | None:
    if standing.total is None or standing.paused:
        return None
    if left := standing.total - standing.finished:
        return left / rate if rate > 0 else None
    return 0.0
