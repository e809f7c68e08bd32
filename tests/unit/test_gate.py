"""The gate: slots are never above the limit, the line is fair, one pause holds for all, and nothing is left behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from virtual_time import in_virtual_time, now, timers, turns

from aioe2e._call.gate import Budget, Gate
from aioe2e._clock import Clock
from aioe2e.config import Limits
from aioe2e.errors import SessionError

Told = Callable[[float, int], None]


def made(
    in_flight: int = 4,
    *,
    per_second: float | None = None,
    adaptive: bool = True,
    told: Told | None = None,
) -> Gate:
    return Gate(
        Limits(in_flight=in_flight, per_second=per_second, adaptive=adaptive), Clock(), told
    )


async def entered(gate: Gate, *, under_way: bool = False, until: float | None = None) -> bool:
    return await gate.enter(under_way=under_way, until=until)


async def full(in_flight: int) -> Gate:
    gate = made(in_flight)
    for _ in range(in_flight):
        assert await entered(gate)
    return gate


def empty(gate: Gate) -> bool:
    """Whether no slot, no waiter and no timer is left."""
    return gate.in_flight == 0 and not any(gate._waiting) and gate._timer is None


# Slots


@in_virtual_time
async def test_no_more_than_the_limit_are_in_flight() -> None:
    gate = made(3)
    most = 0

    async def call() -> None:
        nonlocal most
        assert await entered(gate)
        most = max(most, gate.in_flight)
        await asyncio.sleep(random.random())
        gate.leave()

    await asyncio.gather(*(call() for _ in range(200)))
    assert most == 3
    assert empty(gate)
    assert timers() == 0


@in_virtual_time
async def test_whoever_came_first_goes_first() -> None:
    gate = await full(1)
    order: list[int] = []

    async def call(number: int) -> None:
        await entered(gate)
        order.append(number)
        gate.leave()

    tasks = []
    for number in range(20):
        tasks.append(asyncio.create_task(call(number)))
        await turns(1)
    gate.leave()
    await asyncio.gather(*tasks)
    assert order == list(range(20))


@in_virtual_time
async def test_calls_under_way_go_before_calls_that_have_not_begun() -> None:
    gate = await full(1)
    order: list[str] = []

    async def call(name: str, under_way: bool) -> None:
        await entered(gate, under_way=under_way)
        order.append(name)
        gate.leave()

    async with asyncio.TaskGroup() as group:
        for name, under_way in (
            ("new 1", False),
            ("old 1", True),
            ("new 2", False),
            ("old 2", True),
        ):
            group.create_task(call(name, under_way))
            await turns(1)
        gate.leave()
    assert order == ["old 1", "old 2", "new 1", "new 2"]


@in_virtual_time
async def test_nobody_takes_a_free_slot_past_the_line() -> None:
    gate = await full(1)
    waiting = asyncio.create_task(entered(gate))
    await turns()
    gate.leave()  # the slot is the waiter's now, though it has not run yet
    assert not gate.try_enter(under_way=False)
    assert not gate.try_enter(under_way=True)
    assert await waiting
    assert gate.in_flight == 1
    gate.leave()
    assert gate.try_enter(under_way=False)
    gate.leave()
    assert empty(gate)


@in_virtual_time
async def test_a_call_under_way_passes_those_that_have_not_begun_even_at_a_full_gate() -> None:
    gate = await full(2)
    new = asyncio.create_task(entered(gate))
    await turns()
    assert not gate.try_enter(under_way=True)
    old = asyncio.create_task(entered(gate, under_way=True))
    await turns()
    gate.leave()
    await turns()
    assert old.done()
    assert not new.done()
    gate.leave()
    assert await new


# Time


@in_virtual_time
async def test_who_waits_too_long_gets_no_slot_and_leaves_nothing() -> None:
    gate = await full(1)
    start = now()
    assert not await entered(gate, until=start + 2.0)
    assert now() == pytest.approx(start + 2.0)
    gate.leave()
    assert empty(gate)
    assert timers() == 0


@in_virtual_time
async def test_a_moment_in_the_past_is_too_late_in_a_full_gate() -> None:
    gate = await full(1)
    assert not await entered(gate, until=now() - 1)
    gate.leave()
    assert empty(gate)


@in_virtual_time
async def test_a_slot_that_comes_at_the_very_end_of_the_time_is_not_lost() -> None:
    gate = await full(1)
    waiting = asyncio.create_task(entered(gate, until=now() + 1.0))
    asyncio.get_running_loop().call_later(1.0, gate.leave)
    if await waiting:
        gate.leave()
    assert gate.in_flight == 0
    assert await entered(gate)
    gate.leave()
    assert empty(gate)


# Cancellation


@in_virtual_time
async def test_a_cancelled_waiter_leaves_the_line() -> None:
    gate = await full(1)
    waiting = [asyncio.create_task(entered(gate)) for _ in range(3)]
    await turns()
    waiting[1].cancel()
    await turns()
    gate.leave()
    assert await waiting[0]
    gate.leave()
    assert await waiting[2]
    gate.leave()
    assert waiting[1].cancelled()
    assert empty(gate)


@in_virtual_time
async def test_a_waiter_cancelled_in_the_moment_of_its_turn_hands_the_slot_on() -> None:
    gate = await full(1)
    first, second = (asyncio.create_task(entered(gate)) for _ in range(2))
    await turns()
    gate.leave()
    first.cancel()
    await turns()
    assert first.cancelled()
    assert second.done()
    assert gate.in_flight == 1
    gate.leave()
    assert empty(gate)


@in_virtual_time
async def test_a_cancelled_waiter_in_a_pause_leaves_no_timer() -> None:
    gate = made()
    gate.throttled(now(), 60.0)
    waiting = asyncio.create_task(entered(gate))
    await turns()
    assert timers() == 1
    waiting.cancel()
    await turns()
    assert timers() == 0
    assert empty(gate)


@pytest.mark.parametrize("seed", range(8))
def test_a_storm_of_cancels_timeouts_and_pauses_keeps_the_books(seed: int) -> None:
    @in_virtual_time
    async def storm() -> None:
        dice = random.Random(seed)
        gate = made(4)
        held = 0

        async def call() -> None:
            nonlocal held
            if await entered(
                gate,
                under_way=dice.random() < 0.3,
                until=now() + dice.choice([0.0, 0.5, 5.0, 500.0]),
            ):
                held += 1
                assert held <= gate.in_flight <= 4
                sent_at = now()
                try:
                    await asyncio.sleep(dice.random())
                finally:
                    held -= 1
                    gate.leave()
                if dice.random() < 0.05:
                    gate.throttled(sent_at, dice.choice([0.0, 0.1, 3.0]))
                else:
                    gate.succeeded()

        tasks: list[asyncio.Task[None]] = []
        for _ in range(300):
            tasks.append(asyncio.create_task(call()))
            if dice.random() < 0.3:
                dice.choice(tasks).cancel()
            if dice.random() < 0.3:
                await asyncio.sleep(dice.random() * 0.3)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [
            error for task in tasks if not task.cancelled() and (error := task.exception())
        ] == []
        assert empty(gate)
        assert timers() == 0
        assert 1 <= gate.limit <= 4

    storm()


# Pauses


@in_virtual_time
async def test_a_pause_holds_everybody_back_and_then_lets_the_limit_go() -> None:
    gate = made(4)
    start = now()
    gate.throttled(start, 3.0)
    assert gate.pause_left() == pytest.approx(3.0, abs=0.05)

    async def call() -> float:
        await entered(gate)
        came = now()
        await asyncio.sleep(1.0)
        gate.leave()
        return came

    came = await asyncio.gather(*(call() for _ in range(4)))
    assert [round(moment - start) for moment in came] == [3, 3, 4, 4]
    assert min(came) >= start + 3.0
    assert gate.pause_left() == 0.0


@in_virtual_time
async def test_one_timer_wakes_all_who_wait_for_the_end_of_a_pause() -> None:
    gate = made(4)
    gate.throttled(now(), 3.0)
    waiting = [asyncio.create_task(entered(gate)) for _ in range(50)]
    await turns()
    assert timers() == 1
    for task in waiting:
        task.cancel()


@in_virtual_time
async def test_a_longer_pause_extends_a_running_one_and_a_shorter_one_does_not_cut_it() -> None:
    gate = made(4)
    start = now()
    waiting = asyncio.create_task(entered(gate))
    await waiting
    gate.leave()
    gate.throttled(start, 2.0)
    waiting = asyncio.create_task(entered(gate))
    await asyncio.sleep(1.0)
    gate.throttled(start, 5.0)
    gate.throttled(start, 0.1)
    assert await waiting
    assert now() - start == pytest.approx(6.0, abs=0.05)


@in_virtual_time
async def test_many_throttles_of_one_burst_halve_the_limit_once() -> None:
    told: list[tuple[float, int]] = []
    gate = made(16, told=lambda seconds, limit: told.append((seconds, limit)))
    sent_at = now()
    await asyncio.sleep(0.5)
    for _ in range(16):
        gate.throttled(sent_at, 1.0)
    assert gate.limit == 8
    assert told == [(1.0, 8)]


@in_virtual_time
async def test_a_throttle_of_a_later_request_halves_again_down_to_one() -> None:
    gate = made(16)
    limits = []
    for _ in range(7):
        await asyncio.sleep(1.0)
        gate.throttled(now(), 0.0)
        limits.append(gate.limit)
    assert limits == [8, 4, 2, 1, 1, 1, 1]


@in_virtual_time
async def test_the_limit_grows_by_one_after_as_many_successes_as_it_stands_at() -> None:
    gate = made(8)
    gate.throttled(now(), 0.0)
    limits = []
    for _ in range(4 + 5 + 6 + 7 + 20):
        gate.succeeded()
        limits.append(gate.limit)
    assert [limits.count(limit) for limit in (4, 5, 6, 7)] == [3, 5, 6, 7]
    assert max(limits) == limits[-1] == 8


@in_virtual_time
async def test_a_throttle_starts_the_count_of_successes_anew() -> None:
    gate = made(8)
    gate.throttled(now(), 0.0)
    for _ in range(3):
        gate.succeeded()
    await asyncio.sleep(1)
    gate.throttled(now(), 0.0)
    gate.succeeded()
    assert gate.limit == 2


@in_virtual_time
async def test_a_gate_that_is_not_adaptive_pauses_and_keeps_its_limit_and_pace() -> None:
    gate = made(8, adaptive=False)
    for _ in range(3):
        for _ in range(100):
            gate.succeeded()
        await asyncio.sleep(1)
        gate.throttled(now(), 2.0)
    assert gate.limit == 8
    assert gate.pause_left() == pytest.approx(2.0, abs=0.05)
    assert not gate._pace.active


@in_virtual_time
async def test_a_lower_limit_lets_nobody_in_until_enough_have_left() -> None:
    gate = await full(4)
    gate.throttled(now(), 0.0)
    waiting = asyncio.create_task(entered(gate))
    await asyncio.sleep(1.0)
    for _ in range(2):
        gate.leave()
        await turns()
        assert not waiting.done()
    gate.leave()
    await turns()
    assert waiting.done()
    assert gate.in_flight == 2


@in_virtual_time
async def test_the_line_moves_on_when_the_limit_grows() -> None:
    gate = made(2)
    gate.throttled(now(), 0.0)
    await asyncio.sleep(1.0)
    assert await entered(gate)
    waiting = [asyncio.create_task(entered(gate)) for _ in range(2)]
    await turns()
    gate.leave()
    gate.succeeded()  # 1 becomes 2
    await turns()
    gate.leave()
    await turns()
    assert [task.done() for task in waiting] == [True, True]


# Pace


@in_virtual_time
async def test_no_more_requests_start_in_a_second_than_allowed() -> None:
    gate = made(100, per_second=20)
    starts: list[float] = []

    async def call() -> None:
        await entered(gate)
        starts.append(now())
        gate.leave()

    begin = now()
    await asyncio.gather(*(call() for _ in range(200)))
    assert now() - begin == pytest.approx(200 / 20, abs=0.2)
    for first in starts:
        assert sum(first <= start < first + 1.0 for start in starts) <= 20 + 1
    assert empty(gate)
    assert timers() == 0


# Closing


@in_virtual_time
async def test_closing_sends_everybody_in_line_away() -> None:
    gate = await full(1)
    waiting = [asyncio.create_task(entered(gate, under_way=old)) for old in (True, False, False)]
    await turns()
    gate.close(lambda: SessionError("closed"))
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in found] == [SessionError] * 3
    assert len({id(error) for error in found}) == 3
    gate.leave()
    assert empty(gate)


@in_virtual_time
async def test_closing_passes_over_those_who_have_left_the_line() -> None:
    gate = await full(1)
    first, second = (asyncio.create_task(entered(gate)) for _ in range(2))
    await turns()
    second.cancel()
    await turns()
    gate.close(lambda: SessionError("closed"))
    with pytest.raises(SessionError):
        await first
    assert second.cancelled()


@in_virtual_time
async def test_closing_a_paused_gate_leaves_no_timer() -> None:
    gate = made()
    gate.throttled(now(), 60.0)
    waiting = asyncio.create_task(entered(gate))
    await turns()
    gate.close(lambda: SessionError("closed"))
    with pytest.raises(SessionError):
        await waiting
    assert timers() == 0


@in_virtual_time
async def test_closing_and_cancelling_in_one_moment_is_a_cancellation_or_a_session_error() -> None:
    gate = await full(1)
    waiting = asyncio.create_task(entered(gate))
    await turns()
    gate.close(lambda: SessionError("closed"))
    waiting.cancel()
    with pytest.raises((SessionError, asyncio.CancelledError)):
        await waiting
    assert gate.in_flight == 1


# The budget


def test_a_retry_takes_one_from_the_budget_and_a_success_gives_one_back() -> None:
    budget = Budget(2)
    assert [budget.take() for _ in range(4)] == [True, True, False, False]
    budget.give_back()
    assert budget.left == 1
    assert [budget.take(), budget.take()] == [True, False]


def test_a_budget_never_grows_above_its_size() -> None:
    budget = Budget(2)
    for _ in range(5):
        budget.give_back()
    assert budget.left == 2


def test_a_budget_of_none_allows_no_retry() -> None:
    budget = Budget(0)
    budget.give_back()
    assert not budget.take()


@in_virtual_time
async def test_a_pause_is_a_little_longer_than_the_server_asked_so_that_no_clock_lets_anybody_go_early() -> (
    None
):
    gate = Gate(Limits(), Clock())
    gate.throttled(now(), 1.0)
    assert 1.0 < gate.pause_left() < 1.1


# The hourly budget


@in_virtual_time
async def test_no_more_requests_than_the_hourly_budget_start_within_any_hour() -> None:
    gate = Gate(Limits(in_flight=100, per_hour=10), Clock())
    starts: list[float] = []

    async def call(late: float) -> None:
        await asyncio.sleep(late)
        assert await entered(gate)
        starts.append(now())
        gate.leave()

    await asyncio.gather(*(call(random.random() * 5000) for _ in range(35)))
    starts.sort()
    assert len(starts) == 35
    for earlier, later in zip(starts, starts[10:], strict=False):
        assert later - earlier >= 3599.999
    assert empty(gate)
    assert timers() == 0


@in_virtual_time
async def test_a_short_job_does_not_wait_for_an_hourly_budget() -> None:
    gate, begun = Gate(Limits(per_hour=10), Clock()), now()
    for _ in range(10):
        assert gate.pause_left() == 0.0
        assert await entered(gate)
        gate.leave()
    assert now() == begun
    assert gate.pause_left() == pytest.approx(3600.0, abs=0.1)


@in_virtual_time
async def test_a_hold_pauses_and_leaves_the_limit_alone() -> None:
    gate, begun = made(4), now()
    gate.hold(30.0)
    assert gate.pause_left() == pytest.approx(30.0, abs=0.1)
    assert not gate.try_enter(under_way=False)
    assert await entered(gate)
    assert now() - begun >= 30.0
    assert gate.limit == 4
    gate.leave()
    assert empty(gate)
