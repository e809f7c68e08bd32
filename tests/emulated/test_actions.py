"""The image actions against the emulator: both dialects, the fallback on 405, what is missing, and the waits."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from patience import SOON

import aioe2e
from aioe2e.testing import FakeE2E, Fault, Faults

AUTO, DOCUMENTED, CURRENT = aioe2e.Dialect.AUTO, aioe2e.Dialect.DOCUMENTED, aioe2e.Dialect.CURRENT
FAST = aioe2e.RetryPolicy(base=0.01, cap=0.02, look=0.2)


def first(fake: FakeE2E) -> str:
    return next(iter(fake.images))


def node(fake: FakeE2E, number: int = 0) -> str:
    return list(fake.nodes)[number]


def sent(fake: FakeE2E) -> list[tuple[str, str]]:
    return [(call.method, call.action) for call in fake.calls]


def listings(fake: FakeE2E) -> int:
    return sum(call.action == "list" for call in fake.calls)


# Each action in each dialect


@pytest.mark.parametrize(
    ("dialect", "spoken"),
    [(AUTO, "documented"), (AUTO, "current"), (DOCUMENTED, "documented"), (CURRENT, "current")],
)
async def test_every_action_works_in_the_dialect_that_the_account_speaks(
    dialect: aioe2e.Dialect, spoken: str
) -> None:
    async with (
        FakeE2E(images=3, nodes=1, dialects=spoken, save_seconds=0.03) as fake,
        fake.session(dialect=dialect) as session,
    ):
        images = await session.images.list()
        assert [image.image_id for image in images] == list(fake.images)
        assert await session.images.get(images[1]) == images[1]
        action = await session.images.save(node(fake), "nightly-1")
        assert (action.node_id, action.name) == (node(fake), "nightly-1")
        saved = await session.images.wait_saved(action, interval=0.01, timeout=SOON)
        assert (saved.name, saved.state) == ("nightly-1", aioe2e.ImageState.READY)
        result = await session.images.rename(saved, "golden")
        assert "changed" in result.message
        assert (await session.images.wait(saved, interval=0.01, timeout=SOON)).name == "golden"
        await session.images.delete(int(saved.image_id))
        await session.images.wait_gone(saved, interval=0.01, timeout=SOON)
        assert [applied.action for applied in fake.ledger] == ["save", "rename", "delete"]


async def test_list_can_select_and_get_says_what_is_not_there() -> None:
    async with FakeE2E(images=10) as fake, fake.session() as session:
        picked = await session.images.list(aioe2e.select.name_matches("web-*"))
        assert [image.image_id for image in picked] == [
            key for key, image in fake.images.items() if image["name"].startswith("web-")
        ]
        with pytest.raises(aioe2e.NotFoundError, match="image 7"):
            await session.images.get(7)


BAD_IDS: list[Any] = [
    "",
    " ",
    "..",
    "a/b",
    "%2F",
    "a?b",
    "a#b",
    "a b",
    "é",
    0,
    -1,
    True,
    None,
    1.5,
    "x" * 129,
]
BAD_NAMES: list[Any] = ["", " ", " a", "a ", "a\n", "a\x00b", "\x7f", "\ud800", "x" * 256, None, 7]


async def test_an_id_that_could_change_the_path_is_refused_before_anything_is_sent() -> None:
    async with FakeE2E() as fake, fake.session() as session:
        images = session.images
        calls: list[Callable[[Any], Coroutine[Any, Any, object]]] = [
            images.get,
            lambda bad: images.save(bad, "n"),
            lambda bad: images.rename(bad, "n"),
            images.delete,
            images.wait,
            images.wait_gone,
        ]
        for call, bad in itertools.product(calls, BAD_IDS):
            with pytest.raises(aioe2e.UsageError):
                await call(bad)
        assert not fake.calls


async def test_a_name_that_cannot_be_meant_is_refused_before_anything_is_sent() -> None:
    async with FakeE2E() as fake, fake.session() as session:
        for bad in BAD_NAMES:
            for call in (session.images.save(1, bad), session.images.rename(1, bad)):
                with pytest.raises(aioe2e.UsageError, match="name"):
                    await call
        assert not fake.calls


# The fallback on 405


@pytest.mark.parametrize(
    ("action", "old", "new"),
    [("save", "POST", "PUT"), ("rename", "POST", "PUT"), ("delete", "POST", "DELETE")],
)
async def test_a_405_leads_to_the_other_dialect_once_per_route(
    action: str, old: str, new: str
) -> None:
    async with FakeE2E(images=4, nodes=3, dialects=CURRENT) as fake, fake.session() as session:
        images = session.images
        for number in range(2):
            image = next(iter(fake.images))
            if action == "save":
                await images.save(node(fake, number), f"s{number}")
            elif action == "rename":
                await images.rename(image, f"r{number}")
            else:
                await images.delete(image)
        assert [call.method for call in fake.calls] == [old, new, new]
        # The same route has learned it for all its actions, the other route has not.
        await images.save(node(fake, 2), "x") if action == "save" else await images.rename(
            first(fake), "x"
        )
        assert fake.calls[3].method == "PUT"
        await images.rename(first(fake), "z") if action == "save" else await images.save(
            node(fake, 2), "z"
        )
        assert fake.calls[4].method == "POST"
        # And all views have.
        await session.with_options(retry=FAST).images.rename(first(fake), "y")
        assert len(fake.calls) <= 8


async def test_an_account_that_takes_only_put_is_spoken_to_with_put() -> None:
    """As e2e-cli sends: after a 405 to POST and to DELETE, a delete goes out as PUT."""
    async with FakeE2E(images=4, nodes=1, dialects="put") as fake, fake.session() as session:
        one, two, three, _ = list(fake.images)
        await session.images.delete(one)
        await session.images.delete(two)
        await session.images.rename(three, "new")
        await session.images.save(node(fake, 0), "saved")
        assert [call.method for call in fake.calls] == [
            *("POST", "DELETE", "PUT"),
            *("PUT", "PUT"),
            *("POST", "PUT"),
        ]
        assert one not in fake.images
        assert fake.images[three]["name"] == "new"


async def test_the_fallback_is_no_attempt_and_costs_no_budget() -> None:
    limits = aioe2e.Limits(retry_budget=0)
    async with (
        FakeE2E(dialects=CURRENT) as fake,
        fake.session(limits=limits, retry=aioe2e.RetryPolicy.none()) as session,
    ):
        report = await session.images.bulk_delete([first(fake)])
        assert report.ok
        assert report[0].attempts == 1
        assert len(fake.calls) == 2


@pytest.mark.parametrize(
    ("action", "arguments"), [("save", ("x",)), ("rename", ("x",)), ("delete", ())]
)
async def test_a_name_in_place_of_an_id_is_named_as_the_likely_mistake(
    action: str, arguments: tuple[str, ...]
) -> None:
    async with FakeE2E() as fake, fake.session() as session:
        with pytest.raises(aioe2e.NotFoundError) as caught:
            await getattr(session.images, action)("golden", *arguments)
    assert "ids are numbers, and this looks like a name" in str(caught.value)
    assert "Dialect" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 403, 404, 501])
async def test_no_other_status_than_405_leads_to_the_other_dialect(status: int) -> None:
    async with (
        FakeE2E(dialects=CURRENT, refuse_dialect_with=status) as fake,
        fake.session(retry=FAST) as session,
    ):
        with pytest.raises(aioe2e.E2EError):
            await session.images.rename(first(fake), "n")
        assert {call.method for call in fake.calls if call.action != "list"} == {"POST"}


async def test_a_write_that_may_have_been_processed_is_never_sent_in_the_other_dialect() -> None:
    async with FakeE2E() as fake, fake.session(retry=FAST) as session:
        fake.faults = Faults.on("rename", Fault("close", False)) + Faults.on(
            "rename", "405-json", times=None
        )
        with pytest.raises(aioe2e.OutcomeUnknownError):
            await session.images.rename(first(fake), "n")
        assert {call.method for call in fake.calls if call.action == "rename"} == {"POST"}


async def test_if_both_methods_answer_405_the_error_comes_out_and_nothing_is_remembered() -> None:
    async with FakeE2E() as fake, fake.session(retry=FAST) as session:
        fake.faults = Faults.on("rename", "405-json", times=2)
        with pytest.raises(aioe2e.APIError) as caught:
            await session.images.rename(first(fake), "n")
        assert (caught.value.status, caught.value.attempts) == (405, 1)
        await session.images.rename(first(fake), "n")
        assert [call.method for call in fake.calls] == ["POST", "PUT", "POST"]


@pytest.mark.parametrize("dialect", [DOCUMENTED, CURRENT])
async def test_a_session_with_a_fixed_dialect_never_tries_the_other(
    dialect: aioe2e.Dialect,
) -> None:
    async with FakeE2E(faults="405-json") as fake, fake.session(dialect=dialect) as session:
        with pytest.raises(aioe2e.APIError):
            await session.images.delete(first(fake))
        assert len(fake.calls) == 1


async def test_an_attempt_that_was_sent_counts_though_its_second_form_found_no_slot() -> None:
    """The 405 was on the wire; what came after it never was."""
    async with FakeE2E() as fake:
        fake.faults = Faults.script("405-json") + Faults.on("list", "hang", times=None)
        limits, timeouts = aioe2e.Limits(in_flight=1), aioe2e.Timeouts(total=0.6)
        async with fake.session(limits=limits) as session:
            view = session.with_options(timeouts=timeouts)
            rename = asyncio.create_task(view.images.bulk_rename({first(fake): "n"}))
            await asyncio.sleep(0)
            listing = asyncio.create_task(session.images.list())
            report = await rename
            listing.cancel()
            await asyncio.wait([listing])
        # FAILED if it was sent and refused: SKIPPED would say that nothing ever was.
        assert report[0].status is aioe2e.Status.FAILED
        assert report[0].attempts == 1


# What is not there


async def test_a_name_given_for_an_id_leads_to_by_name() -> None:
    async with FakeE2E(images=3) as fake, fake.session() as session:
        image = (await session.images.list())[1]
        told = rf"that is the name of image {image.image_id} .*: images\.by_name takes a name"
        with pytest.raises(aioe2e.NotFoundError, match=told):
            await session.images.get(image.name)
        with pytest.raises(aioe2e.NotFoundError) as caught:
            await session.images.get("no-such-thing")
        assert "by_name" not in str(caught.value)


@pytest.mark.parametrize("dialect", [DOCUMENTED, CURRENT])
async def test_a_missing_image_is_not_found_and_confirmed_by_the_listing(
    dialect: aioe2e.Dialect,
) -> None:
    async with FakeE2E() as fake, fake.session(dialect=dialect) as session:
        with pytest.raises(aioe2e.NotFoundError) as caught:
            await session.images.delete(7)
        assert caught.value.confirmed
        assert sent(fake)[1:] == [("GET", "list")]
        with pytest.raises(aioe2e.NotFoundError):
            await session.images.rename(7, "n")
        await session.images.delete(7, missing_ok=True)
        assert not fake.ledger


@pytest.mark.parametrize("fault", ["404-json", "410-json"])
async def test_not_found_on_a_delete_is_not_believed_while_the_listing_shows_the_image(
    fault: str,
) -> None:
    async with (
        FakeE2E(faults=Faults.on("delete", fault, times=None)) as fake,
        fake.session() as session,
    ):
        for missing_ok in (False, True):
            with pytest.raises(aioe2e.NotFoundError, match="other Dialect") as caught:
                await session.images.delete(first(fake), missing_ok=missing_ok)
            assert not caught.value.confirmed
        report = await session.images.bulk_delete([first(fake)], missing_ok=True)
        assert report[0].status is aioe2e.Status.FAILED


async def test_not_found_on_a_delete_is_not_believed_without_a_listing() -> None:
    async with (
        FakeE2E(faults=Faults.on("list", "400-json", times=None)) as fake,
        fake.session() as session,
    ):
        with pytest.raises(aioe2e.NotFoundError, match="no listing") as caught:
            await session.images.delete(7, missing_ok=True)
        assert not caught.value.confirmed


async def test_project_not_found_is_never_an_image_not_found() -> None:
    async with FakeE2E() as fake, fake.session() as session:
        fake.faults = Faults.on("delete", "403-json")
        with pytest.raises(aioe2e.PermissionDeniedError):
            await session.images.delete(7, missing_ok=True)


async def test_missing_ok_in_bulk_is_unchanged() -> None:
    async with FakeE2E(images=2) as fake, fake.session() as session:
        report = await session.images.bulk_delete([*fake.images, 7], missing_ok=True)
        assert [outcome.status for outcome in report] == [aioe2e.Status.DONE] * 2 + [
            aioe2e.Status.UNCHANGED
        ]
        report = await session.images.bulk_delete([7])
        assert report[0].status is aioe2e.Status.FAILED


async def test_refusals_are_told_apart() -> None:
    async with FakeE2E(images=3) as fake, fake.session(retry=FAST) as session:
        one, two, three = fake.images
        fake.images[two]["running_vms"] = "2"
        with pytest.raises(aioe2e.ConflictError):
            await session.images.rename(one, fake.images[two]["name"])
        with pytest.raises(aioe2e.ConflictError):
            await session.images.delete(two)
        with pytest.raises(aioe2e.ConflictError):
            await session.images.save(node(fake), fake.images[three]["name"])
        with pytest.raises(aioe2e.NotFoundError):
            await session.images.save(1, "n")
        assert not fake.ledger
        assert len(fake.calls) == 4


async def test_two_renames_of_one_image_are_never_in_flight_at_once() -> None:
    async with FakeE2E(latency=0.01) as fake, fake.session() as session:
        image = first(fake)
        names = [f"n{number}" for number in range(6)]
        await asyncio.gather(*(session.images.rename(image, name) for name in names))
        assert fake.max_in_flight == 1
        assert [applied.name for applied in fake.ledger] == names
        assert not session._memory.locks._held


async def test_cancelling_holder_and_waiter_of_an_image_together_cancels_both() -> None:
    async with FakeE2E(faults="hang") as fake, fake.session() as session:
        image = first(fake)
        tasks = [
            asyncio.create_task(session.images.rename(image, f"n{number}")) for number in range(3)
        ]
        while not fake.calls:
            await asyncio.sleep(0.002)
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(end) for end in ends] == [asyncio.CancelledError] * 3
        assert not session._memory.locks._held


# Waits


async def test_an_image_that_turns_error_ends_every_wait_at_once() -> None:
    async with FakeE2E(save_seconds=0.05, save_result="Error") as fake, fake.session() as session:
        action = await session.images.save(node(fake), "n")
        image = list(fake.images)[-1]
        waits = [
            session.images.wait(image, interval=0.02, timeout=60),
            session.images.wait_saved(action, interval=0.02, timeout=60),
        ]
        began = time.perf_counter()
        for error in await asyncio.gather(*waits, return_exceptions=True):
            assert isinstance(error, aioe2e.ImageFailedError)
            assert error.image_id == image
        assert time.perf_counter() - began < SOON
        assert (
            await session.images.wait(image, aioe2e.ImageState.ERROR, interval=0.02)
        ).image_id == image


async def test_what_a_failed_image_is_called_is_shown_without_secrets_and_controls() -> None:
    async with FakeE2E() as fake, fake.session() as session:
        image = fake.images[first(fake)]
        image["name"] = f"{fake.credentials.api_key}\x1b[31m{'x' * 2000}"
        image["image_state"] = "error "
        with pytest.raises(aioe2e.ImageFailedError) as caught:
            await session.images.wait(first(fake))
        text = str(caught.value)
        assert fake.credentials.api_key not in text
        assert "\x1b" not in text
        assert len(text) < 1000


async def test_a_deleted_image_counts_as_gone() -> None:
    async with FakeE2E() as fake, fake.session() as session:
        image = first(fake)
        fake.images[image]["image_state"] = "Deleted"
        await session.images.wait_gone(image, timeout=SOON)
        with pytest.raises(aioe2e.NotFoundError):
            await session.images.wait(image)


async def test_wait_says_at_once_what_is_not_there() -> None:
    async with FakeE2E() as fake, fake.session() as session:
        with pytest.raises(aioe2e.NotFoundError):
            await session.images.wait(7)
        assert len(fake.calls) == 1


@pytest.mark.parametrize("kind", ["wait", "wait_gone", "wait_saved"])
async def test_a_wait_ends_with_its_timeout(kind: str) -> None:
    async with FakeE2E(save_seconds=60) as fake, fake.session() as session:
        action = await session.images.save(node(fake), "slow")
        image = list(fake.images)[-1]
        waits: dict[str, Callable[[], Awaitable[object]]] = {
            "wait": lambda: session.images.wait(image, timeout=0.15, interval=0.04),
            "wait_gone": lambda: session.images.wait_gone(image, timeout=0.15, interval=0.04),
            "wait_saved": lambda: session.images.wait_saved(action, timeout=0.15, interval=0.04),
        }
        wait = waits[kind]
        began = time.perf_counter()
        with pytest.raises(aioe2e.WaitTimeoutError, match=r"0\.15 s"):
            await wait()
        assert 0.14 < time.perf_counter() - began < SOON


@pytest.mark.parametrize("fault", ["hang", "reset", "500-html", "body-empty", "429-json-seconds"])
async def test_a_wait_ends_with_its_timeout_whatever_the_listing_does(fault: str) -> None:
    async with FakeE2E(faults=fault) as fake, fake.session() as session:
        began = time.perf_counter()
        with pytest.raises(aioe2e.WaitTimeoutError):
            await session.images.wait(first(fake), timeout=0.2, interval=0.02)
        assert time.perf_counter() - began < SOON


async def test_a_wait_goes_on_after_faults_that_pass_and_ends_with_those_that_do_not() -> None:
    async with FakeE2E(save_seconds=0.1) as fake, fake.session() as session:
        action = await session.images.save(node(fake), "n")
        fake.faults = Faults.on("list", "reset", times=2)
        assert (await session.images.wait_saved(action, interval=0.01, timeout=SOON)).name == "n"
        fake.faults = Faults.on("list", "401-json")
        with pytest.raises(aioe2e.AuthenticationError):
            await session.images.wait_gone(first(fake), interval=0.01, timeout=SOON)


@pytest.mark.parametrize(
    "bad",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": "5"},
        {"timeout": True},
        {"interval": 0},
        {"interval": 61},
        {"interval": None},
        {"interval": float("nan")},
        {"state": "READY"},
    ],
)
async def test_times_that_cannot_be_meant_are_refused(bad: dict[str, Any]) -> None:
    async with FakeE2E() as fake, fake.session() as session:
        with pytest.raises(aioe2e.UsageError):
            await session.images.wait(1, **bad)
        with pytest.raises(aioe2e.UsageError):
            await session.images.wait_saved("7")  # type: ignore[arg-type]  # what callers without types may do
        assert not fake.calls


async def test_500_waiters_cost_one_listing_per_interval() -> None:
    async with FakeE2E(images=500) as fake, fake.session() as session:
        for image in fake.images.values():
            image["image_state"] = "Creating"
        began = time.perf_counter()
        waits = [
            asyncio.create_task(session.images.wait(image, interval=0.2))
            for image in list(fake.images)
        ]
        await asyncio.sleep(1.0)
        for image in fake.images.values():
            image["image_state"] = "Ready"
        assert len(await asyncio.gather(*waits)) == 500
        # The interval grows by half each time: listings at 0, 0.2, 0.5, 0.95, 1.6.
        assert time.perf_counter() - began < SOON
        assert 3 <= len(fake.calls) <= 6
        assert fake.max_in_flight == 1


async def test_waiters_that_join_one_after_the_other_share_the_listings_of_those_who_wait_already() -> (
    None
):
    async with FakeE2E(images=40, nodes=1) as fake, fake.session() as session:
        for record in fake.images.values():
            record["image_state"] = "Creating"
        tasks = []
        for image in list(fake.images):
            tasks.append(asyncio.create_task(session.images.wait(image, interval=30)))
            if len(tasks) <= 2:  # the second is the first who finds that somebody waits already
                while session._memory.listings._watchers < len(tasks):
                    await asyncio.sleep(0.005)
            await asyncio.sleep(0.005)
        assert listings(fake) <= 2
        absent = asyncio.create_task(session.images.wait("1", interval=30))
        with pytest.raises(
            aioe2e.NotFoundError
        ):  # asked for anew, and not taken from an older listing
            await absent
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_long_wait_looks_ever_more_seldom() -> None:
    async with FakeE2E(images=1, nodes=1, save_seconds=30) as fake, fake.session() as session:
        action = await session.images.save(next(iter(fake.nodes)), "slow")
        with pytest.raises(aioe2e.WaitTimeoutError):
            await session.images.wait_saved(action, interval=0.02, timeout=0.8)
        # 0, 0.02, 0.05, 0.095, … and not one every 0.02 s
        assert 3 <= len([call for call in fake.calls if call.action == "list"]) <= 12


async def test_waits_of_different_intervals_share_the_listings_of_the_fastest() -> None:
    async with FakeE2E(images=3) as fake, fake.session() as session:
        slow, fast, gone = fake.images
        for image in fake.images.values():
            image["image_state"] = "Creating"
        tasks = [
            asyncio.create_task(session.images.wait(slow, interval=30)),
            asyncio.create_task(session.images.wait(fast, interval=0.05)),
            asyncio.create_task(session.images.wait_gone(gone, interval=30)),
        ]
        await asyncio.sleep(0.12)
        del fake.images[gone]
        fake.images[slow]["image_state"] = "Ready"
        began = time.perf_counter()
        await asyncio.gather(tasks[0], tasks[2])
        assert time.perf_counter() - began < SOON
        tasks[1].cancel()
        await asyncio.wait(tasks)
        assert listings(fake) <= 8


async def test_cancelled_waiters_leave_nothing_and_do_not_disturb_the_others() -> None:
    async with FakeE2E(images=40, latency=0.02) as fake, fake.session() as session:
        for image in fake.images.values():
            image["image_state"] = "Creating"
        tasks = [
            asyncio.create_task(session.images.wait(image, interval=0.05)) for image in fake.images
        ]
        await asyncio.sleep(0.01)  # the first of them is making the listing
        for task in tasks[:-1]:
            task.cancel()
        await asyncio.sleep(0.05)
        for image in fake.images.values():
            image["image_state"] = "Ready"
        assert (await tasks[-1]).state is aioe2e.ImageState.READY
        assert all(task.cancelled() for task in tasks[:-1])
        channel = session._channel
        assert (
            channel.gate.in_flight,
            session._memory.listings._watchers,
            session._memory.listings._round,
        ) == (0, 0, None)
        count = len(fake.calls)
        await asyncio.sleep(0.12)
        assert len(fake.calls) == count  # no poller runs on


# wait_saved: which image is it?


@pytest.mark.parametrize(
    "rules", [{}, {"disk_suffix": True}, {"image_id_in_save": True}, {"visible_after": 0.1}]
)
async def test_wait_saved_finds_the_image_of_its_save(rules: Any) -> None:
    async with FakeE2E(nodes=2, save_seconds=0.05, **rules) as fake, fake.session() as session:
        other = await session.images.save(node(fake, 1), "nightly-10")
        action = await session.images.save(node(fake), "nightly-1")
        images = await asyncio.gather(
            *(
                session.images.wait_saved(each, interval=0.02, timeout=60)
                for each in (action, other)
            )
        )
        made = {applied.name: applied.image_id for applied in fake.ledger}
        assert [image.image_id for image in images] == [made["nightly-1"], made["nightly-10"]]


async def test_wait_saved_does_not_take_an_older_image_of_that_name() -> None:
    async with (
        FakeE2E(nodes=2, save_seconds=0.05, unique_names=False, visible_after=0.15) as fake,
        fake.session() as session,
    ):
        fake.images[first(fake)]["name"] = "nightly"
        await session.images.list()
        action = await session.images.save(node(fake), "nightly")
        image = await session.images.wait_saved(action, interval=0.02, timeout=60)
        assert image.image_id == fake.ledger[-1].image_id


async def test_several_saves_of_one_name_are_never_given_the_same_image() -> None:
    async with (
        FakeE2E(nodes=3, save_seconds=0.05, unique_names=False) as fake,
        fake.session() as session,
    ):
        actions = [await session.images.save(node(fake, n), "nightly") for n in range(3)]
        ends = await asyncio.gather(
            *(session.images.wait_saved(action, interval=0.02, timeout=0.4) for action in actions),
            return_exceptions=True,
        )
        found = [end.image_id for end in ends if isinstance(end, aioe2e.SavedImage)]
        assert len(found) == len(set(found))
        assert all(isinstance(end, aioe2e.SavedImage | aioe2e.WaitTimeoutError) for end in ends)


async def test_wait_saved_serves_an_action_that_another_session_made() -> None:
    async with FakeE2E(save_seconds=0.05) as fake, fake.session() as one, fake.session() as two:
        action = await one.images.save(node(fake), "n")
        assert (await two.images.wait_saved(action, interval=0.02, timeout=60)).name == "n"


async def test_wait_saved_copes_with_a_save_that_is_dated_in_the_year_one() -> None:
    async with FakeE2E() as fake, fake.session() as session:
        image = first(fake)
        start = aioe2e._wire.codec.save_action(
            {"id": 1, "created_at": "0001-01-01T00:00:00Z"}, "1", fake.images[image]["name"]
        )
        assert (
            await session.images.wait_saved(start, interval=0.02, timeout=SOON)
        ).image_id == image


# Large listings


async def test_a_listing_of_ten_thousand_images_does_not_stall_the_loop(
    record_property: Any,
) -> None:
    with FakeE2E(images=10_000) as fake:  # on a thread of its own: its own work is not measured
        async with fake.session() as session:
            await session.images.get(first(fake))
            gaps: list[float] = []

            async def beat() -> None:
                last = (
                    time.thread_time()
                )  # not the clock on the wall: other work of the machine is no stall
                while True:
                    await asyncio.sleep(0)
                    now = time.thread_time()
                    gaps.append(now - last)
                    last = now

            gc.collect()
            gc.freeze()  # the emulator's own ten thousand records are no burden of the client's
            try:
                task = asyncio.create_task(beat())
                for _ in range(3):
                    assert len(await session.images.list()) == 10_000
                task.cancel()
                await asyncio.wait([task])
            finally:
                gc.unfreeze()
    gaps.sort()
    record_property("longest gap in ms", round(gaps[-1] * 1000, 1))
    print(f"longest gaps: {[round(gap * 1000, 1) for gap in gaps[-4:]]} ms")
    assert gaps[-1] < 0.1
