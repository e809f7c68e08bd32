"""Listings that many share: one request for all who can live with it, whoever of them makes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from virtual_time import in_virtual_time, now, timers, turns

from aioe2e._clock import Clock
from aioe2e.bulk import BulkError
from aioe2e.errors import (
    AuthenticationError,
    ConnectionLostError,
    DeadlineExceededError,
    E2EError,
)
from aioe2e.images.listing import Listing, Listings, copied
from aioe2e.models import SavedImage

T = TypeVar("T")


class Life:
    """A session that is open until it is told to end."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.scopes: set[asyncio.Timeout] = set()

    async def rest(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def bounded(self, work: Awaitable[T], until: float | None) -> T:
        async with asyncio.timeout_at(until) as scope:
            self.scopes.add(scope)
            return await work

    def end(self) -> None:
        for scope in self.scopes:
            scope.reschedule(now())


class Server:
    """Answers listings after a second each; by turns with what it was told."""

    def __init__(self, *answers: E2EError | None) -> None:
        self.answers = list(answers)
        self.started: list[float] = []
        self.life = Life()
        self.listings = Listings(self.fetch, self.life)

    async def fetch(self, until: float | None) -> Listing:
        started = now()
        self.started.append(started)
        answer = self.answers.pop(0) if self.answers else None
        await asyncio.sleep(1.0)
        if answer is not None:
            raise answer
        return Listing([SavedImage(image_id=str(len(self.started)))], started, now(), None)

    async def after(
        self, moment: float | None = None, until: float | None = None, tries: int = 3
    ) -> Listing:
        return await self.listings.after(
            now() if moment is None else moment, until=until, tries=tries
        )


def lost() -> E2EError:
    return ConnectionLostError("gone", sent=True)


def denied() -> E2EError:
    return AuthenticationError("no", status=401)


@in_virtual_time
async def test_all_who_ask_at_one_moment_share_one_request() -> None:
    server = Server()
    found = await asyncio.gather(*(server.after() for _ in range(1000)))
    assert len(server.started) == 1
    assert len({id(listing) for listing in found}) == 1


@in_virtual_time
async def test_whoever_needs_a_newer_one_waits_and_shares_the_next() -> None:
    server = Server()
    first = [asyncio.create_task(server.after()) for _ in range(10)]
    await asyncio.sleep(0.5)
    moment = now()
    later = [asyncio.create_task(server.after()) for _ in range(10)]
    await asyncio.gather(*first)
    listings = await asyncio.gather(*later)
    assert len(server.started) == 2
    assert all(listing.started >= moment for listing in listings)


@in_virtual_time
async def test_whoever_can_live_with_the_running_one_gets_it() -> None:
    server = Server()
    start = now()
    first = asyncio.create_task(server.after())
    await asyncio.sleep(0.5)
    assert await server.after(start) is await first
    assert len(server.started) == 1


@in_virtual_time
async def test_no_listing_is_older_than_what_was_asked_for() -> None:
    server = Server()

    async def ask(delay: float) -> None:
        await asyncio.sleep(delay)
        moment = now()
        assert (await server.after()).started >= moment

    await asyncio.gather(*(ask(0.13 * number) for number in range(50)))
    assert len(server.started) <= 9


@in_virtual_time
async def test_another_takes_over_when_the_one_who_asks_is_cancelled() -> None:
    server = Server()
    tasks = [asyncio.create_task(server.after()) for _ in range(3)]
    await asyncio.sleep(0.5)
    tasks[0].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert isinstance(found[1], Listing)
    assert found[1] is found[2]
    assert len(server.started) == 2


@in_virtual_time
async def test_cancelling_all_leaves_nothing() -> None:
    server = Server()
    tasks = [asyncio.create_task(server.after(until=now() + 50)) for _ in range(20)]
    await asyncio.sleep(0.5)
    for task in tasks:
        task.cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(error) for error in found} == {asyncio.CancelledError}
    await turns()
    assert timers() == 0
    assert isinstance(await server.after(), Listing)


@in_virtual_time
async def test_a_cancelled_follower_disturbs_nobody() -> None:
    server = Server()
    tasks = [asyncio.create_task(server.after()) for _ in range(3)]
    await asyncio.sleep(0.5)
    tasks[2].cancel()
    assert await tasks[0] is await tasks[1]
    assert len(server.started) == 1


@in_virtual_time
async def test_an_error_that_nobody_foresaw_hits_only_the_one_who_asked() -> None:
    server = Server()
    fetch = server.listings._fetch
    faults = [RuntimeError("a bug")]

    async def faulty(until: float | None) -> Listing:
        if faults:
            await asyncio.sleep(0.5)
            raise faults.pop()
        return await fetch(until)

    server.listings._fetch = faulty
    found = await asyncio.gather(server.after(), server.after(), return_exceptions=True)
    assert isinstance(found[0], RuntimeError)
    assert isinstance(found[1], Listing)


@in_virtual_time
async def test_a_fault_that_passes_is_put_up_with_as_often_as_allowed() -> None:
    server = Server(lost(), lost())
    assert isinstance(await server.after(tries=3), Listing)
    assert len(server.started) == 3


@in_virtual_time
async def test_the_last_fault_comes_out_when_no_try_is_left() -> None:
    server = Server(lost(), lost(), lost())
    found = await asyncio.gather(*(server.after(tries=2) for _ in range(5)), return_exceptions=True)
    assert {type(error) for error in found} == {ConnectionLostError}
    assert len({id(error) for error in found}) == 5
    assert len(server.started) == 2


@in_virtual_time
async def test_a_refusal_ends_it_at_once_for_all() -> None:
    server = Server(denied())
    found = await asyncio.gather(*(server.after(tries=9) for _ in range(5)), return_exceptions=True)
    assert {type(error) for error in found} == {AuthenticationError}
    assert len(server.started) == 1


@in_virtual_time
async def test_failing_listings_are_made_ever_more_seldom_for_all_together() -> None:
    server = Server(*(lost() for _ in range(12)))
    waiting = [asyncio.create_task(server.after(tries=10)) for _ in range(30)]
    await asyncio.gather(*waiting, return_exceptions=True)
    gaps = [
        round(after - before - 1.0, 6)
        for before, after in zip(server.started, server.started[1:], strict=False)
    ]
    assert gaps[:3] == pytest.approx([0.1, 0.2, 0.4], abs=0.01)
    assert gaps == sorted(gaps)
    assert max(gaps) == pytest.approx(5.0, abs=0.01)


@in_virtual_time
async def test_a_listing_that_comes_makes_the_rest_short_again() -> None:
    server = Server(lost(), lost(), lost(), None, lost())
    await server.after(tries=9)
    await server.after(tries=9)
    assert server.started[5] - server.started[4] == pytest.approx(1.1, abs=0.01)


@in_virtual_time
async def test_the_time_ends_it() -> None:
    server = Server()
    start = now()
    with pytest.raises(TimeoutError):
        await server.after(until=start + 0.5)
    assert now() == pytest.approx(start + 0.5)
    with pytest.raises(TimeoutError):
        await server.after(until=now())
    assert timers() == 0


@in_virtual_time
async def test_the_time_of_the_one_who_asks_is_not_the_time_of_the_others() -> None:
    server = Server()
    hurried = asyncio.create_task(server.after(until=now() + 0.5))
    await turns(1)
    patient = [asyncio.create_task(server.after(until=now() + 60, tries=1)) for _ in range(3)]
    with pytest.raises(TimeoutError):
        await hurried
    found = await asyncio.gather(*patient)
    assert len({id(listing) for listing in found}) == 1


@in_virtual_time
async def test_the_deadline_of_one_caller_is_no_failure_of_another() -> None:
    server = Server(DeadlineExceededError("the time of the one who asked is over"))
    hurried = asyncio.create_task(server.after(until=now() + 1.0, tries=1))
    await turns(1)
    patient = asyncio.create_task(server.after(until=now() + 60, tries=1))
    with pytest.raises((TimeoutError, E2EError)):
        await hurried
    assert isinstance(await patient, Listing)


@in_virtual_time
async def test_an_error_at_the_end_of_ones_own_time_is_left_to_that_one() -> None:
    server = Server(DeadlineExceededError("my time is over"))
    fast = Clock(now=lambda: now() + 0.2)  # so that the error comes before the timer
    server.listings = Listings(server.fetch, Life(fast))
    hurried = asyncio.create_task(
        server.listings.after(fast.now(), until=fast.now() + 1.0, tries=1)
    )
    await turns(1)
    patient = asyncio.create_task(server.listings.after(fast.now(), until=None, tries=1))
    with pytest.raises(TimeoutError):
        await hurried
    assert isinstance(await patient, Listing)


# News


@in_virtual_time
async def test_all_who_wait_for_news_get_the_next_listing_that_anybody_makes() -> None:
    server = Server()
    known = await server.after()
    waiting = [asyncio.create_task(server.listings.newer(known, now() + 60)) for _ in range(5)]
    await asyncio.sleep(2)
    made = await server.after()
    assert await asyncio.gather(*waiting) == [made] * 5


@in_virtual_time
async def test_no_news_by_the_time_it_is_due_is_none() -> None:
    server = Server()
    known = await server.after()
    start = now()
    assert await server.listings.newer(known, start + 3) is None
    assert now() == pytest.approx(start + 3)
    assert timers() == 0


@in_virtual_time
async def test_news_that_came_between_two_waits_is_not_missed_while_somebody_watches() -> None:
    server = Server()
    known = await server.after()
    watcher = asyncio.create_task(server.listings.newer(known, now() + 60))
    second = asyncio.create_task(server.listings.newer(await server.after(), now() + 60))
    await turns()
    news = await watcher
    assert news is not None
    assert news is not known
    second.cancel()


@in_virtual_time
async def test_news_that_is_there_already_is_not_waited_for() -> None:
    server = Server()
    known = await server.after()
    watcher = asyncio.create_task(server.listings.newer(known, now() + 60))
    await turns()
    made = await server.after()
    start = now()
    assert await server.listings.newer(known, now() + 60) is made
    assert now() == start
    assert await watcher is made


@in_virtual_time
async def test_a_listing_is_not_kept_when_nobody_watches() -> None:
    server = Server()
    await server.after()
    assert server.listings._latest is None


@in_virtual_time
async def test_the_end_of_the_session_wakes_all_who_wait_for_news() -> None:
    server = Server()
    known = await server.after()
    waiting = asyncio.create_task(server.listings.newer(known, now() + 60))
    await turns()
    server.life.end()
    assert await waiting is None


# Values


def test_an_image_whose_state_is_deleted_is_not_there() -> None:
    gone, there = SavedImage(image_id="1", image_state="Deleted"), SavedImage(image_id="2")
    listing = Listing([gone, there], 0.0, 1.0, None)
    assert listing.by_id == {"2": there}
    assert listing.images == [gone, there]


def test_of_rows_with_one_id_the_first_counts_and_where_they_differ_they_prove_nothing() -> None:
    same = [SavedImage(image_id="1", name="a"), SavedImage(image_id="1", name="a")]
    odd = [SavedImage(image_id="2", name="b"), SavedImage(image_id="2", name="c")]
    gone = SavedImage(image_id="3", name="d", image_state="Deleted")
    listing = Listing([*same, *odd, gone, SavedImage(image_id="3", name="e")], 0.0, 1.0, None)
    assert [image.name for image in listing.by_id.values()] == ["a", "b", "e"]
    assert listing.contradictory == {"2", "3"}


@pytest.mark.parametrize(
    "make",
    [
        lost,
        denied,
        lambda: DeadlineExceededError("x", last=lost()),
        lambda: BulkError("m", [lost()]),
    ],
)
def test_a_copied_error_is_the_same_without_its_traceback(make: Callable[[], E2EError]) -> None:
    try:
        raise make()
    except E2EError as error:
        original = error
    again = copied(original)
    assert again is not original
    assert type(again) is type(original)
    assert str(again) == str(original)
    assert again.__traceback__ is None
    assert again.__context__ is None
