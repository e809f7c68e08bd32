"""Interleaved measurements: every round runs all candidates, and only ratios within a round count.

Two runs a second apart may differ by a third on a busy machine; the two halves of one round hardly
do.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

import attrs

#: Rounds before the first one that counts: connections open, caches fill, code warms up.
_WARM_UP: Final = 1


def _in_order(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(sorted(values))


@attrs.frozen
class Spread:
    """What many rounds gave.

    Attributes:
        values: One a round; kept in order of size.
    """

    values: tuple[float, ...] = attrs.field(converter=_in_order)

    @property
    def median(self) -> float:
        """The middle."""
        return statistics.median(self.values)

    def range(self, digits: int = 2) -> str:
        """The least and the most, and the quartiles where there are enough values."""
        low, high = (f"{value:.{digits}f}" for value in (self.values[0], self.values[-1]))
        if len(self.values) < 4:
            return f"{low} to {high} (n={len(self.values)})"
        first, _, third = (
            f"{value:.{digits}f}" for value in statistics.quantiles(self.values, n=4)
        )
        return f"{first} to {third}, all {low} to {high} (n={len(self.values)})"


@attrs.frozen
class Rounds:
    """The values of each candidate, round by round."""

    values: Mapping[str, Sequence[float]]

    def of(self, name: str) -> Spread:
        """The values of one candidate."""
        return Spread(self.values[name])

    def ratio(self, name: str, to: str) -> Spread:
        """One candidate's values over another's, each of the same round."""
        return Spread(
            mine / theirs for mine, theirs in zip(self.values[name], self.values[to], strict=True)
        )

    def difference(self, name: str, to: str) -> Spread:
        """One candidate's values less another's, each of the same round."""
        return Spread(
            mine - theirs for mine, theirs in zip(self.values[name], self.values[to], strict=True)
        )


async def interleaved(
    candidates: Mapping[str, Callable[[], Awaitable[float]]],
    rounds: int,
    *,
    warm_up: int = _WARM_UP,
) -> Rounds:
    """Measure all candidates in every round.

    Args:
        candidates: By name, what runs one batch and returns its figure.
        rounds: How many rounds count.
        warm_up: How many before them do not.
    """
    values: dict[str, list[float]] = {name: [] for name in candidates}
    names = list(candidates)
    for number in range(-warm_up, rounds):
        for name in names:
            value = await candidates[name]()
            if number >= 0:
                values[name].append(value)
        names.append(names.pop(0))
    return Rounds(values)


async def cpu_seconds(work: Callable[[], Awaitable[object]]) -> float:
    """CPU seconds of this process, user and system, that some work takes."""
    start = time.process_time()
    await work()
    return time.process_time() - start


async def wall_seconds(work: Callable[[], Awaitable[object]]) -> float:
    """Seconds that some work takes."""
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start
