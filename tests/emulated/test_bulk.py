"""Bulk runs over a real socket: what is counted at the server, and what the account looks like afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from patience import SOON

import aioe2e
from aioe2e import (
    BulkError,
    ConflictError,
    Limits,
    NotFoundError,
    Plan,
    Progress,
    Report,
    RetryPolicy,
    SkippedError,
    Status,
    Step,
    Timeouts,
)
from aioe2e.testing import Call, FakeE2E, Fault, Faults

FULL = os.environ.get("AIOE2E_CHAOS") == "full"
EXAMPLES = 300 if FULL else 15
QUICK = RetryPolicy(base=0.002, cap=0.01, look=0.3)
WIDE = Limits(in_flight=64, retry_budget=10_000)
T = TypeVar("T")


def session_of(fake: FakeE2E, **options: Any) -> aioe2e.Session:
    return fake.session(
        **{"retry": QUICK, "limits": WIDE, "timeouts": Timeouts(attempt=5.0, total=20.0)} | options
    )


def unused(count: int) -> list[dict[str, Any]]:
    """Images that nothing uses, so that they may be deleted."""
    return [
        {"image_id": str(n), "name": f"n{n}", "image_state": "Ready"} for n in range(1, count + 1)
    ]


def names(fake: FakeE2E) -> dict[str, str]:
    return {image_id: str(image["name"]) for image_id, image in fake.images.items()}


# The limit, counted at the server


async def reach(limit: int, run: Callable[[float], Awaitable[FakeE2E]]) -> None:
    """Let runs against ever slower servers show that so many requests meet there, and never more."""
    met = [0]
    for factor in (1, 4, 16):  # for a calm machine, for a busy one, for a very busy one
        if max(met) < limit:
            fake = await run(factor * (0.01 + limit / 500))
            met.append(fake.max_in_flight)
    assert max(met) == limit


@pytest.mark.parametrize("limit", [1, 2, 7, 16, 64])
async def test_the_limit_is_reached_and_never_passed(limit: int) -> None:
    async def run(latency: float) -> FakeE2E:
        images = unused(5 * limit)
        async with FakeE2E(images=images, latency=latency) as fake, session_of(fake) as session:
            report = await session.images.bulk_delete(list(fake.images), limit=limit)
            assert report.ok
            assert not fake.images
        return fake

    await reach(limit, run)


@pytest.mark.parametrize("limit", [1, 3, 16, 64])
async def test_the_limit_is_not_passed_when_every_third_request_meets_a_fault(limit: int) -> None:
    kinds = ("reset", "close", "502-html", "504-json", "html-200", "json-truncated", "partial-body")

    async def run(latency: float) -> FakeE2E:
        images = unused(5 * limit + 20)
        async with FakeE2E(images=images, latency=latency) as fake, session_of(fake) as session:
            fake.faults = Faults.random(0.33, seed=limit, kinds=kinds)
            report = await session.images.bulk_delete(list(fake.images), limit=limit)
            fake.faults = None
            again = await session.images.run(report.remaining(), missing_ok=True)
            assert again.ok
            await fake.settle()
            assert not fake.images
        return fake

    await reach(limit, run)


async def test_the_sessions_limit_stands_above_that_of_its_runs() -> None:
    async def run(latency: float) -> FakeE2E:
        async with (
            FakeE2E(images=unused(90), latency=latency) as fake,
            session_of(fake, limits=Limits(in_flight=5)) as session,
        ):
            plans = [Plan.delete(list(fake.images)[start::3]) for start in range(3)]
            reports = await asyncio.gather(*(session.images.run(plan, limit=4) for plan in plans))
            assert all(report.ok for report in reports)
        return fake

    await reach(5, run)


# What a bulk call takes


def as_mapping(pairs: list[tuple[str, str]]) -> object:
    return dict(pairs)


def as_list(pairs: list[tuple[str, str]]) -> object:
    return pairs


def as_generator(pairs: list[tuple[str, str]]) -> object:
    return (pair for pair in pairs)


async def as_async_generator(pairs: list[tuple[str, str]]) -> AsyncIterator[tuple[str, str]]:
    for pair in pairs:
        await asyncio.sleep(0)
        yield pair


def as_pairs(found: Any) -> list[tuple[str, str]]:
    return [*found.items()] if isinstance(found, dict) else [*found]


SHAPES: list[Callable[[list[tuple[str, str]]], Any]] = [
    as_mapping,
    as_list,
    as_generator,
    as_async_generator,
]


@pytest.mark.parametrize("shape", SHAPES)
async def test_bulk_rename_takes(shape: Callable[[list[tuple[str, str]]], Any]) -> None:
    async with FakeE2E(images=unused(30)) as fake, session_of(fake) as session:
        wanted = {image_id: f"new-{image_id}" for image_id in fake.images}
        report = await session.images.bulk_rename(shape([*wanted.items()]), limit=8)
        assert report.counts()[Status.DONE] == 30
        assert names(fake) == wanted
        assert len(report) == (30 if shape in (as_mapping, as_list) else 0)


@pytest.mark.parametrize("shape", SHAPES)
async def test_bulk_save_takes(shape: Callable[[list[tuple[str, str]]], Any]) -> None:
    async with FakeE2E(images=0, nodes=20) as fake, session_of(fake) as session:
        report = await session.images.bulk_save(
            shape([(node, f"of-{node}") for node in fake.nodes]), limit=8
        )
        assert report.counts()[Status.DONE] == 20
        assert sorted(line.target for line in fake.ledger) == sorted(fake.nodes)
        assert sorted(names(fake).values()) == sorted(f"of-{node}" for node in fake.nodes)


@pytest.mark.parametrize("shape", SHAPES)
async def test_bulk_delete_takes(shape: Callable[[list[tuple[str, str]]], Any]) -> None:
    async def firsts(pairs: AsyncIterator[tuple[str, str]]) -> AsyncIterator[str]:
        async for first, _ in pairs:
            yield first

    async with FakeE2E(images=unused(30)) as fake, session_of(fake) as session:
        found = shape([(image_id, "") for image_id in fake.images])
        if shape is as_async_generator:
            ids: Any = firsts(found)
        else:
            ids = (
                (first for first, _ in found)
                if shape is as_generator
                else [first for first, _ in as_pairs(found)]
            )
        report = await session.images.bulk_delete(ids, limit=8)
        assert report.counts()[Status.DONE] == 30
        assert not fake.images


async def test_saved_actions_of_a_run_can_be_waited_for() -> None:
    async with FakeE2E(images=0, nodes=6, save_seconds=0.05) as fake, session_of(fake) as session:
        report = await session.images.bulk_save({node: f"of-{node}" for node in fake.nodes})
        actions = [outcome.result for outcome in report.where(Status.DONE)]
        waits = (
            session.images.wait_saved(a, interval=0.02)
            for a in actions
            if isinstance(a, aioe2e.SaveAction)
        )
        images = await asyncio.gather(*waits)
        made = {line.target: line.image_id for line in fake.ledger}
        assert {image.name: image.image_id for image in images} == {
            f"of-{n}": i for n, i in made.items()
        }


# Options


async def test_an_absent_image_is_failed_or_with_missing_ok_unchanged() -> None:
    async with FakeE2E(images=unused(4)) as fake, session_of(fake) as session:
        strict = await session.images.bulk_delete(["1", "900", "2"])
        assert [outcome.status for outcome in strict] == [Status.DONE, Status.FAILED, Status.DONE]
        assert isinstance(strict[1].error, NotFoundError)
        lenient = await session.images.bulk_delete(["3", "900", "4"], missing_ok=True)
        assert [outcome.status for outcome in lenient] == [
            Status.DONE,
            Status.UNCHANGED,
            Status.DONE,
        ]
        assert lenient.ok


async def test_after_a_failure_with_on_error_stop_nothing_new_starts() -> None:
    async with FakeE2E(images=unused(200), latency=0.005) as fake, session_of(fake) as session:
        fake.faults = Faults.on("delete", "412-json", target="20")
        report = await session.images.bulk_delete(list(fake.images), limit=4, on_error="stop")
        counts = report.counts()
        assert len(report) == 200
        assert counts[Status.FAILED] == 1
        assert 19 <= counts[Status.DONE] <= 26
        assert {o.step.target for o in report.where(Status.DONE)} == {
            line.target for line in fake.ledger
        }
        assert all(isinstance(o.error, SkippedError) for o in report.where(Status.SKIPPED))
        with pytest.raises(BulkError) as caught:
            report.raise_for_errors()
        assert len(caught.value.exceptions) == 200 - counts[Status.DONE]


async def test_at_the_deadline_the_run_ends_and_its_report_agrees_with_the_server() -> None:
    async with (
        FakeE2E(images=unused(400), latency=(0.02, 0.06)) as fake,
        session_of(fake) as session,
    ):
        began = time.monotonic()
        report = await session.images.bulk_delete(list(fake.images), limit=8, deadline=0.6)
        assert 0.6 <= time.monotonic() - began < SOON
        await fake.settle()
        assert_true(report, fake)
        counts = report.counts()
        assert counts[Status.DONE] > 8
        assert counts[Status.SKIPPED] > 30
        assert counts[Status.UNKNOWN] + counts[Status.FAILED] <= 8


async def test_progress_tells_where_the_run_is_and_the_last_word_is_the_whole() -> None:
    seen: list[Progress] = []
    async with FakeE2E(images=unused(60), latency=0.02) as fake, session_of(fake) as session:
        began = time.monotonic()
        await session.images.bulk_delete([*fake.images, "900"], limit=3, progress=seen.append)
        took = time.monotonic() - began
    assert 2 <= len(seen) <= 3 + 10 * took
    assert all(1 <= moment.in_flight <= 3 for moment in seen[:-1])
    assert [moment.finished for moment in seen] == sorted(moment.finished for moment in seen)
    last = seen[-1]
    assert (last.total, last.finished, last.failed, last.in_flight) == (61, 61, 1, 0)
    assert last.rate > 0


async def test_a_journaled_run_that_was_cut_off_is_finished_by_resume(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with (
        FakeE2E(images=unused(60), nodes=20, latency=0.005) as fake,
        session_of(fake) as session,
    ):
        images = await session.images.list()
        plan = Plan.rename(
            zip(images, [*(i.name for i in images[1:]), images[0].name], strict=True)
        )
        reports = [await session.images.run(plan, limit=4, journal=path, deadline=0.08)]
        while len(left := Plan.resume(path)) and len(reports) < 60:
            reports.append(await session.images.run(left, limit=4, journal=path, deadline=0.2))
        assert names(fake) == {step.target: step.name for step in plan}
        ended = {o.step.index for report in reports for o in report if o.status is Status.DONE}
        assert ended == set(range(60))


# Truth


def assert_true(report: Report, fake: FakeE2E) -> None:
    """Every word of a report against the ledger (nothing is on its way any more)."""
    plan = report.plan
    assert plan is not None
    assert [outcome.step.index for outcome in report] == [step.index for step in plan]
    applied = {
        (line.action, line.target, line.name if line.action == "rename" else None)
        for line in fake.ledger
    }
    for outcome in report:
        step = outcome.step
        key = (step.action.value, step.target, step.name)
        if outcome.status is Status.DONE:
            assert key in applied, outcome
        elif outcome.status is not Status.UNKNOWN:
            assert key not in applied, outcome
            if step.via is not None:
                assert (("rename", step.target, step.via) in applied) is outcome.halfway, outcome


@pytest.mark.parametrize("ending", ["break", "stop", "exception", "cancel"])
async def test_a_stream_that_is_left_early_leaves_nothing_and_its_report_is_true(
    ending: str,
) -> None:
    async def consume(stream: aioe2e.Stream) -> None:
        seen = 0
        async with stream as outcomes:
            async for _ in outcomes:
                seen += 1
                if seen < 10:
                    continue
                if ending == "break":
                    break
                if ending == "stop":
                    outcomes.stop()
                if ending == "exception":
                    raise LookupError
                if ending == "cancel":
                    task = asyncio.current_task()
                    assert task is not None
                    task.cancel()
                    await asyncio.sleep(0)

    async with (
        FakeE2E(images=unused(200), latency=(0.001, 0.01)) as fake,
        session_of(fake) as session,
    ):
        stream = session.images.stream(Plan.delete(list(fake.images)), limit=6)
        task = asyncio.create_task(consume(stream))
        await asyncio.wait([task])
        assert task.cancelled() is (ending == "cancel")
        if not task.cancelled():
            assert isinstance(task.exception(), LookupError) is (ending == "exception")
        assert asyncio.all_tasks() - {asyncio.current_task()} <= serving(fake)
        await fake.settle()
        assert_true(stream.report, fake)
        assert stream.report.counts()[Status.SKIPPED] > 100
        assert stream.report.counts()[Status.UNKNOWN] <= (6 if ending == "cancel" else 0)
        assert (await session.images.run(stream.report.remaining(), missing_ok=True)).ok
        assert not fake.images


def serving(fake: FakeE2E) -> set[asyncio.Task[Any]]:
    """The tasks of the emulator's own connections."""
    del fake
    return {
        task
        for task in asyncio.all_tasks()
        if "aiohttp/web" in str(task.get_coro()) or "web_protocol" in repr(task)
    }


# Reconcile


async def test_reconcile_settles_what_a_listing_proves() -> None:
    policy = RetryPolicy(attempts=1, base=0.001, look=0.0)
    async with (
        FakeE2E(images=unused(12), nodes=4) as fake,
        session_of(fake, retry=policy) as session,
    ):
        listing = await session.images.list()
        # The reply is lost and so is every listing that would tell, so that the run ends in doubt.
        fake.faults = Faults.on("list", "502-html", times=None) + Faults.on(
            {"rename", "delete", "save"}, Fault("reset", True), times=None
        )
        steps = [Step.rename(image, f"new-{image.image_id}") for image in listing[:4]]
        steps += [Step.delete(image) for image in listing[4:8]]
        steps += [Step.save(node, f"of-{node}") for node in fake.nodes]
        report = await session.images.run(Plan.of(steps), limit=16)  # at once: no outage yet
        assert report.counts()[Status.UNKNOWN] == 12, str(report)
        fake.faults = None
        settled = await session.images.reconcile(report)
        assert settled.counts()[Status.DONE] == 12
        assert settled.ok
        saved = [
            outcome.result
            for outcome in settled
            if outcome.step.name and outcome.step.name.startswith("of-")
        ]
        made = {line.target: line.image_id for line in fake.ledger if line.action == "save"}
        assert {s.node_id: s.image_id for s in saved if isinstance(s, aioe2e.SaveAction)} == made
        assert report.counts()[Status.UNKNOWN] == 12  # the given one is left as it is


async def test_reconcile_leaves_what_no_listing_proves() -> None:
    policy = RetryPolicy(attempts=1, base=0.001, look=0.0)
    async with (
        FakeE2E(images=unused(6), nodes=4) as fake,
        session_of(fake, retry=policy) as session,
    ):
        fake.faults = Faults.on("list", "502-html", times=None) + Faults.on(
            {"rename", "delete", "save"}, Fault("reset", False), times=None
        )
        node = next(iter(fake.nodes))
        plan = Plan.of([Step.rename("1", "x"), Step.delete("2"), Step.save(node, "s")])
        report = await session.images.run(plan)
        fake.faults = None
        settled = await session.images.reconcile(report)
        assert [outcome.status for outcome in settled] == [Status.UNKNOWN] * 3
        left = settled.remaining()
        assert [step.action.value for step in left] == ["rename", "delete"]
        assert [step.action.value for step in left.unknown] == ["save"]


async def test_reconcile_waits_for_no_lagging_listing_but_a_later_one_settles() -> None:
    policy = RetryPolicy(attempts=1, base=0.001, look=0.0)
    async with (
        FakeE2E(images=unused(6), listing_lag=0.3) as fake,
        session_of(fake, retry=policy) as session,
    ):
        await asyncio.sleep(0.35)
        fake.faults = Faults.on({"rename", "delete"}, Fault("reset", True), times=None)
        report = await session.images.run(Plan.of([Step.rename("1", "x"), Step.delete("2")]))
        assert [outcome.status for outcome in report] == [Status.UNKNOWN] * 2
        assert (await session.images.reconcile(report)).counts()[Status.UNKNOWN] == 2
        await asyncio.sleep(0.35)
        assert (await session.images.reconcile(report)).ok


# Names


class Collisions:
    """Counts the times that a request met a name in use, whatever the client was told of it."""

    def __init__(self, fake: FakeE2E) -> None:
        self.met: list[str] = []
        store = fake._store
        check = store._refuse_taken

        def counted(place: Any, name: str) -> None:
            try:
                check(place, name)
            except Exception:
                self.met.append(name)
                raise

        store._refuse_taken = counted  # type: ignore[method-assign]  # what is counted is seen nowhere else


#: Faults after which nothing happens late: a late effect would be a request of its own.
LOSSES = [
    *(
        Fault(kind, applied)
        for kind in ("reset", "close", "502-json", "html-200")
        for applied in (True, False)
    ),
    Fault("429-json-zero"),
    Fault("refuse", seconds=0.01),
]
PASSING = st.sampled_from([None, None, None, *LOSSES])


@st.composite
def renamings(draw: st.DrawFn, count: int) -> dict[int, int]:
    """For some of so many places: the place whose name is taken over; the places after them are new names."""
    movers = sorted(draw(st.sets(st.integers(0, count - 1))))
    free = [*movers, *range(count, count + 3)]
    return dict(zip(movers, draw(st.permutations(free)), strict=False))


class Renamings(RuleBasedStateMachine):
    """Random permutations and partial renamings, one after the other, on one account with unique names."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = contextlib.AsyncExitStack()
        self.fresh = 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    @initialize(count=st.integers(1, 8))
    def begin(self, count: int) -> None:
        self.count = count
        self.fake = FakeE2E(images=unused(count))
        self.collisions = Collisions(self.fake)
        self.expected = names(self.fake)
        self.left: Plan | None = None

        async def enter() -> None:
            await self.stack.enter_async_context(self.fake)
            self.session = await self.stack.enter_async_context(session_of(self.fake))

        self.run(enter())

    def plan(self, data: st.DataObject) -> Plan:
        ids = sorted(self.expected, key=int)
        moves = data.draw(renamings(self.count))
        self.fresh += 3
        new = {
            mover: self.expected[ids[place]] if place < self.count else f"f{self.fresh}{place}"
            for mover, place in moves.items()
        }
        images = {image.image_id: image for image in self.run(self.session.images.list())}
        self.expected |= {ids[mover]: name for mover, name in new.items()}
        return Plan.rename(
            [(images[ids[mover]], name) for mover, name in new.items()], existing=images.values()
        )

    def finish_calmly(self) -> None:
        """What is left of a run under faults depends on the time; what follows must not."""
        if self.left is not None:
            report = self.run(self.session.images.run(self.left))
            assert report.ok, str(report)
            assert names(self.fake) == self.expected
            self.left = None

    @rule(data=st.data(), limit=st.integers(1, 6))
    def rename(self, data: st.DataObject, limit: int) -> None:
        self.finish_calmly()
        plan = self.plan(data)
        report = self.run(self.session.images.run(plan, limit=limit))
        assert report.ok
        assert len(report) == len(plan)
        assert names(self.fake) == self.expected

    @rule(data=st.data(), limit=st.integers(1, 6), script=st.lists(PASSING, max_size=40))
    def rename_under_faults(
        self, data: st.DataObject, limit: int, script: list[Fault | None]
    ) -> None:
        self.finish_calmly()
        plan = self.plan(data)
        self.fake.faults = script
        hasty = self.session.with_options(
            retry=RetryPolicy(attempts=2, base=0.001, cap=0.002, look=0.0)
        )
        report = self.run(hasty.images.run(plan, limit=limit))
        self.fake.faults = None
        self.left = report.remaining()

    @rule(limit=st.integers(1, 6), script=st.lists(PASSING, max_size=10))
    def go_on_under_faults(self, limit: int, script: list[Fault | None]) -> None:
        if self.left is not None:
            self.fake.faults = script
            report = self.run(self.session.images.run(self.left, limit=limit))
            self.fake.faults = None
            self.left = report.remaining()

    @invariant()
    def no_request_met_a_name_in_use(self) -> None:
        if hasattr(self, "collisions"):
            assert self.collisions.met == []

    def teardown(self) -> None:
        if hasattr(self, "session"):
            self.finish_calmly()
        self.run(self.stack.aclose())
        self.runner.close()


QUIETLY = settings(
    max_examples=EXAMPLES,
    stateful_step_count=8,
    deadline=None,
    derandomize=not FULL,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TestRenamings = Renamings.TestCase
TestRenamings.settings = QUIETLY


@QUIETLY
@given(order=st.permutations(range(40)))
def test_a_permutation_of_all_names_never_collides(order: list[int]) -> None:
    async def run() -> None:
        async with FakeE2E(images=unused(40)) as fake, session_of(fake) as session:
            collisions = Collisions(fake)
            images = await session.images.list()
            wanted = {
                images[place].image_id: images[other].name for place, other in enumerate(order)
            }
            report = await session.images.bulk_rename(
                [(image, wanted[image.image_id]) for image in images], limit=16
            )
            assert report.ok
            assert names(fake) == wanted
            assert collisions.met == []
            assert not [call for call in fake.calls if call.status in (409, 412)]

    asyncio.run(run())


@pytest.mark.parametrize("size", [2, 3, 5])
async def test_a_cycle_that_is_cut_off_at_any_request_is_finished_by_what_remains(
    size: int,
) -> None:
    for applied in (False, True):
        for cut_at in range(size + 1):
            async with FakeE2E(images=unused(size)) as fake, session_of(fake) as session:
                collisions = Collisions(fake)
                images = await session.images.list()
                plan = Plan.rename(
                    zip(images, [*(i.name for i in images[1:]), images[0].name], strict=True)
                )
                arrived = asyncio.Event()
                fake.faults = cut_off(cut_at, applied=applied, arrived=arrived)
                stream = session.images.stream(plan, limit=2)
                run = asyncio.create_task(stream.drain())
                waiting = asyncio.create_task(arrived.wait())
                await asyncio.wait([run, waiting], return_when=asyncio.FIRST_COMPLETED)
                run.cancel()
                await asyncio.wait([run, waiting])
                await fake.settle()
                fake.faults = None
                assert_true(stream.report, fake)
                report = await session.images.run(stream.report.remaining())
                assert report.ok, (cut_at, applied, str(report))
                assert names(fake) == {step.target: step.name for step in plan}, (cut_at, applied)
                assert collisions.met == []


def cut_off(after: int, *, applied: bool, arrived: asyncio.Event) -> Faults:
    """So many renames are answered; the next one hangs, and says so."""
    seen = 0

    def choose(call: Call) -> Fault | None:
        nonlocal seen
        if call.action != "rename":
            return None
        seen += 1
        if seen <= after:
            return None
        asyncio.get_running_loop().call_soon(arrived.set)
        return Fault("hang", applied)

    return Faults(choose)


async def test_a_name_in_use_that_the_plan_cannot_know_fails_its_step_alone() -> None:
    async with FakeE2E(images=unused(4)) as fake, session_of(fake) as session:
        report = await session.images.bulk_rename({"1": "n4", "2": "fresh"})
        assert [outcome.status for outcome in report] == [Status.FAILED, Status.DONE]
        assert isinstance(report[0].error, ConflictError)
        assert not report.remaining()


async def test_a_limit_above_that_of_the_session_is_a_warning_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeE2E(images=3) as fake, fake.session() as session:
        with caplog.at_level(logging.WARNING, "aioe2e"):
            await session.images.bulk_delete([], limit=16)
            await session.images.bulk_delete([], limit=17)
            await session.images.bulk_delete([], limit=18)
        assert [record.getMessage()[:8] for record in caplog.records] == ["limit=17"]


@pytest.mark.parametrize("trouble", ["taken", "gone"])
@pytest.mark.parametrize("resumed", [False, True], ids=["remaining", "resume"])
async def test_running_again_what_is_left_comes_to_an_end_whatever_the_server_says(
    trouble: str, resumed: bool, tmp_path: Path
) -> None:
    path = tmp_path / "run.journal"
    retry = RetryPolicy(attempts=2, base=0.001, look=0.01)
    async with FakeE2E(images=3) as fake, fake.session(retry=retry) as session:
        ids = list(fake.images)
        fake.faults = Faults.on("rename", Fault("reset", False), times=2)
        plan = Plan.rename({ids[0]: fake.images[ids[1]]["name"] if trouble == "taken" else "new"})
        report = await session.images.run(plan, journal=path)
        assert report.counts()[Status.UNKNOWN] == 1
        if trouble == "gone":
            del fake.images[ids[0]]
        rounds = 0
        while left := Plan.resume(path) if resumed else report.remaining():
            rounds += 1
            assert rounds < 3
            report = await session.images.run(left, journal=path)
        assert "is refused when it is sent again" in left.warnings[0]
        assert report.counts()[Status.UNKNOWN] == 1


async def test_a_write_in_doubt_that_could_not_be_looked_for_is_worth_another_run_even_if_it_was_refused() -> (
    None
):
    retry = RetryPolicy(attempts=2, base=0.001, look=0.7)
    async with FakeE2E(images=3) as fake, fake.session(retry=retry) as session:
        image = next(iter(fake.images))
        fake.inject(Fault("reset", True), "delete")
        fake.faults += Faults.on("list", Fault("hang", seconds=5), times=None)
        report = await session.images.bulk_delete([image], deadline=0.6)
        again = await session.images.run(report.remaining(), deadline=0.6)
        assert (
            again.counts()[Status.UNKNOWN] == 1
        )  # refused with a 404, and no listing could be read
        fake.faults = None
        assert (await session.images.run(again.remaining())).ok
