"""The engine against a store of images that refuses collisions: order, cycles, and true words however a run ends."""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import pickle
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import SOON

from aioe2e._clock import Clock
from aioe2e._record import CallRecord
from aioe2e.bulk import Ending, Plan, Report, Status, Step, Stream
from aioe2e.bulk.backpressure import Brake
from aioe2e.bulk.plan import remaining_plan
from aioe2e.bulk.step import StepRecord
from aioe2e.errors import (
    ConflictError,
    ConnectError,
    DeadlineExceededError,
    E2EError,
    OutcomeUnknownError,
    ServerError,
    SessionError,
    SkippedError,
)
from aioe2e.models import Action, ActionResult, SaveAction, SavedImage

#: What a run promises must not depend on how the loop starts its tasks.
LOOPS = ("asyncio", "eager tasks", "uvloop")

DONE = Ending(Status.DONE)


class Store:
    """Images by id, under names that are unique; a call waits at every place where a real one does."""

    def __init__(
        self,
        names: dict[str, str],
        *,
        refuse: Callable[[Step], bool] = lambda _: False,
        waits: int = 1,
    ) -> None:
        self.names = dict(names)
        self.refuse = refuse
        self.waits = waits
        self.collisions = 0
        self.in_flight = 0
        self.applied: list[tuple[str, str | None]] = []
        self.sent: list[tuple[str, str | None]] = []

    async def _wait(self) -> None:
        for _ in range(self.waits):
            await asyncio.sleep(0)

    async def __call__(self, step: Step, record: CallRecord) -> Ending:
        self.in_flight += 1
        try:
            return await self._call(step, record)
        finally:
            self.in_flight -= 1

    async def _call(self, step: Step, record: CallRecord) -> Ending:
        await self._wait()
        if int(step.target) % 3 == 0:  # a first attempt that surely did nothing
            record.attempts += 1
            if record.orders.before_send is not None:
                record.orders.before_send()
            record.last = ServerError("busy", status=503, attempts=record.attempts)
            await self._wait()
        record.attempts += 1
        if record.orders.before_send is not None:
            record.orders.before_send()
        self.sent.append((step.target, step.name))
        record.open = True
        await self._wait()
        refused = self.refuse(step)
        if not refused:
            self._apply(step)
        await self._wait()
        record.open = False
        if refused:
            raise ConflictError("the name is taken", status=409, attempts=record.attempts)
        return DONE

    def _apply(self, step: Step) -> None:
        self.applied.append((step.target, step.name))
        if step.action is Action.DELETE:
            del self.names[step.target]
        elif step.action is Action.RENAME:
            assert step.name is not None
            if step.name in self.names.values():
                self.collisions += 1
                raise AssertionError(f"{step} collides")
            self.names[step.target] = step.name


def images(names: dict[str, str]) -> list[SavedImage]:
    return [SavedImage(image_id=key, name=name) for key, name in names.items()]


def renames(before: dict[str, str], after: dict[str, str]) -> Plan:
    return Plan.rename(after, existing=images(before))


BEFORE = {"1": "a", "2": "b", "3": "c", "4": "d", "5": "e", "6": "f", "7": "g"}
#: A swap, a cycle of three, a chain.
MIXED = {"1": "b", "2": "a", "3": "d", "4": "e", "5": "c", "6": "g", "7": "h"}


def check_words(plan: Plan, report: Report, store: Store, before: dict[str, str]) -> None:
    """Each step is there once, and what is said of it is so."""
    assert [outcome.step for outcome in report] == list(plan)
    assert sum(report.counts().values()) == len(plan)
    for outcome in report:
        step = outcome.step
        applied = [name for target, name in store.applied if target == step.target]
        sent = [name for target, name in store.sent if target == step.target]
        assert outcome.ok == (outcome.error is None)
        if outcome.status is Status.DONE:
            assert applied[-1:] == [step.name]
        elif outcome.status is Status.SKIPPED:
            assert not sent
            assert isinstance(outcome.error, SkippedError)
        elif outcome.status is Status.FAILED:
            assert step.name not in applied or step.action is Action.DELETE
            assert bool(applied) == outcome.halfway
        elif outcome.status is Status.UNKNOWN:
            assert sent
            assert isinstance(outcome.error, OutcomeUnknownError)
        if outcome.halfway:
            assert store.names[step.target] in {step.via, step.name}
            assert applied[0] == step.via
            assert repr(step.via) in str(outcome.error)
    assert store.collisions == 0
    assert store.in_flight == 0


# order


@pytest.mark.parametrize("limit", [1, 2, 16])
async def test_chains_swaps_and_cycles_end_right_and_no_request_collides(limit: int) -> None:
    store = Store(BEFORE)
    plan = renames(BEFORE, MIXED)
    report = await Stream(plan, perform=store, limit=limit).drain()
    assert report.ok
    assert store.names == MIXED
    check_words(plan, report, store, BEFORE)
    halves = [outcome for outcome in report if outcome.step.via is not None]
    assert len(halves) == 2
    assert all(outcome.attempts >= 2 for outcome in halves)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_renaming_ends_right_whatever_the_limit(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    before = {str(number + 1): f"n{number}" for number in range(count)}
    renamed = data.draw(st.lists(st.sampled_from(sorted(before)), unique=True, min_size=1))
    names = data.draw(st.permutations([*(before[key] for key in renamed), "x", "y"]))
    after = dict(zip(renamed, names, strict=False))
    store = Store(before)
    plan = renames(before, after)
    report = asyncio.run(Stream(plan, perform=store, limit=data.draw(st.integers(1, 5))).drain())
    assert report.ok
    assert store.names == before | after


async def test_steps_that_wait_hold_no_worker_up() -> None:
    before = {"1": "a", "2": "b"} | {str(number): f"n{number}" for number in range(3, 20)}
    after = {"1": "b", "2": "c"} | {str(number): f"m{number}" for number in range(3, 20)}
    started: list[str] = []

    async def perform(step: Step, record: CallRecord) -> Ending:
        started.append(step.target)
        await asyncio.sleep(0)
        while step.target == "2" and len(started) < 18:  # all but "1", which waits for it
            await asyncio.sleep(0)
        return DONE

    await Stream(renames(before, after), perform=perform, limit=2).drain()
    assert started[0] == "2"
    assert started[-1] == "1"


async def test_a_step_after_a_failed_one_is_skipped_with_that_reason_and_so_are_those_after_it() -> (
    None
):
    before = {"1": "a", "2": "b", "3": "c"}
    store = Store(before, refuse=lambda step: step.target == "3")
    plan = renames(before, {"1": "b", "2": "c", "3": "d"})
    report = await Stream(plan, perform=store).drain()
    assert [outcome.status for outcome in report] == [Status.SKIPPED, Status.SKIPPED, Status.FAILED]
    assert "step 1 (rename 2 to 'c')" in str(report[0].error)
    assert "step 2 (rename 3 to 'd')" in str(report[1].error)
    check_words(plan, report, store, before)


async def test_when_a_cycle_cannot_be_opened_all_of_it_is_skipped() -> None:
    before = {"1": "a", "2": "b", "3": "c"}
    plan = renames(before, {"1": "b", "2": "c", "3": "a"})
    opener = next(step for step in plan if step.via is not None)
    store = Store(before, refuse=lambda step: step.name == opener.via)
    report = await Stream(plan, perform=store).drain()
    assert report.counts() == {**dict.fromkeys(Status, 0), Status.FAILED: 1, Status.SKIPPED: 2}
    assert not any(outcome.halfway for outcome in report)
    check_words(plan, report, store, before)


@pytest.mark.parametrize("who", ["opener", "other"])
async def test_a_cycle_that_breaks_off_says_which_image_carries_the_temporary_name(
    who: str,
) -> None:
    before = {"1": "a", "2": "b"}
    plan = renames(before, {"1": "b", "2": "a"})
    opener = next(step for step in plan if step.via is not None)
    store = Store(
        before,
        refuse=lambda step: (
            step.name == opener.name if who == "opener" else step.target != opener.target
        ),
    )
    report = await Stream(plan, perform=store).drain()
    (broken,) = (outcome for outcome in report if outcome.step is opener)
    assert broken.status is Status.FAILED
    assert broken.halfway
    assert store.names[opener.target] == opener.via
    check_words(plan, report, store, before)


async def test_a_second_half_that_may_be_applied_is_unknown_and_says_both_names() -> None:
    before = {"1": "a", "2": "b"}
    plan = renames(before, {"1": "b", "2": "a"})
    opener = next(step for step in plan if step.via is not None)

    async def perform(step: Step, record: CallRecord) -> Ending:
        record.attempts = 1
        if step.target == opener.target and step.name == opener.name:
            raise OutcomeUnknownError("?", action="rename", target=step.target, attempts=1)
        return DONE

    report = await Stream(plan, perform=perform).drain()
    (broken,) = (outcome for outcome in report if outcome.step is opener)
    assert broken.status is Status.UNKNOWN
    assert broken.attempts == 2
    assert repr(opener.via) in str(broken.error)
    assert repr(opener.name) in str(broken.error)


async def test_the_halves_of_a_step_say_what_the_image_is_called_at_the_time() -> None:
    before = {"1": "a", "2": "b"}
    plan = renames(before, {"1": "b", "2": "a"})
    opener = next(step for step in plan if step.via is not None)
    seen: list[Step] = []

    async def perform(step: Step, record: CallRecord) -> Ending:
        seen.append(step)
        return DONE

    await Stream(plan, perform=perform).drain()
    first, second = (step for step in seen if step.target == opener.target)
    assert (first.previous, first.name, first.via) == (opener.previous, opener.via, None)
    assert (second.previous, second.name, second.via) == (opener.via, opener.name, None)


async def test_a_first_half_under_way_ends_though_its_second_cannot_run_any_more() -> None:
    steps = [
        attrs.evolve(Step.rename(1, "b"), index=0, previous="a", via="tmp", after=(1,)),
        attrs.evolve(Step.rename(2, "c"), index=1, previous="b"),
        attrs.evolve(Step.rename(4, "a"), index=2, previous="d", after=(0,)),
    ]
    before = {"1": "a", "2": "b", "4": "d"}
    store = Store(before)

    async def perform(step: Step, record: CallRecord) -> Ending:
        if step.target == "2":
            raise ConflictError("in use", status=409, attempts=1)
        return await store(step, record)

    report = await Stream(Plan(steps), perform=perform, limit=2).drain()
    assert [outcome.status for outcome in report] == [Status.FAILED, Status.FAILED, Status.DONE]
    assert report[0].halfway
    assert "'tmp'" in str(report[0].error)
    assert "step 1" in str(report[0].error)
    assert store.names == {"1": "tmp", "2": "b", "4": "a"}


async def test_a_second_half_follows_at_once_when_nothing_holds_it_up_any_more() -> None:
    steps = [
        attrs.evolve(Step.rename(3, "b"), index=0, previous="a", via="tmp", after=(1,)),
        attrs.evolve(Step.delete(2), index=1),
    ]
    store = Store({"3": "a", "2": "b"})
    report = await Stream(Plan(steps), perform=store, limit=2).drain()
    assert report.ok
    assert store.names == {"3": "b"}
    assert store.applied[0] == ("2", None)


async def test_a_step_after_two_failed_ones_is_skipped_once() -> None:
    steps = [
        attrs.evolve(Step.delete(1), index=0),
        attrs.evolve(Step.delete(2), index=1),
        attrs.evolve(Step.rename(4, "a"), index=2, after=(0, 1)),
    ]
    report = await Stream(Plan(steps), perform=Store({}, refuse=lambda _: True), limit=2).drain()
    assert [outcome.status for outcome in report] == [Status.FAILED, Status.FAILED, Status.SKIPPED]


async def test_the_limit_is_reached_again_after_a_worker_had_nothing_to_do() -> None:
    steps = [
        attrs.evolve(Step.delete(1), index=0),
        attrs.evolve(Step.delete(2), index=1),
        attrs.evolve(Step.delete(3), index=2, after=(1,)),
        attrs.evolve(Step.delete(4), index=3, after=(1,)),
    ]
    go = asyncio.Event()
    in_flight = most = 0

    async def perform(step: Step, record: CallRecord) -> Ending:
        nonlocal in_flight, most
        if step.index in {0, 1}:
            await go.wait()
            return DONE
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0.005)
        in_flight -= 1
        return DONE

    task = asyncio.create_task(Stream(Plan(steps), perform=perform, limit=2).drain())
    await asyncio.sleep(0.005)
    go.set()
    assert (await task).ok
    assert most == 2


async def test_a_cycle_that_cannot_begin_any_more_is_skipped_whole() -> None:
    steps = [
        attrs.evolve(Step.delete(9), index=0),
        attrs.evolve(Step.rename(1, "b"), index=1, previous="a", via="tmp", after=(0,)),
        attrs.evolve(Step.rename(2, "a"), index=2, previous="b", after=(1,)),
        attrs.evolve(Step.delete(8), index=3),
    ]
    store = Store({"1": "a", "2": "b", "8": "x", "9": "y"}, refuse=lambda step: step.target == "9")
    report = await Stream(Plan(steps), perform=store, limit=1).drain()
    assert [outcome.status for outcome in report] == [
        Status.FAILED,
        Status.SKIPPED,
        Status.SKIPPED,
        Status.DONE,
    ]


def at_random(dice: random.Random, _: Step) -> bool:
    return dice.random() < 0.3


async def test_random_refusals_leave_a_true_report() -> None:
    for seed in range(40):
        dice = random.Random(seed)
        store = Store(BEFORE, refuse=functools.partial(at_random, dice))
        plan = renames(BEFORE, MIXED)
        report = await Stream(plan, perform=store, limit=dice.choice([1, 3, 16])).drain()
        check_words(plan, report, store, BEFORE)


# cancelled at every point


def _plan() -> Plan:
    return renames(BEFORE, MIXED)


async def _drained(stream: Stream) -> None:
    await stream.drain()


async def _taken(stream: Stream) -> None:
    async with stream as outcomes:
        async for _ in outcomes:
            await asyncio.sleep(0)


@pytest.mark.parametrize("run", [_drained, _taken])
@pytest.mark.parametrize("limit", [1, 3, 16])
@pytest.mark.parametrize("again", [0, 1, 2])
async def test_a_plan_cancelled_at_any_point_has_a_true_word_for_every_step(
    run: Any, limit: int, again: int
) -> None:
    plan = _plan()
    for turns in range(400):
        store = Store(BEFORE)
        stream = Stream(plan, perform=store, limit=limit, deadline=60)
        task = asyncio.create_task(run(stream))
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.done():
            break
        task.cancel()
        for _ in range(again):
            await asyncio.sleep(0)
            task.cancel()
        async with asyncio.timeout(SOON):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        if turns:
            check_words(plan, stream.report, store, BEFORE)
    else:
        pytest.fail("the run does not end")
    assert turns > 10
    assert store.names == MIXED


@pytest.mark.parametrize("run", [_drained, _taken])
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("how", ["cancel", "stop"])
async def test_an_iterable_cut_short_at_any_point_has_a_true_word_for_every_step_pulled(
    run: Any, kind: str, how: str
) -> None:
    count = 12
    before = {str(number + 1): str(number) for number in range(count)}

    for turns in range(400):
        pulled = 0
        closed = 0

        def source() -> Generator[Step, None, None]:
            nonlocal pulled, closed
            try:
                for number in range(count):
                    pulled += 1
                    yield Step.delete(number + 1)
            finally:
                closed += 1

        async def asource() -> AsyncIterator[Step]:
            steps = source()
            try:
                for step in steps:
                    yield step
                    await asyncio.sleep(0)
            finally:
                steps.close()

        store = Store(before)
        stream = Stream(source() if kind == "sync" else asource(), perform=store, limit=3)
        task = asyncio.create_task(run(stream))
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.done():
            break
        if how == "cancel":
            task.cancel()
        else:
            stream.stop()
        async with asyncio.timeout(SOON):
            if how == "cancel":
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                await task
        counts = stream.report.counts()
        gone = len(store.applied)
        assert sum(counts.values()) == pulled
        assert counts[Status.DONE] <= gone <= counts[Status.DONE] + counts[Status.UNKNOWN]
        assert closed == (pulled > 0)
        if how == "stop":
            assert counts[Status.UNKNOWN] == 0 == counts[Status.FAILED]
        assert asyncio.all_tasks() == {asyncio.current_task()}
    else:
        pytest.fail("the run does not end")
    assert turns > 10


@pytest.mark.parametrize("how", ["deadline", "stop"])
async def test_a_plan_ended_at_any_point_has_a_true_word_for_every_step(how: str) -> None:
    plan = _plan()
    for turns in range(400):
        store = Store(BEFORE)
        stream = Stream(plan, perform=store, limit=3)
        task = asyncio.create_task(stream.drain())
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.done():
            break
        if how == "stop":
            stream.stop()
        else:
            stream._engine.cancel("the deadline of the run is over")
        async with asyncio.timeout(SOON):
            report = await task
        check_words(plan, report, store, BEFORE)
        if how == "stop":
            assert not report.where(Status.UNKNOWN)
    assert turns > 10


async def test_a_timeout_around_a_run_is_a_timeout_and_no_cancellation() -> None:
    store = Store(BEFORE, waits=10_000)
    stream = Stream(_plan(), perform=store)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await stream.drain()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    check_words(_plan(), stream.report, store, BEFORE)


async def test_a_cancellation_while_leaving_cuts_what_is_in_flight() -> None:
    store = Store(BEFORE, waits=100_000)
    stream = Stream(_plan(), perform=store)

    async def run() -> None:
        async with stream:
            await asyncio.sleep(0.005)

    task = asyncio.create_task(run())
    await asyncio.sleep(0.02)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    check_words(_plan(), stream.report, store, BEFORE)


async def test_cancelling_again_during_the_clean_up_loses_nothing() -> None:
    async def perform(step: Step, record: CallRecord) -> Ending:
        record.attempts = 1
        record.open = True
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.02)  # a connection on its way down
        return DONE

    for run in (_drained, _taken):
        stream = Stream(Plan.delete([1, 2, 3]), perform=perform, limit=2)
        task = asyncio.create_task(run(stream))
        for _ in range(4):
            await asyncio.sleep(0.004)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [outcome.status for outcome in stream.report] == [
            Status.UNKNOWN,
            Status.UNKNOWN,
            Status.SKIPPED,
        ]
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_perform_that_finishes_in_spite_of_the_cancellation_is_done() -> None:
    async def perform(step: Step, record: CallRecord) -> Ending:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return DONE
        raise AssertionError

    stream = Stream(Plan.delete([1, 2]), perform=perform, deadline=0.1)
    assert (await stream.drain()).counts()[Status.DONE] == 2


@pytest.mark.parametrize("turns", [1, 2, 3, 50])
async def test_somebody_who_cancels_every_task_ends_the_run_with_a_true_report(turns: int) -> None:
    store = Store(BEFORE, waits=1000)
    stream = Stream(_plan(), perform=store, limit=2)
    task = asyncio.create_task(stream.drain())
    for _ in range(turns):
        await asyncio.sleep(0)
    for other in asyncio.all_tasks() - {asyncio.current_task(), task}:
        other.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    check_words(_plan(), stream.report, store, BEFORE)


def test_a_keyboard_interrupt_in_a_step_comes_out_and_leaves_nothing_behind() -> None:
    store = Store({"1": "a", "2": "b"}, waits=5)
    stream: list[Stream] = []

    async def perform(step: Step, record: CallRecord) -> Ending:
        if step.target == "2":
            raise KeyboardInterrupt
        return await store(step, record)

    async def main() -> None:
        stream.append(Stream(Plan.delete([1, 2, 3]), perform=perform, limit=2))
        await stream[0].drain()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    gc.collect()
    assert len(stream[0].report) == 3
    assert stream[0].report.counts()[Status.DONE] == 0


# the journal


async def test_a_journal_has_a_line_before_each_write_and_one_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    plan = _plan()
    store = Store(BEFORE, refuse=lambda step: step.name == "h")
    stream = Stream(plan, perform=store, journal=path, limit=3)
    report = await stream.drain()
    check_words(plan, report, store, BEFORE)
    lines = [json.loads(line) for line in path.read_text().splitlines()][1:]
    sent = [(line["sent"], line.get("half", 1)) for line in lines if "sent" in line]
    assert len(sent) == len(set(sent)) == len(set(store.sent))
    ended = {line["ended"]: line["status"] for line in lines if "ended" in line}
    assert ended == {o.step.index: o.status.value for o in report if o.status is not Status.SKIPPED}


async def test_a_run_cancelled_anywhere_is_finished_from_its_journal(tmp_path: Path) -> None:
    for turns in range(1, 100, 3):
        path = tmp_path / str(turns)
        store = Store(BEFORE)
        task = asyncio.create_task(Stream(_plan(), perform=store, limit=3, journal=path).drain())
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.done():
            break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        left = Plan.resume(path)

        async def again(step: Step, record: CallRecord, store: Store = store) -> Ending:
            if (
                store.names[step.target] == step.name
            ):  # to give an image the name that it has is harmless
                return DONE
            return await store(step, record)

        report = await Stream(left, perform=again, limit=3, journal=path).drain()
        assert report.ok, str(report)
        assert store.names == MIXED
        assert len(Plan.resume(path)) == 0


async def test_a_journal_that_cannot_be_written_stops_the_run_and_the_report_says_so(
    tmp_path: Path,
) -> None:
    store = Store({str(number): str(number) for number in range(1, 30)})

    def full(*_: object) -> None:
        raise SkippedError("the journal cannot be written: no space left")

    async def through_the_journal(step: Step, record: CallRecord) -> Ending:
        if step.target == "10":
            journal = stream._engine._journal
            assert journal is not None
            journal.sent = full  # type: ignore[assignment,method-assign]  # a full disk
        return await store(step, record)

    stream = Stream(
        Plan.delete(range(1, 30)), perform=through_the_journal, limit=2, journal=tmp_path / "k"
    )
    report = await stream.drain()
    assert len(report) == 29
    counts = report.counts()
    assert counts[Status.DONE] == len(store.applied) <= 10
    assert counts[Status.SKIPPED] == 29 - counts[Status.DONE]
    assert "no space left" in str(report[28].error)


async def test_a_journal_that_cannot_be_opened_is_an_error_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    store = Store({"1": "a"})
    stream = Stream(Plan.delete([1]), perform=store, journal=tmp_path / "no" / "such" / "folder")
    with pytest.raises(E2EError):
        await stream.drain()
    assert not store.sent
    assert [outcome async for outcome in stream] == []


async def test_a_brake_that_is_let_go_and_on_again_in_one_turn_cancels_nobody() -> None:
    brake = Brake(1, asyncio.sleep, lambda _low, _high: 0.05)
    brake.failed()
    waiting = asyncio.create_task(brake.turn())
    await asyncio.sleep(0.01)
    brake.answered()
    brake.failed()  # before the sleeper has had its turn
    assert await waiting is True
    brake.give_back()


class Whim(BaseException):
    """What a hook or a signal handler may raise."""


@pytest.mark.parametrize("error", [KeyError("not foreseen"), Whim("not even an Exception")])
async def test_a_write_that_the_server_carried_out_stays_done_whatever_is_raised_after_it(
    error: BaseException,
) -> None:
    async def perform(_: Step, record: CallRecord) -> Ending:
        record.attempts, record.done = 1, True
        raise error

    for plan, result in (
        (Plan.save({"1": "a"}), SaveAction(node_id="1", name="a")),
        (Plan.delete(["1"]), ActionResult()),
    ):
        stream = Stream(plan, perform=perform)
        with pytest.raises(type(error)):
            await stream.drain()
        (outcome,) = stream.report
        assert (outcome.status, outcome.result, outcome.attempts) == (Status.DONE, result, 1)
        assert not stream.report.remaining().steps


# the end of a long run


async def stuck(step: Step, record: CallRecord) -> Ending:
    record.attempts, record.sent, record.open = 1, True, True
    await asyncio.sleep(3600)
    raise AssertionError(step)


@pytest.mark.parametrize("how", ["deadline", "stop", "cancel"])
async def test_a_run_of_50000_steps_ends_without_going_through_all_of_them(how: str) -> None:
    begun = 0
    all_begun = asyncio.Event()

    async def perform(step: Step, record: CallRecord) -> Ending:
        nonlocal begun
        begun += 1
        if begun == 8:
            all_begun.set()
        return await stuck(step, record)

    stream = Stream(Plan.delete(range(1, 50_001)), perform=perform, limit=8)
    task = asyncio.create_task(stream.drain())
    await all_begun.wait()
    await asyncio.sleep(0)  # the last of them is under way
    before = time.process_time()
    if how == "deadline":
        stream._engine.cancel("the deadline of the run is over")
    elif how == "cancel":
        task.cancel()
    else:
        stream.stop()
        for worker in stream._engine._workers:
            worker.cancel()
    await asyncio.wait([task])
    report = stream.report
    assert report.counts()[Status.SKIPPED] == 49_992
    assert report.counts()[Status.UNKNOWN] == len(report) - 49_992 == 8
    assert not report.ok
    ended = time.process_time()
    assert len(report.outcomes) == 50_000
    through_all = time.process_time() - ended
    assert ended - before < through_all / 2
    assert all(outcome.error for outcome in report)
    assert [outcome.step.index for outcome in report] == list(range(50_000))


async def test_a_consumer_gets_the_outcomes_of_steps_that_never_began_one_by_one() -> None:
    plan = Plan.delete(range(1, 1001))
    async with Stream(plan, perform=stuck, limit=4, deadline=0.1) as outcomes:
        taken = [outcome async for outcome in outcomes]
    assert {outcome.step.target for outcome in taken} == {step.target for step in plan}
    assert Counter(outcome.status for outcome in taken) == {Status.UNKNOWN: 4, Status.SKIPPED: 996}
    assert {outcome.step.index: outcome.status for outcome in taken} == {
        outcome.step.index: outcome.status for outcome in outcomes.report
    }


def test_a_report_with_steps_that_never_began_survives_pickle() -> None:
    async def cut_short() -> Report:
        return await Stream(Plan.delete(range(1, 9)), perform=stuck, limit=2, deadline=0.1).drain()

    report = asyncio.run(cut_short())
    again = pickle.loads(pickle.dumps(report))
    assert [(o.step, o.status) for o in again] == [(o.step, o.status) for o in report]
    assert again.counts() == report.counts()


async def test_a_swap_that_the_deadline_caught_between_its_halves_is_failed_and_can_go_on() -> None:
    a, b = SavedImage(image_id="1", name="a"), SavedImage(image_id="2", name="b")
    plan = Plan.rename([(a, "b"), (b, "a")])

    async def perform(step: Step, record: CallRecord) -> Ending:
        if step.name is not None and step.name.startswith("aioe2e-tmp-"):
            record.attempts = 1
            return DONE
        return await stuck(step, record)

    report = await Stream(plan, perform=perform, limit=1, deadline=0.1).drain()
    (half,) = report.where(Status.FAILED)
    assert half.halfway
    assert half.attempts == 1
    assert "carries the temporary name" in str(half.error)
    assert {step.index for step in report.remaining()} == {0, 1}


async def test_what_the_deadline_came_too_early_for_is_skipped_and_not_failed(
    tmp_path: Path,
) -> None:
    async def late(step: Step, record: CallRecord) -> Ending:
        record.attempts = 1
        last = ConnectError("no connection in the time for one attempt", sent=False)
        raise DeadlineExceededError("not done in time", attempts=1, last=last)

    plan = Plan.delete(range(1, 100))
    # Opening the journal takes longer than that.
    stream = Stream(plan, perform=late, limit=8, deadline=1e-9, journal=tmp_path / "j")
    report = await stream.drain()
    assert report.counts()[Status.SKIPPED] == 99
    assert "the deadline of the run (1e-09 s) is over" in str(report[0].error)
    assert len(report.remaining()) == len(Plan.resume(tmp_path / "j")) == 99


async def test_what_was_sent_and_refused_before_the_deadline_is_failed() -> None:
    now = 0.0

    async def late(step: Step, record: CallRecord) -> Ending:
        nonlocal now
        record.attempts, record.sent = 1, True
        now = 61.0
        raise ServerError("no", status=503, attempts=1)

    clock = Clock(now=lambda: now)
    report = await Stream(Plan.delete(["1"]), perform=late, deadline=60, clock=clock).drain()
    assert report.counts()[Status.FAILED] == 1


async def test_a_closed_session_ends_a_run_at_once() -> None:
    asked = 0

    async def perform(step: Step, record: CallRecord) -> Ending:
        nonlocal asked
        asked += 1
        raise SessionError("this session is closed: build a new one")

    report = await Stream(Plan.delete(range(1, 1001)), perform=perform, limit=3).drain()
    assert asked <= 3
    assert report.counts()[Status.SKIPPED] == 1000
    assert "closed" in str(report[999].error)
    assert len(report.remaining()) == 1000


async def test_a_loop_of_runs_that_have_nothing_to_send_can_be_cancelled() -> None:
    save = Plan.save({"1": "a"})
    left = remaining_plan(save, {0: StepRecord(Status.UNKNOWN)})

    async def forever() -> None:
        plan = left
        while plan:  # it stays true: the save is in doubt
            plan = (await Stream(plan, perform=stuck).drain()).remaining()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(forever(), 0.02)
