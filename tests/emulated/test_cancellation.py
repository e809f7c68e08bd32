"""Cancelled at every suspension in turn: CancelledError comes out, nothing stays behind, and no word is untrue."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

import pytest
from patience import SOON

import aioe2e
from aioe2e._clock import Clock
from aioe2e.testing import FakeE2E, Fault, Faults

T = TypeVar("T")
QUICK = aioe2e.RetryPolicy(base=0.004, cap=0.004, look=0.03)
#: Sleeps are as good as over: a sweep goes through them often.
HASTY = Clock(sleep=lambda seconds: asyncio.sleep(min(seconds, 0.0005)))
#: A call that suspends more often than this without an end is stuck.
MOST = 400


@types.coroutine
def stepping(
    coroutine: Coroutine[Any, Any, T], on_wait: Callable[[Any], None]
) -> Generator[Any, Any, T]:
    """Run a coroutine, and tell of everything that it waits for."""
    resume: Callable[[Any], Any] = coroutine.send
    value: Any = None
    while True:
        try:
            awaited = resume(value)
        except StopIteration as stop:
            result: T = stop.value
            return result
        on_wait(awaited)
        try:
            value = yield awaited
            resume = coroutine.send
        except BaseException as error:  # noqa: BLE001  # goes on into the coroutine
            value = error
            resume = coroutine.throw


class Sweep:
    """Cancels a coroutine at its n-th suspension: as it falls asleep, or at the moment when it is about to wake."""

    def __init__(self, number: int, *, waking: bool) -> None:
        self.fired = False
        self._number = number
        self._waking = waking
        self._count = 0
        self._task: asyncio.Task[Any] | None = None

    async def __call__(self, coroutine: Coroutine[Any, Any, object]) -> object:
        self._task = asyncio.create_task(self._run(coroutine))
        done, _ = await asyncio.wait([self._task], timeout=SOON)
        assert done, "the cancelled call does not end"
        return (
            asyncio.CancelledError
            if self._task.cancelled()
            else self._task.exception() or self._task.result()
        )

    async def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return await stepping(coroutine, self._on_wait)

    def _on_wait(self, awaited: Any) -> None:
        assert self._task is not None
        self._count += 1
        if self._count != self._number:
            return
        self.fired = True
        if self._waking and awaited is not None and not awaited.done():
            # Registered before the task's own callback: the cancellation comes when the result is there already.
            awaited.add_done_callback(lambda _: self._task.cancel())
        else:
            self._task.cancel()


async def assert_nothing_left(session: aioe2e.Session, where: str) -> None:
    channel = session._channel
    for _ in range(40):  # what is on its way down gets a few turns of the loop
        if len(asyncio.all_tasks()) == 1:
            break
        await asyncio.sleep(0.002)
    assert len(asyncio.all_tasks()) == 1, f"{where}: {asyncio.all_tasks()}"
    assert channel.gate.in_flight == 0, where
    assert not any(channel.gate._waiting), where
    assert not session._memory.locks._held, where
    assert not channel.in_flight._requests, where
    assert not channel._scopes, where
    assert session._memory.listings._round is None, where
    assert session._memory.listings._watchers == 0, where
    if channel._transport is not None:
        connector = channel._transport._http.connector
        assert connector is not None
        assert not connector._acquired, where
        assert not connector._waiters, where


FAULTS: dict[str, Callable[[], Faults]] = {
    "no fault": Faults,
    "lost, applied": lambda: Faults.on(("save", "rename", "delete", "unknown"), Fault("close", True)) + Faults.on("list", "close"),
    "lost, not applied": lambda: Faults.on(None, Fault("reset", False)),
    "throttled": lambda: Faults.on(None, Fault("429-json-seconds", value="0.01")),
    "405, then lost": lambda: Faults.on(("save", "rename", "delete"), "405-json") + Faults.on(None, "reset-in-body"),
    "401, then slow": lambda: Faults.on(None, "401-json") + Faults.on(None, Fault("drip", seconds=0.01)),
}  # fmt: skip


def actions(
    session: aioe2e.Session, fake: FakeE2E, number: int
) -> dict[str, Callable[[], Coroutine[Any, Any, object]]]:
    images, ids, nodes = session.images, list(fake.images), list(fake.nodes)
    action = aioe2e.SaveAction(node_id=nodes[0], name=fake.images[ids[3]]["name"])
    body = {"action_type": "rename", "name": f"q{number}"}
    return {
        "list": images.list,
        "save": lambda: images.save(nodes[number % len(nodes)], f"s{number}"),
        "rename": lambda: images.rename(ids[0], f"r{number}"),
        "delete": lambda: images.delete(ids[-1], missing_ok=True),
        "delete of nothing": lambda: images.delete(7, missing_ok=True),
        "wait": lambda: images.wait(ids[1], timeout=1, interval=0.01),
        "wait_gone": lambda: images.wait_gone(7, timeout=1, interval=0.01),
        "wait_saved": lambda: images.wait_saved(action, timeout=0.05, interval=0.01),
        "request": lambda: session.request("POST", f"images/{ids[2]}/", json=body, repeatable=True),
    }


#: What shares most of its way with another action meets no faults here.
CASES = [
    (action, faults) for action in ("list", "save", "rename", "delete", "wait") for faults in FAULTS
]
CASES += [(action, "no fault") for action in ("delete of nothing", "wait_gone", "wait_saved")]
CASES += [("request", "lost, not applied")]


@pytest.mark.parametrize(("action", "faults"), CASES)
async def test_every_action_can_be_cancelled_at_every_suspension(action: str, faults: str) -> None:
    with FakeE2E(
        images=60, nodes=40, save_seconds=0.0
    ) as fake:  # on a thread of its own: all tasks here are the client's

        async def fetch() -> str:
            await asyncio.sleep(0)
            return str(fake.credentials.auth_token)

        renewable = aioe2e.Credentials(api_key=fake.credentials.api_key, auth_token=fetch)
        given = renewable if faults.startswith("401") else fake.credentials
        limits = aioe2e.Limits(in_flight=2)
        async with fake.session(
            retry=QUICK, credentials=given, limits=limits, _clock=HASTY
        ) as session:
            for waking in (False, True):
                await sweep_through(session, fake, action, faults, waking=waking)
            fake.faults = None
            await session.images.list()


async def sweep_through(
    session: aioe2e.Session, fake: FakeE2E, action: str, faults: str, *, waking: bool
) -> None:
    for number in range(1, MOST):
        fake.faults = FAULTS[faults]()
        listings = session._memory.listings
        listings._failures, listings._rest_until = (
            0,
            0.0,
        )  # else it rests longer with every listing lost
        sweep = Sweep(number, waking=waking)
        end = await sweep(actions(session, fake, number)[action]())
        where = f"{action}, {faults}, suspension {number}, {waking=}"
        if sweep.fired:
            assert end is asyncio.CancelledError, f"{where}: {end!r}"
        await assert_nothing_left(session, where)
        if not sweep.fired:
            assert number > 2
            return
    pytest.fail("it never came to an end")


@pytest.mark.parametrize("waking", [False, True], ids=["falling asleep", "waking"])
async def test_waiters_in_line_can_be_cancelled_at_every_suspension(waking: bool) -> None:
    """With one slot and one image there is a line before the gate, the lock and the shared listing."""
    with FakeE2E(images=5, latency=0.002) as fake:
        async with fake.session(retry=QUICK, limits=aioe2e.Limits(in_flight=1)) as session:
            image, fired = next(iter(fake.images)), True
            for number in range(1, MOST):
                calls = [
                    session.images.rename(image, f"a{number}"),
                    session.images.rename(image, f"b{number}"),
                    session.images.list(),
                    session.images.wait(image, interval=0.01),
                    session.images.wait_gone(7, interval=0.01),
                ]
                sweeps = [Sweep(number, waking=waking) for _ in calls]
                ends = await asyncio.gather(
                    *(sweep(call) for sweep, call in zip(sweeps, calls, strict=True))
                )
                for sweep, end in zip(sweeps, ends, strict=True):
                    assert (end is asyncio.CancelledError) == sweep.fired, (number, end)
                await assert_nothing_left(session, f"suspension {number}")
                fired = any(sweep.fired for sweep in sweeps)
                if not fired:
                    break
            assert not fired
            await session.images.rename(image, "at last")


async def test_a_call_that_is_cancelled_twice_ends_once() -> None:
    with FakeE2E(faults="hang") as fake:
        async with fake.session() as session:
            task = asyncio.create_task(session.images.list())
            await asyncio.sleep(0.02)
            task.cancel()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            await assert_nothing_left(session, "twice")


async def test_a_timeout_around_a_call_is_a_timeout() -> None:
    with FakeE2E(faults="hang") as fake:
        async with fake.session() as session:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.05):
                    await session.images.list()
            assert not isinstance(caught.value, aioe2e.E2EError)
            await assert_nothing_left(session, "timeout")


# Bulk runs: the words against the ledger


def assert_words_are_true(report: aioe2e.Report, fake: FakeE2E) -> None:
    applied = {
        (change.action, change.target, change.name if change.action != "delete" else None)
        for change in fake.ledger
    }
    asked = {call.target for call in fake.calls}
    for outcome in report:
        step = outcome.step
        done = (step.action.value, step.target, step.name) in applied
        if outcome.status is aioe2e.Status.DONE:
            assert done, outcome
        elif outcome.status is aioe2e.Status.FAILED:
            assert not done, outcome
        elif outcome.status is aioe2e.Status.SKIPPED:
            assert step.target not in asked, outcome
        assert (outcome.error is None) == (
            outcome.status in (aioe2e.Status.DONE, aioe2e.Status.UNCHANGED)
        )


def plan_of(action: str, fake: FakeE2E) -> aioe2e.Plan:
    if action == "save":
        return aioe2e.Plan.save({node: f"s{place}" for place, node in enumerate(fake.nodes)})
    if action == "rename":
        return aioe2e.Plan.rename({image: f"r{place}" for place, image in enumerate(fake.images)})
    return aioe2e.Plan.delete(list(fake.images))


@pytest.mark.parametrize("action", ["save", "rename", "delete"])
@pytest.mark.parametrize("faults", ["none", "lost, applied", "lost", "mixed"])
async def test_a_bulk_run_cancelled_after_any_turn_of_the_loop_tells_the_truth(
    action: str, faults: str
) -> None:
    turns = 1  # a task that is cancelled before its first turn never begins
    while turns < 1_000:
        async with FakeE2E(images=5, nodes=5, save_seconds=0.0) as fake:
            fake.faults = {
                "none": None,
                "lost, applied": Faults.on(
                    ("save", "rename", "delete"), Fault("close", True), times=3
                ),
                "lost": Faults.on(("save", "rename", "delete"), Fault("close-unread"), times=3),
                "mixed": Faults.script(
                    Fault("close", "late", late=0.002),
                    "409-json",
                    "500-html",
                    "reset-in-body",
                    None,
                ),
            }[faults]
            async with fake.session(retry=QUICK, _clock=HASTY) as session:
                stream = session.images.stream(plan_of(action, fake), limit=2)
                task = asyncio.create_task(stream.drain())
                for _ in range(turns):
                    if task.done():
                        break
                    await asyncio.sleep(0)
                over = task.done()
                task.cancel()
                await asyncio.wait([task])
                assert over or task.cancelled()
                channel = session._channel
                assert (
                    channel.gate.in_flight,
                    dict(session._memory.locks._held),
                    set(channel.in_flight._requests),
                ) == (
                    0,
                    {},
                    set(),
                )
            await fake.settle()
            report = stream.report
            assert [outcome.step.index for outcome in report] == list(range(5))
            assert_words_are_true(report, fake)
        if over:
            break
        # Every turn of the first requests, then faster and faster: what follows repeats itself.
        turns += 1 + turns // 8
    assert turns > 10
