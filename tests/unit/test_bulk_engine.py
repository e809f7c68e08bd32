"""The engine's promises on limits, order, memory and endings, with a `perform` of the test's own."""

from __future__ import annotations

import asyncio
import itertools
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import attrs
import pytest
from patience import SOON

from aioe2e._clock import Clock
from aioe2e._record import CallRecord
from aioe2e.bulk import Ending, Plan, Status, Step, Stream
from aioe2e.errors import (
    ConflictError,
    ConnectionLostError,
    DeadlineExceededError,
    E2EError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitedError,
    ServerError,
    SessionError,
    SkippedError,
    UsageError,
)

#: What a run promises must not depend on how the loop starts its tasks.
LOOPS = ("asyncio", "eager tasks", "uvloop")

DONE = Ending(Status.DONE)


def step(number: int) -> Step:
    return Step.delete(number + 1)


def deletes(count: int) -> Plan:
    return Plan.delete([number + 1 for number in range(count)])


def conflict() -> ConflictError:
    return ConflictError("the name is taken", status=409, attempts=1)


class Server:
    """Performs steps, counts what is in flight, and keeps what was asked of it."""

    def __init__(
        self, delay: float = 0.001, fail: Callable[[Step], E2EError | None] = lambda _: None
    ) -> None:
        self.delay = delay
        self.fail = fail
        self.in_flight = self.most = 0
        self.begun: list[Step] = []
        self.ended: list[Step] = []

    async def __call__(self, step: Step, record: CallRecord) -> Ending:
        self.begun.append(step)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        record.attempts += 1
        record.open = True
        try:
            await asyncio.sleep(self.delay)
        finally:
            self.in_flight -= 1
        record.open = False
        self.ended.append(step)
        if (error := self.fail(step)) is not None:
            raise error
        return DONE


def nth(
    *numbers: int, error: Callable[[], E2EError] = conflict
) -> Callable[[Step], E2EError | None]:
    return lambda step: error() if int(step.target) - 1 in numbers else None


# limits


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 13, 16, 21, 32, 64])
async def test_the_limit_is_reached_and_never_passed(limit: int) -> None:
    server = Server()
    report = await Stream(deletes(limit * 4), perform=server, limit=limit).drain()
    assert report.ok
    assert server.most == limit


@pytest.mark.parametrize("limit", [1, 2, 7, 64])
async def test_the_limit_is_reached_and_never_passed_with_iterables_and_a_consumer(
    limit: int,
) -> None:
    async def source() -> AsyncIterator[Step]:
        for number in range(limit * 4):
            await asyncio.sleep(0)
            yield step(number)

    for steps in (map(step, range(limit * 4)), source()):
        server = Server(0.02)
        async with Stream(steps, perform=server, limit=limit, session_limit=64) as outcomes:
            assert len([outcome async for outcome in outcomes]) == limit * 4
        assert server.most == limit


async def test_no_more_workers_are_made_than_there_are_steps() -> None:
    most = 0

    async def perform(step: Step, record: CallRecord) -> Ending:
        nonlocal most
        await asyncio.sleep(0.002)
        most = max(most, len(asyncio.all_tasks()))
        return DONE

    await Stream(deletes(3), perform=perform, limit=1000, session_limit=1000).drain()
    assert most <= 1 + 3


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 0}, {"limit": -1}, {"limit": True}, {"limit": 1.5}, {"limit": "8"},
        {"on_error": "ignore"}, {"on_error": None},
        {"deadline": 0}, {"deadline": -1}, {"deadline": float("nan")}, {"deadline": float("inf")}, {"deadline": True},
        {"deadline": 10**400},
        {"deadline": "5"},
        {"progress": 5},
    ],
)  # fmt: skip
def test_a_wrong_option_is_refused_when_the_stream_is_built(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        Stream(deletes(1), perform=Server(), **options)


@pytest.mark.parametrize("steps", ["2292", b"2292", 5, None, Step.delete(1)])
def test_what_is_no_collection_of_steps_is_refused(steps: Any) -> None:
    with pytest.raises(UsageError, match="Plan or an iterable"):
        Stream(steps, perform=Server())


def test_a_journal_with_an_iterable_is_refused() -> None:
    with pytest.raises(UsageError, match="journal"):
        Stream([step(1)], perform=Server(), journal="x")


def test_a_coroutine_function_as_progress_is_refused() -> None:
    async def progress(_: object) -> None: ...

    with pytest.raises(UsageError, match="progress"):
        Stream([step(1)], perform=Server(), progress=progress)


# order and memory


async def test_steps_start_in_the_order_of_the_plan_and_the_report_has_that_order_too() -> None:
    server = Server()
    plan = deletes(40)
    report = await Stream(plan, perform=server, limit=7).drain()
    assert server.begun == list(plan)
    assert [outcome.step for outcome in report] == list(plan)


async def test_a_stream_hands_out_outcomes_as_steps_end() -> None:
    async def perform(step: Step, record: CallRecord) -> Ending:
        await asyncio.sleep(0.03 if step.target == "1" else 0.001)
        return DONE

    async with Stream(deletes(5), perform=perform, limit=5) as outcomes:
        order = [outcome.step.target async for outcome in outcomes]
    assert order[-1] == "1"
    assert sorted(order) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("limit", [1, 4, 16])
async def test_a_slow_consumer_slows_the_run(limit: int) -> None:
    pulled = 0

    def source() -> Iterator[Step]:
        nonlocal pulled
        for number in itertools.count():
            pulled += 1
            yield step(number)

    async with Stream(source(), perform=Server(0), limit=limit) as outcomes:
        taken = 0
        async for _ in outcomes:
            taken += 1
            await asyncio.sleep(0.001)
            assert pulled <= taken + 2 * limit
            if taken == 60:
                break
    assert pulled <= 60 + 2 * limit


@pytest.mark.parametrize("consumed", [False, True])
async def test_memory_does_not_grow_with_the_number_of_streamed_steps(consumed: bool) -> None:
    async def perform(step: Step, record: CallRecord) -> Ending:
        return DONE

    count = 10_000 if consumed else 40_000
    one = step(0)
    stream = Stream(itertools.repeat(one, count), perform=perform, limit=8)
    tracemalloc.start()
    try:
        if consumed:
            async with stream as outcomes:
                async for _ in outcomes:
                    pass
        else:
            await stream.drain()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 300_000
    assert stream.report.counts()[Status.DONE] == count
    assert len(stream.report) == 0


async def test_kept_errors_hold_no_tracebacks() -> None:
    def lost() -> E2EError:
        error = ConnectionLostError("gone", sent=True)
        try:
            raise error
        except E2EError:
            return OutcomeUnknownError("?", action="delete", target="1", last=error)

    report = await Stream(deletes(2), perform=Server(fail=nth(0, error=lost)), limit=2).drain()
    error = report[0].error
    assert isinstance(error, OutcomeUnknownError)
    assert error.last is not None
    assert [error.__traceback__, error.last.__traceback__, error.__context__] == [None] * 3


async def test_steps_that_never_wait_do_not_starve_the_loop() -> None:
    async def perform(step: Step, record: CallRecord) -> Ending:
        return DONE

    turns = 0

    async def watch() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    watcher = asyncio.create_task(watch())
    await Stream(itertools.repeat(step(0), 16_000), perform=perform, limit=1).drain()
    watcher.cancel()
    assert turns >= 16_000 / 100


# what a step can end as


def api(kind: type[Any], status: int, attempts: int) -> Any:
    return kind("no", status=status, attempts=attempts)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (api(NotFoundError, 404, 1), Status.FAILED),
        (api(RateLimitedError, 429, 4), Status.FAILED),
        (api(RateLimitedError, 429, 0), Status.SKIPPED),
        (DeadlineExceededError("late", attempts=0), Status.SKIPPED),
        (DeadlineExceededError("late", attempts=2), Status.FAILED),
        (SessionError("closed"), Status.SKIPPED),
        (OutcomeUnknownError("?", action="delete", target="1", attempts=1), Status.UNKNOWN),
        (UsageError("no"), Status.FAILED),
        (SkippedError("the journal"), Status.SKIPPED),
    ],
)
async def test_an_error_of_a_step_has_its_word(error: E2EError, status: Status) -> None:
    async def perform(step: Step, record: CallRecord) -> Ending:
        record.attempts = error.attempts
        raise error

    (outcome,) = await Stream(deletes(1), perform=perform).drain()
    assert outcome.status is status
    assert isinstance(outcome.error, SkippedError) == (status is Status.SKIPPED)
    assert outcome.attempts == error.attempts


async def test_a_closed_session_is_a_failure_once_something_was_sent() -> None:
    async def perform(step: Step, record: CallRecord) -> Ending:
        record.attempts = 1
        raise SessionError("closed")

    (outcome,) = await Stream(deletes(1), perform=perform).drain()
    assert outcome.status is Status.FAILED


async def test_a_step_without_change_sends_nothing() -> None:
    server = Server()
    plan = Plan(
        [
            attrs.evolve(Step.rename(1, "a"), index=0, previous="a"),
            attrs.evolve(Step.delete(2), index=1),
        ]
    )
    report = await Stream(plan, perform=server).drain()
    assert [outcome.status for outcome in report] == [Status.UNCHANGED, Status.DONE]
    assert [step.target for step in server.begun] == ["2"]


@pytest.mark.parametrize("on_error", ["collect", "stop"])
async def test_an_open_save_is_unknown_and_not_sent_and_no_reason_to_stop(on_error: Any) -> None:
    server = Server()
    steps = [attrs.evolve(Step.save(1, "a"), open=True), Step.save(2, "b")]
    report = await Stream(iter(steps), perform=server, limit=1, on_error=on_error).drain()
    assert [step.target for step in server.begun] == ["2"]
    (outcome,) = report
    assert outcome.status is Status.UNKNOWN
    assert isinstance(outcome.error, OutcomeUnknownError)
    assert (outcome.error.action, outcome.error.target) == ("save", "1")
    assert outcome.step.index == 0


async def test_the_saves_that_a_resumed_plan_brings_as_unknown_are_in_the_report() -> None:
    server = Server()
    unknown = attrs.evolve(Step.save(1, "a"), open=True, index=0)
    plan = Plan([attrs.evolve(Step.save(2, "b"), index=1)], unknown=[unknown])
    report = await Stream(plan, perform=server).drain()
    assert [outcome.status for outcome in report] == [Status.UNKNOWN, Status.DONE]
    assert len(server.begun) == 1


async def test_a_report_says_how_long_the_run_took() -> None:
    stream = Stream(deletes(4), perform=Server(0.01), limit=2)
    assert stream.report.elapsed == 0
    async with stream:
        await asyncio.sleep(0.001)
        assert stream.report.elapsed > 0
    assert 0.009 < stream.report.elapsed == stream.report.elapsed < 1


async def test_a_result_and_the_elapsed_time_are_in_the_outcome() -> None:
    (outcome,) = await Stream(deletes(1), perform=Server(0.01)).drain()
    assert outcome.attempts == 1
    assert 0.009 < outcome.elapsed < 1


# stop at the first failure


@pytest.mark.parametrize("kind", ["plan", "iterable", "async"])
async def test_stop_lets_nothing_new_start_after_the_first_failure(kind: str) -> None:
    pulled = 0

    def source() -> Iterator[Step]:
        nonlocal pulled
        for number in range(100):
            pulled += 1
            yield step(number)

    async def asource() -> AsyncIterator[Step]:
        for item in source():
            yield item

    steps: Any = {"plan": deletes(100), "iterable": source(), "async": asource()}[kind]
    server = Server(fail=nth(10))
    report = await Stream(steps, perform=server, limit=4, on_error="stop").drain()
    assert len(server.ended) == len(server.begun) <= 14
    counts = report.counts()
    assert counts[Status.FAILED] == 1
    assert counts[Status.DONE] == len(server.begun) - 1
    if kind == "plan":
        assert len(report) == 100
        assert counts[Status.SKIPPED] == 100 - len(server.begun)
        assert "step 10" in str(report[99].error)
    else:
        assert pulled == len(server.begun)


async def test_stop_counts_an_unknown_outcome_as_a_failure() -> None:
    def unknown() -> E2EError:
        return OutcomeUnknownError("?", action="delete", target="1")

    server = Server(fail=nth(0, error=unknown))
    report = await Stream(deletes(9), perform=server, limit=1, on_error="stop").drain()
    assert report.counts()[Status.SKIPPED] == 8


async def test_collect_goes_on_after_failures() -> None:
    report = await Stream(deletes(30), perform=Server(fail=nth(*range(0, 30, 2))), limit=4).drain()
    assert report.counts() == {**dict.fromkeys(Status, 0), Status.DONE: 15, Status.FAILED: 15}


# the user's iterables


async def test_a_generator_that_raises_ends_the_run_and_its_error_comes_out() -> None:
    def source() -> Iterator[Step]:
        yield from map(step, range(5))
        raise LookupError("no more")

    server = Server()
    stream = Stream(source(), perform=server, limit=3)
    with pytest.raises(LookupError, match="no more"):
        await stream.drain()
    assert stream.report.counts()[Status.DONE] == 5 == len(server.ended)


async def test_an_async_generator_that_raises_comes_out_of_the_iteration_after_what_was_in_flight() -> (
    None
):
    async def source() -> AsyncIterator[Step]:
        for number in range(5):
            yield step(number)
        raise LookupError("no more")

    seen = []
    with pytest.raises(LookupError, match="no more"):  # the block is what is tested
        async with Stream(source(), perform=Server(), limit=3) as outcomes:
            async for outcome in outcomes:
                seen.append(outcome)  # noqa: PERF401
    assert len(seen) == 5


@pytest.mark.parametrize("item", ["2292", None, attrs.evolve(step(1), after=(0,), index=1)])
async def test_an_item_that_cannot_be_streamed_is_a_usage_error_that_names_it(item: Any) -> None:
    server = Server()
    stream = Stream(iter([step(0), item, step(2)]), perform=server, limit=1)
    with pytest.raises(UsageError, match="item 2"):
        await stream.drain()
    assert len(server.ended) == 1


async def test_generators_are_closed_when_a_run_ends_early() -> None:
    closed = []

    def source() -> Iterator[Step]:
        try:
            yield from map(step, itertools.count())
        finally:
            closed.append("sync")

    async def asource() -> AsyncIterator[Step]:
        try:
            for item in map(step, itertools.count()):
                yield item
        finally:
            await asyncio.sleep(0)
            closed.append("async")

    for steps in (source(), asource()):
        async with Stream(steps, perform=Server(), limit=2) as outcomes:
            async for _ in outcomes:
                break
    assert closed == ["sync", "async"]


class Broken:
    """An iterable that cannot even begin."""

    def __iter__(self) -> Iterator[Step]:
        raise LookupError("no steps")


async def test_an_iterable_that_cannot_begin_is_an_error_at_once() -> None:
    with pytest.raises(LookupError, match="no steps"):
        await Stream(Broken(), perform=Server()).drain()
    stream = Stream(Broken(), perform=Server())
    with pytest.raises(LookupError, match="no steps"):
        await stream.__aenter__()
    assert [outcome async for outcome in stream] == []


@pytest.mark.parametrize("cancel", [False, True])
async def test_a_generator_that_fails_while_it_is_closed_is_not_passed_over(cancel: bool) -> None:
    async def source() -> AsyncIterator[Step]:
        try:
            yield step(0)
            yield step(1)
        finally:
            closing.set()
            if cancel:
                await asyncio.sleep(60)
            raise LookupError("not closed")

    async def run() -> None:
        async with stream as outcomes:
            async for _ in outcomes:
                break

    server = Server()
    closing = asyncio.Event()
    stream = Stream(source(), perform=server, limit=1)
    task = asyncio.create_task(run())
    await closing.wait()
    if cancel:
        task.cancel()
    with pytest.raises(asyncio.CancelledError if cancel else LookupError):
        await task
    assert stream.report.counts()[Status.DONE] == len(server.ended)


async def test_an_async_generator_is_asked_by_one_worker_at_a_time() -> None:
    async def source() -> AsyncIterator[Step]:
        for number in range(50):
            await asyncio.sleep(0)
            yield step(number)

    report = await Stream(source(), perform=Server(0), limit=16).drain()
    assert report.counts()[Status.DONE] == 50


@pytest.mark.parametrize("how", ["stop", "break", "deadline"])
async def test_an_iterable_that_never_answers_does_not_hold_up_the_end(how: str) -> None:
    async def source() -> AsyncIterator[Step]:
        yield step(0)
        await asyncio.Event().wait()

    stream = Stream(
        source(), perform=Server(), limit=4, deadline=0.6 if how == "deadline" else None
    )
    async with asyncio.timeout(SOON):
        async with stream as outcomes:
            async for _ in outcomes:
                if how == "stop":
                    outcomes.stop()
                elif how == "break":
                    break
    assert stream.report.counts()[Status.DONE] == 1


async def test_steps_pulled_but_not_started_are_skipped() -> None:
    def source() -> Iterator[Step]:
        for number in range(10):
            if number == 3:
                stream.stop()
            yield step(number)

    server = Server()
    stream = Stream(source(), perform=server, limit=1)
    report = await stream.drain()
    assert len(server.begun) == 3
    assert [(outcome.step.index, outcome.status) for outcome in report] == [(3, Status.SKIPPED)]


async def test_steps_of_two_plans_in_one_stream_are_numbered_by_their_place() -> None:
    async def perform(step: Step, record: CallRecord) -> Ending:
        record.attempts, record.open = 1, True
        raise OutcomeUnknownError("lost", action="rename", target=step.target)

    two = itertools.chain(Plan.rename({"1": "a"}), Plan.rename({"2": "b"}))
    report = await Stream(two, perform=perform).drain()
    assert [(outcome.step.index, outcome.step.target) for outcome in report] == [(0, "1"), (1, "2")]
    assert [step.target for step in report.remaining()] == ["1", "2"]
    settled = report.settle([attrs.evolve(report[0], status=Status.DONE, error=None)])
    assert settled.counts()[Status.UNKNOWN] == 1


async def test_what_was_drained_can_be_iterated_and_is_empty() -> None:
    async def perform(step: Step, record: CallRecord) -> Ending:
        return DONE

    stream = Stream(deletes(3), perform=perform)
    await stream.drain()
    async with asyncio.timeout(SOON):
        assert [outcome async for outcome in stream] == []


# ends


@pytest.mark.parametrize("how", ["stop", "break", "exception"])
async def test_leaving_early_lets_what_is_in_flight_end_and_nothing_new_start(how: str) -> None:
    server = Server(0.005)
    stream = Stream(deletes(50), perform=server, limit=4)
    begun = 0
    seen = 0
    try:
        async with stream as outcomes:
            async for _ in outcomes:
                seen += 1
                if seen < 5:
                    continue
                if begun:
                    continue
                begun = len(server.begun)
                if how == "stop":
                    stream.stop()
                elif how == "break":
                    break
                else:
                    raise ZeroDivisionError
    except ZeroDivisionError:
        assert how == "exception"
    assert begun == len(server.begun) == len(server.ended) < 20
    counts = stream.report.counts()
    assert (counts[Status.DONE], counts[Status.SKIPPED]) == (begun, 50 - begun)
    assert seen == (50 if how == "stop" else 5)


async def test_a_deadline_ends_the_run_with_a_true_report_in_time() -> None:
    async def perform(step: Step, record: CallRecord) -> Ending:
        number = int(step.target)
        if number == 1:
            return DONE
        record.attempts = 1
        record.open = number == 2
        record.last = ServerError("down", status=500, attempts=1) if number == 3 else None
        await asyncio.sleep(60)
        return DONE

    before = time.perf_counter()
    report = await Stream(deletes(6), perform=perform, limit=3, deadline=0.05).drain()
    assert 0.05 <= time.perf_counter() - before < SOON
    assert [outcome.status for outcome in report] == [
        Status.DONE, Status.UNKNOWN, Status.FAILED, Status.SKIPPED, Status.SKIPPED, Status.SKIPPED,
    ]  # fmt: skip
    assert isinstance(report[1].error, OutcomeUnknownError)
    assert isinstance(report[2].error, ServerError)
    assert "deadline" in str(report[1].error)
    assert "deadline" in str(report[5].error)


async def test_the_deadline_is_told_to_every_step() -> None:
    deadlines = []

    async def perform(step: Step, record: CallRecord) -> Ending:
        deadlines.append(record.orders.deadline)
        return DONE

    now = asyncio.get_running_loop().time()
    await Stream(deletes(2), perform=perform, deadline=5).drain()
    assert all(value is not None and now + 5 <= value < now + 6 for value in deadlines)


@pytest.mark.parametrize("kind", [ValueError, NotImplementedError])
async def test_an_exception_nobody_foresaw_comes_out_and_the_report_is_true(
    kind: type[Exception],
) -> None:
    server = Server(0.002)

    async def perform(step: Step, record: CallRecord) -> Ending:
        done = await server(step, record)
        if step.target == "5":
            record.open = True
            raise kind("a bug")
        return done

    stream = Stream(deletes(30), perform=perform, limit=3)
    with pytest.raises(kind, match="a bug"):
        await stream.drain()
    assert len(server.begun) == len(server.ended)
    assert stream.report[4].status is Status.UNKNOWN
    assert stream.report.counts()[Status.DONE] == len(server.begun) - 1
    assert len(stream.report) == 30


async def test_an_exception_nobody_foresaw_comes_out_of_a_stream_even_if_its_consumer_has_left() -> (
    None
):
    async def perform(step: Step, record: CallRecord) -> Ending:
        await asyncio.sleep(0 if step.target == "1" else 0.005)
        if step.target == "2":
            raise ValueError("a bug")
        return DONE

    with pytest.raises(ValueError, match="a bug"):  # the block is what is tested
        async with Stream(deletes(2), perform=perform, limit=2) as outcomes:
            async for _ in outcomes:
                break


async def test_what_a_user_raises_in_the_block_is_not_hidden_by_an_error_of_the_run() -> None:
    async def perform(step: Step, record: CallRecord) -> Ending:
        raise ValueError("a bug")

    with pytest.raises(ZeroDivisionError):  # the block is what is tested
        async with Stream(deletes(2), perform=perform):
            await asyncio.sleep(0.001)
            raise ZeroDivisionError


async def test_a_stream_runs_once_and_only_inside_its_block() -> None:
    stream = Stream(deletes(2), perform=Server())
    with pytest.raises(UsageError, match="async with"):
        await anext(stream)
    assert len(stream.report) == 0
    await stream.drain()
    with pytest.raises(UsageError, match="once"):
        await stream.drain()
    with pytest.raises(UsageError, match="once"):
        async with stream:
            pass


async def test_a_stream_stopped_before_it_starts_skips_everything() -> None:
    server = Server()
    stream = Stream(deletes(4), perform=server)
    stream.stop()
    report = await stream.drain()
    assert report.counts()[Status.SKIPPED] == 4
    assert not server.begun


async def test_nothing_to_do_is_done_at_once() -> None:
    empty: list[Step] = []
    for steps in (Plan(empty), empty):
        assert (await Stream(steps, perform=Server(), deadline=60).drain()).ok
        async with Stream(steps, perform=Server()) as outcomes:
            assert [outcome async for outcome in outcomes] == []


async def test_a_consumer_that_stops_waiting_loses_nothing() -> None:
    seen = []
    async with Stream(deletes(10), perform=Server(0.003), limit=1) as outcomes:
        while True:
            try:
                async with asyncio.timeout(0.001):
                    seen.append(await anext(outcomes))
            except TimeoutError:
                continue
            except StopAsyncIteration:
                break
    assert len(seen) == 10


# the brake


class Nap:
    """A clock whose sleeps are written down and short."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.asleep = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        self.asleep.set()
        await asyncio.sleep(0.001)

    @property
    def clock(self) -> Clock:
        return Clock(sleep=self.sleep, uniform=lambda low, high: high)


def down() -> ServerError:
    return ServerError("down", status=503, attempts=4)


async def test_in_an_outage_steps_start_one_at_a_time_until_one_is_answered() -> None:
    nap = Nap()
    server = Server(fail=nth(*range(10), error=down))
    report = await Stream(deletes(40), perform=server, limit=4, clock=nap.clock).drain()
    assert report.counts()[Status.FAILED] == 10
    assert report.counts()[Status.DONE] == 30
    # By the time that four had failed, three more were under way; then three more failed alone, and one was answered.
    assert nap.asked == [0.5, 1, 2, 4]
    assert server.most == 4


async def test_while_the_brake_is_on_only_one_step_is_in_flight() -> None:
    nap = Nap()
    alone: list[int] = []
    server = Server(fail=lambda _: down())

    async def perform(step: Step, record: CallRecord) -> Ending:
        if nap.asked:
            alone.append(server.in_flight)
        return await server(step, record)

    await Stream(deletes(20), perform=perform, limit=4, clock=nap.clock).drain()
    assert len(alone) == 20 - 7
    assert set(alone[3:]) == {0}  # what was under way already had to end first
    assert nap.asked[:8] == [0.5, 1, 2, 4, 8, 16, 20, 20]


async def test_a_refusal_is_an_answer_and_releases_the_brake() -> None:
    nap = Nap()

    def fail(step: Step) -> E2EError | None:
        return down() if int(step.target) <= 2 else conflict()

    await Stream(deletes(20), perform=Server(fail=fail), limit=2, clock=nap.clock).drain()
    assert len(nap.asked) == 1


async def test_a_late_answer_wakes_the_run_up() -> None:
    async def perform(step: Step, record: CallRecord) -> Ending:
        if step.target == "1":
            await asyncio.sleep(0.02)
            return DONE
        if int(step.target) <= 5:
            raise down()
        return DONE

    async def nap(_: float) -> None:
        await asyncio.sleep(30)

    async with asyncio.timeout(SOON):
        report = await Stream(deletes(20), perform=perform, limit=3, clock=Clock(sleep=nap)).drain()
    assert report.counts()[Status.DONE] == 16


@pytest.mark.parametrize("how", ["stop", "deadline", "cancel"])
async def test_the_brake_is_left_at_once(how: str) -> None:
    async def nap(_: float) -> None:
        await asyncio.sleep(30)

    server = Server(fail=lambda _: down())
    stream = Stream(
        deletes(20),
        perform=server,
        limit=3,
        clock=Clock(sleep=nap),
        deadline=0.6 if how == "deadline" else None,
    )
    run = asyncio.create_task(stream.drain())
    async with asyncio.timeout(SOON):
        while stream.report.counts()[Status.FAILED] < 5:
            await asyncio.sleep(0.001)
    before = time.perf_counter()
    if how == "stop":
        stream.stop()
    elif how == "cancel":
        run.cancel()
    try:
        await run
    except asyncio.CancelledError:
        assert how == "cancel"
    assert time.perf_counter() - before < SOON
    assert stream.report.counts()[Status.FAILED] == 5
    assert stream.report.counts()[Status.SKIPPED] == 15


async def test_steps_turned_away_by_a_pause_put_the_brake_on_too() -> None:
    nap = Nap()

    def paused() -> E2EError:
        return RateLimitedError("paused", status=429, attempts=0)

    async def perform(step: Step, record: CallRecord) -> Ending:
        if len(nap.asked) < 2:
            raise paused()
        return DONE

    report = await Stream(deletes(50), perform=perform, limit=4, clock=nap.clock).drain()
    assert report.counts()[Status.SKIPPED] == 5
    assert report.counts()[Status.DONE] == 45
