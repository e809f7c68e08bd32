"""The pace: it learns what a throttling server bears, and forgets it when the server bears more."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest
from virtual_time import in_virtual_time, now

from aioe2e._call.gate import Gate
from aioe2e._call.pace import Pace
from aioe2e._clock import Clock
from aioe2e.config import Limits


class TokenBucket:
    """A server that lets through `rate` requests a second, and `burst` at once after a rest."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now()
        self.through = 0
        self.throttled = 0

    def ask(self) -> float:
        """Seconds to wait; 0 means that the request was let through."""
        self._tokens = min(self._burst, self._tokens + (now() - self._at) * self.rate)
        self._at = now()
        if self._tokens >= 1:
            self._tokens -= 1
            self.through += 1
            return 0.0
        self.throttled += 1
        return 1.0


async def run(
    gate: Gate, server: TokenBucket, seconds: float, *, workers: int = 16, latency: float = 0.02
) -> None:
    end = now() + seconds

    async def work() -> None:
        while now() < end:
            if not await gate.enter(under_way=False, until=end):
                return
            sent_at = now()
            await asyncio.sleep(latency)
            gate.leave()
            wait = server.ask()
            if wait:
                gate.throttled(sent_at, wait)
            else:
                gate.succeeded()

    await asyncio.gather(*(work() for _ in range(workers)))


@pytest.mark.parametrize("rate", [20.0, 50.0, 150.0])
def test_a_throttled_session_finds_the_rate_that_the_server_bears(rate: float) -> None:
    @in_virtual_time
    async def learn() -> None:
        gate = Gate(Limits(), Clock())
        server = TokenBucket(rate, burst=rate)
        await run(gate, server, 20.0)
        before = (server.through, server.throttled)
        await run(gate, server, 100.0)
        through = (server.through - before[0]) / 100.0
        throttled = server.throttled - before[1]
        assert through >= 0.8 * rate
        assert throttled <= 0.05 * (server.through - before[0])

    learn()


@in_virtual_time
async def test_a_server_that_bears_more_again_gets_the_full_speed_back() -> None:
    gate = Gate(Limits(), Clock())
    server = TokenBucket(20.0, burst=20.0)
    await run(gate, server, 30.0)
    server.rate, server._burst = 1e9, 1e9
    await run(gate, server, 60.0)
    before = server.through
    await run(gate, server, 5.0)
    assert (server.through - before) / 5.0 > 0.9 * 16 / 0.02
    assert gate.limit == 16
    assert not gate._pace.active


@in_virtual_time
async def test_an_unthrottled_session_is_not_paced() -> None:
    gate = Gate(Limits(), Clock())
    server = TokenBucket(1e9, burst=1e9)
    await run(gate, server, 5.0)
    assert server.through / 5.0 > 0.95 * 16 / 0.02
    assert not gate._pace.active


def paced(*moments: Callable[[Pace], None]) -> Pace:
    pace = Pace(None)
    for moment in moments:
        moment(pace)
    return pace


def successes(count: int) -> Callable[[Pace], None]:
    def succeed(pace: Pace) -> None:
        for _ in range(count):
            pace.succeeded()

    return succeed


def throttle(at: float, pause: float = 1.0) -> Callable[[Pace], None]:
    return lambda pace: pace.throttled(at, pause)


def test_the_rate_between_two_throttles_less_a_little_becomes_the_pace() -> None:
    pace = paced(throttle(0.0), successes(40), throttle(4.0))
    assert pace.active
    assert pace.rate == pytest.approx(0.97 * 40 / 4)


@pytest.mark.parametrize(
    "moments",
    [
        [throttle(0.0)],
        [successes(100), throttle(0.0)],
        [throttle(0.0), successes(19), throttle(4.0)],
        [throttle(0.0), successes(1000), throttle(17.0)],
    ],
    ids=["one throttle", "nothing before it", "too few successes", "too long ago"],
)
def test_what_says_nothing_about_the_rate_teaches_no_pace(
    moments: list[Callable[[Pace], None]],
) -> None:
    pace = paced(*moments)
    assert pace.rate is None
    assert not pace.active


def test_a_throttle_that_teaches_nothing_slows_a_learned_pace_a_little() -> None:
    pace = paced(throttle(0.0), successes(40), throttle(4.0), throttle(5.0))
    assert pace.rate == pytest.approx(0.97 * 0.97 * 10)


def test_the_first_pace_lies_between_the_rates_with_the_pause_and_without() -> None:
    pace = paced(throttle(0.0, 60.0), successes(70), throttle(70.0))
    assert pace.rate is not None
    assert 0.97 * 70 / 70 <= pace.rate <= 0.97 * 70 / 10


def test_a_learned_pace_climbs_to_its_ceiling_and_rests_there_before_it_tries_for_more() -> None:
    pace = paced(throttle(0.0, 1.0), successes(200), throttle(2.0, 1.0))
    rates = []
    for moment in itertools.count(3.0, 0.25):
        pace.start(moment)
        if pace.rate is None:
            break
        rates.append(pace.rate)
    assert rates == sorted(rates)
    assert rates[0] == pytest.approx(0.97 * 100)
    resting = [rate for rate in rates if rate == pytest.approx(0.97 * 200, abs=0.01)]
    assert len(resting) >= 4 * 5
    beyond = [rate for rate in rates if rate > 200]
    growths = [after / before for before, after in itertools.pairwise(sorted(set(beyond)))]
    assert growths == sorted(growths)
    assert not pace.active


def test_the_users_own_bound_stays_when_the_learned_pace_is_gone() -> None:
    pace = Pace(5.0)
    for moment in (throttle(0.0), successes(40), throttle(4.0, 0.0)):
        moment(pace)
    assert pace.rate == 5.0  # 9.7 was learned
    for number in range(30):
        pace.start(9.0 + 5.0 * number)
    assert pace.rate == 5.0
    assert pace.active


def test_the_lower_of_bound_and_learned_pace_counts() -> None:
    pace = Pace(50.0)
    for moment in (throttle(0.0), successes(40), throttle(4.0)):
        moment(pace)
    assert pace.rate == pytest.approx(9.7)


def test_without_a_bound_and_without_a_throttle_nothing_is_paced() -> None:
    pace = Pace(None)
    pace.start(5.0)
    assert pace.rate is None
    assert pace.ready_at() == 0.0


def test_a_late_timer_does_not_slow_the_pace_and_a_rest_is_not_saved_up() -> None:
    pace = Pace(10.0)
    pace.start(100.0)
    first = pace.ready_at()
    assert 100.05 <= first <= 100.1
    pace.start(first + 0.01)
    assert pace.ready_at() == pytest.approx(first + 0.1)
    pace.start(500.0)
    assert 500.05 <= pace.ready_at() <= 500.1
