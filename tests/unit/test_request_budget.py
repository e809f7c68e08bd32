"""A run whose request budget is used up: it waits for as long as the server says, or ends and says when to go on."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from virtual_time import in_virtual_time, now

from aioe2e._clock import Clock
from aioe2e._record import CallRecord
from aioe2e.bulk import Ending, Plan, Progress, Report, Status, Step, Stream
from aioe2e.errors import DeadlineExceededError, RateLimitedError, UsageError

DONE = Ending(Status.DONE)


def deletes(count: int) -> Plan:
    return Plan.delete([number + 1 for number in range(count)])


async def done(step: Step, record: CallRecord) -> Ending:
    return DONE


class Budgeted:
    """Lets so many requests through in each period, and tells the rest to come back later."""

    def __init__(self, most: int, *, period: float = 3600.0, generous: bool = True) -> None:
        self.most, self.period, self.generous = most, period, generous
        self.left = most
        self.refused = 0
        self.asked: list[Step] = []
        self.began = now()
        self.full_at = self.began + period

    async def __call__(self, step: Step, record: CallRecord) -> Ending:
        await asyncio.sleep(0)
        if self.generous and now() >= self.full_at:
            self.left, self.full_at = self.most, now() + self.period
        if record.orders.before_send is not None:
            record.orders.before_send()
        record.attempts, record.sent = 1, True
        if self.left:
            self.left -= 1
            self.asked.append(step)
            return DONE
        self.refused += 1
        wait = max(self.full_at - now(), 1000.0)
        raise RateLimitedError("budget", status=429, retry_after=wait, attempts=1)


def in_a_budget(perform: Budgeted, count: int, **options: Any) -> Stream:
    options = {"limit": 4, "longest_wait": 120.0} | options
    return Stream(deletes(count), perform=perform, **options)


@in_virtual_time
async def test_a_run_whose_budget_is_used_up_waits_for_it_and_loses_nothing() -> None:
    began = now()
    server = Budgeted(10)
    shown: list[Progress] = []
    report = await in_a_budget(server, 35, progress=shown.append).drain()
    assert report.ok
    assert sorted(step.index or 0 for step in server.asked) == list(range(35))
    assert server.refused <= 3 * 4  # hardly anything is sent while nothing is let through
    assert report.retry_after is None
    assert sum(outcome.attempts for outcome in report) == 35 + server.refused
    assert now() - began >= 3 * 3600.0


async def test_progress_says_until_when_a_run_waits_for_its_budget() -> None:
    waiting = asyncio.Event()
    shown: list[Progress] = []

    async def rest(seconds: float) -> None:
        assert seconds == pytest.approx(5000.0, abs=1.0)
        await asyncio.sleep(3600)

    def progress(found: Progress) -> None:
        shown.append(found)
        if found.paused_until is not None:
            waiting.set()

    refused = [True]

    async def perform(step: Step, record: CallRecord) -> Ending:
        if refused:
            refused.pop()
            raise RateLimitedError("budget", status=429, retry_after=5000.0, attempts=0)
        return DONE

    clock = Clock(wall=lambda: 1_000_000.0)
    stream = Stream(deletes(1), perform=perform, progress=progress, rest=rest, clock=clock)
    task = asyncio.create_task(stream.drain())
    await asyncio.wait_for(waiting.wait(), 5)
    assert shown[-1].paused
    assert shown[-1].eta is None
    assert shown[-1].paused_until is not None
    assert shown[-1].paused_until.timestamp() == pytest.approx(1_005_000.0, abs=1.0)
    assert 0 < (stream.report.retry_after or 0) <= 5000.0
    stream.stop()
    report = await task
    assert report.counts()[Status.SKIPPED] == 1
    assert shown[-1].paused_until is None


@in_virtual_time
async def test_a_run_that_may_not_wait_for_its_budget_ends_and_says_when_to_go_on() -> None:
    await ends_at_once(wait_for_budget=False)


@in_virtual_time
async def test_a_run_whose_deadline_comes_before_its_budget_ends_at_once() -> None:
    await ends_at_once(deadline=60.0)


async def ends_at_once(**options: Any) -> None:
    server = Budgeted(10)
    report = await in_a_budget(server, 35, **options).drain()
    counts = report.counts()
    assert counts[Status.DONE] == 10
    assert 1 <= counts[Status.FAILED] == server.refused <= 4
    assert counts[Status.SKIPPED] == 25 - server.refused
    assert report.retry_after == pytest.approx(3600.0, abs=1.0)
    assert "the server asks to wait 3600 s" in str(report[34].error)
    assert len(report.remaining()) == 25
    assert now() - server.began < 1


def test_a_pause_of_many_workers_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    @in_virtual_time
    async def paused_once() -> None:
        assert (await in_a_budget(Budgeted(10), 15).drain()).ok

    with caplog.at_level(logging.WARNING, "aioe2e.bulk"):
        paused_once()
    said = [text for text in caplog.messages if "the request budget is used up" in text]
    assert len(said) == 1


@in_virtual_time
async def test_a_budget_that_never_comes_back_ends_a_run_after_a_while() -> None:
    server = Budgeted(3, generous=False)
    report = await in_a_budget(server, 35).drain()
    assert report.counts()[Status.DONE] == 3
    assert len(report.remaining()) == 32
    assert server.refused <= 11 * 4
    assert report.retry_after is not None


@in_virtual_time
async def test_a_throttle_that_a_call_waits_out_by_itself_is_no_budget_to_wait_for() -> None:
    async def perform(step: Step, record: CallRecord) -> Ending:
        record.attempts, record.sent = 4, True
        raise RateLimitedError("busy", status=429, retry_after=1.0, attempts=4)

    report = await Stream(deletes(3), perform=perform, limit=4, longest_wait=120.0).drain()
    assert report.counts()[Status.FAILED] == 3
    assert report.retry_after is None


async def test_a_save_that_waits_for_its_budget_may_be_sent_again_after_a_crash(
    tmp_path: Path,
) -> None:
    """Refused for now is not in doubt: the journal says so before the wait begins."""
    path = tmp_path / "j"
    resting = asyncio.Event()

    async def rest(_: float) -> None:
        resting.set()
        await asyncio.sleep(3600)

    plan = Plan.save({"11": "n1", "12": "n2"})
    stream = Stream(plan, perform=Budgeted(1), rest=rest, limit=1, longest_wait=9.0, journal=path)
    task = asyncio.create_task(stream.drain())
    await resting.wait()
    left = Plan.resume(path)  # what a later process finds if this one dies now
    assert [step.target for step in left] == ["12"]
    assert not left.unknown
    assert Report.from_journal(path)[1].attempts == 1
    task.cancel()
    await asyncio.wait([task])
    assert Plan.resume(path) == left


@in_virtual_time
async def test_a_step_that_was_refused_for_now_is_not_called_one_that_was_never_sent() -> None:
    """Also where the run ends before the step can be sent again."""
    tried = 0

    async def perform(step: Step, record: CallRecord) -> Ending:
        nonlocal tried
        tried += 1
        if tried == 3:
            raise DeadlineExceededError("no slot came free")
        record.attempts, record.sent = 1, True
        raise RateLimitedError("budget", status=429, retry_after=1000.0, attempts=1)

    report = await Stream(deletes(1), perform=perform, limit=1, longest_wait=120.0).drain()
    assert report[0].status is Status.FAILED
    assert isinstance(report[0].error, RateLimitedError)
    assert report[0].attempts == 2


@in_virtual_time
async def test_a_step_that_is_cancelled_on_its_second_try_counts_the_requests_of_the_first() -> (
    None
):
    async def perform(step: Step, record: CallRecord) -> Ending:
        if now() - began > 500.0:
            await asyncio.sleep(3600.0)  # it waits for a slot
        record.attempts, record.sent = 1, True
        raise RateLimitedError("budget", status=429, retry_after=1000.0, attempts=1)

    began = now()
    stream = Stream(deletes(1), perform=perform, limit=1, longest_wait=120.0, deadline=2000.0)
    report = await stream.drain()
    assert report[0].status is Status.FAILED
    assert report[0].attempts == 1


@pytest.mark.parametrize("value", ["no", 0, None])
def test_wait_for_budget_is_true_or_false(value: Any) -> None:
    with pytest.raises(UsageError, match="wait_for_budget: True or False"):
        Stream(deletes(1), perform=done, wait_for_budget=value)
