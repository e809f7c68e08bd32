"""What a session says when listings show the account as it was a moment ago, or not the whole of it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from patience import SOON

import aioe2e
from aioe2e import OutcomeUnknownError, Plan, RetryPolicy, Status
from aioe2e.testing import FakeE2E, Fault, Faults

LAG = 0.3
#: Two attempts, and looks that last a little longer than the listings are late.
PATIENT = RetryPolicy(attempts=2, base=0.001, look=LAG + 0.2)
LOST = Fault("reset", False)


async def test_a_rename_back_is_not_proven_by_a_listing_from_before_the_rename_away() -> None:
    async with FakeE2E(images=3, listing_lag=LAG) as fake, fake.session(retry=PATIENT) as session:
        image = (await session.images.list())[0]
        await session.images.rename(image, "away")
        fake.faults = Faults.on("rename", LOST, times=None)
        with pytest.raises(OutcomeUnknownError):
            await session.images.rename(image, image.name)
        assert fake.images[image.image_id]["name"] == "away"


async def test_a_rename_back_that_was_applied_is_done_all_the_same() -> None:
    async with FakeE2E(images=3, listing_lag=LAG) as fake, fake.session(retry=PATIENT) as session:
        image = (await session.images.list())[0]
        await session.images.rename(image, "away")
        fake.faults = Faults.on("rename", Fault("reset", True), times=None)
        await session.images.rename(image, image.name)
        assert fake.images[image.image_id]["name"] == image.name


async def test_a_swap_back_is_not_proven_by_a_listing_from_before_the_first_swap() -> None:
    async with FakeE2E(images=2, listing_lag=LAG) as fake, fake.session(retry=PATIENT) as session:
        one, two = await session.images.list()
        assert (await session.images.bulk_rename([(one, two.name), (two, one.name)])).ok
        fake.faults = Faults.on("rename", LOST, times=None)
        report = await session.images.bulk_rename(
            [(one, one.name), (two, two.name)], existing=await session.images.list()
        )
        assert not report.where(Status.DONE)


async def test_the_delete_of_a_new_image_is_not_proven_by_a_listing_from_before_it_was_made() -> (
    None
):
    async with (
        FakeE2E(images=3, nodes=1, save_seconds=0.0) as fake,
        fake.session(retry=PATIENT) as session,
    ):
        action = await session.images.save(next(iter(fake.nodes)), "new")
        image = await session.images.wait_saved(action, interval=0.02)
        fake.faults = Faults.on("delete", LOST, times=None) + Faults.on(
            "list", Fault("stale-listing", seconds=LAG), times=2
        )
        with pytest.raises(OutcomeUnknownError):
            await session.images.delete(image)
        assert image.image_id in fake.images


async def test_the_delete_of_an_image_that_was_never_seen_is_proven_by_its_absence_after_a_while_only() -> (
    None
):
    async with FakeE2E(images=3) as fake, fake.session(retry=PATIENT) as session:
        fake.faults = Faults.on("delete", Fault("reset", True), times=None)
        began = time.monotonic()
        await session.images.delete("26318")
        assert "26318" not in fake.images
        asked = [call.time for call in fake.calls if call.action == "list"]
        assert asked[-1] - began >= PATIENT.look


@pytest.mark.parametrize("how", ["reconcile", "missing_ok", "wait_gone", "wait"])
async def test_an_image_that_has_not_come_up_yet_is_not_taken_for_gone(how: str) -> None:
    async with (
        FakeE2E(
            images=3, nodes=1, image_id_in_save=True, visible_after=0.4, save_seconds=0.0
        ) as fake,
        fake.session(retry=PATIENT) as session,
    ):
        action = await session.images.save(next(iter(fake.nodes)), "young")
        young = str(action.image_id)
        if how == "reconcile":
            fake.faults = Faults.on("delete", LOST, times=None) + Faults.on(
                "list", "500-json", times=8
            )
            hasty = session.with_options(retry=RetryPolicy(attempts=1, look=0.0))
            report = await hasty.images.bulk_delete([young])
            fake.faults = None
            assert (await session.images.reconcile(report)).counts()[Status.UNKNOWN] == 1
        elif how == "missing_ok":
            fake.faults = Faults.on("delete", "404-json", times=None)
            with pytest.raises(aioe2e.NotFoundError) as caught:
                await session.images.delete(young, missing_ok=True)
            assert not caught.value.confirmed
        elif how == "wait_gone":
            with pytest.raises(aioe2e.WaitTimeoutError):
                await session.images.wait_gone(young, timeout=0.2, interval=0.02)
        else:
            assert (await session.images.wait(young, timeout=SOON, interval=0.02)).name == "young"
        assert young in fake.images


async def test_a_listing_that_says_that_there_is_more_proves_no_delete() -> None:
    async with FakeE2E(images=5) as fake, fake.session(retry=PATIENT) as session:
        image = (await session.images.list())[0]
        fake.faults = Faults.on("delete", LOST, times=None) + Faults.on(
            "list", "odd-paged", times=None
        )
        with pytest.raises(OutcomeUnknownError):
            await session.images.delete(image)
        with pytest.raises(aioe2e.WaitTimeoutError):
            await session.images.wait_gone("999", timeout=0.1, interval=0.02)


async def test_two_saves_whose_names_look_alike_get_their_own_images() -> None:
    async with (
        FakeE2E(images=1, nodes=2, save_seconds=0.0) as fake,
        fake.session(retry=PATIENT) as session,
    ):
        first, second = fake.nodes
        made = {}
        for node, name in ((second, "web_2"), (first, "web")):
            made[name] = await session.images.save(node, name)
        found: dict[str, Any] = {
            name: await session.images.wait_saved(action, interval=0.02)
            for name, action in made.items()
        }
        assert {name: image.name for name, image in found.items()} == {
            "web": "web",
            "web_2": "web_2",
        }


async def test_a_reply_to_a_save_that_says_nothing_is_no_reason_to_take_an_older_image() -> None:
    old = {
        "image_id": "7",
        "name": "nightly_1700000000",
        "image_state": "Ready",
        "creation_time": "14-11-2023 22:13:20",
    }
    async with (
        FakeE2E([old], nodes=1, save_seconds=0.0, visible_after=0.1) as fake,
        fake.session() as session,
    ):
        await session.images.list()
        fake.inject("odd-bare", "save")
        action = await session.images.save(next(iter(fake.nodes)), "nightly")
        assert action.action_id is None
        image = await session.images.wait_saved(action, interval=0.02)
        assert image.name == "nightly"


async def test_a_write_that_a_run_cut_off_is_not_reconciled_by_a_late_listing() -> None:
    patient = RetryPolicy(attempts=2, base=0.001, look=2.5)
    async with FakeE2E(images=2, listing_lag=2.0) as fake, fake.session(retry=patient) as session:
        image = (await session.images.list())[0]
        await session.images.rename(image, "away")
        fake.faults = Faults.on("rename", Fault("hang", False, seconds=5), times=None)
        report = await session.images.bulk_rename({image.image_id: image.name}, deadline=0.4)
        assert report.counts()[Status.UNKNOWN] == 1
        assert (await session.images.reconcile(report)).counts()[Status.UNKNOWN] == 1
        assert fake.images[image.image_id]["name"] == "away"


async def test_a_rename_back_of_what_another_session_renamed_is_not_proven_by_a_late_listing() -> (
    None
):
    async with FakeE2E(images=2, listing_lag=LAG) as fake, fake.session(retry=PATIENT) as one:
        image = (await one.images.list())[0]
        await one.images.rename(image, "away")
        await asyncio.sleep(LAG)
        async with fake.session(retry=PATIENT) as two:
            assert (await two.images.get(image)).name == "away"
            fake.faults = Faults.on("rename", LOST, times=None) + Faults.on(
                "list", Fault("stale-listing", seconds=5 * LAG), times=1
            )
            with pytest.raises(OutcomeUnknownError):
                await two.images.rename(image, image.name)


async def test_an_image_that_was_seen_a_moment_ago_is_waited_for_when_a_late_listing_does_not_show_it() -> (
    None
):
    async with (
        FakeE2E(images=2, nodes=1, save_seconds=0.0) as fake,
        fake.session(retry=PATIENT) as session,
    ):
        action = await session.images.save(next(iter(fake.nodes)), "new")
        image = await session.images.wait_saved(action, interval=0.02)
        fake.inject(Fault("stale-listing", seconds=5.0), "list")
        assert (
            await session.images.wait(image, interval=0.02, timeout=SOON)
        ).image_id == image.image_id
        fake.inject(Fault("stale-listing", seconds=5.0), "list")
        with pytest.raises(aioe2e.NotFoundError) as caught:
            await session.images.get(image)
        assert not caught.value.confirmed


async def test_saves_of_an_earlier_process_are_rivals_of_each_other(tmp_path: Path) -> None:
    path = tmp_path / "saves.journal"
    async with FakeE2E(images=1, nodes=2, save_seconds=0.0, disk_suffix=True) as fake:
        first, second = fake.nodes
        plan = Plan.save({first: "web", second: "web-disk-0"})
        async with fake.session(retry=RetryPolicy(attempts=1, look=0.0)) as session:
            fake.faults = Faults.on("save", LOST, target=first) + Faults.on(
                "save", Fault("reset", True), target=second
            )
            fake.faults += Faults.on("list", "500-json", times=20)
            assert (await session.images.run(plan, journal=path)).counts()[Status.UNKNOWN] == 2
        fake.faults = None
        async with fake.session() as session:
            report = await session.images.run(Plan.resume(path), journal=path)
            settled = await session.images.reconcile(report)
        assert {outcome.step.name: outcome.status for outcome in settled} == {
            "web": Status.UNKNOWN,
            "web-disk-0": Status.DONE,
        }


async def test_a_delete_that_only_needs_time_to_be_proven_is_not_sent_again_and_again() -> None:
    retry = RetryPolicy(attempts=4, base=0.001, look=0.4)
    async with FakeE2E(images=2) as fake, fake.session(retry=retry) as session:
        fake.inject(Fault("reset", True), "delete")
        await session.images.delete("26318")  # an id that this session has not seen
        assert len([call for call in fake.calls if call.action == "delete"]) == 2
