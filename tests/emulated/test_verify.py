"""verify=True: a run ends when the listing shows what its steps promised, or says what it shows instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from patience import SOON

import aioe2e
from aioe2e import OutcomeUnknownError, Plan, Report, Status, Step, UsageError
from aioe2e.testing import FakeE2E


def unused(count: int) -> list[dict[str, Any]]:
    return [
        {"image_id": str(n), "name": f"n{n}", "image_state": "Ready"} for n in range(1, count + 1)
    ]


def mixed(fake: FakeE2E) -> Plan:
    node = next(iter(fake.nodes))
    steps = [Step.delete("1"), Step.rename("2", "other"), Step.save(node, "fresh")]
    return Plan.of([*steps, Step.rename(aioe2e.SavedImage(image_id="3", name="n3"), "n3")])


async def test_a_run_that_is_verified_ends_when_the_listing_shows_what_it_promised() -> None:
    async with (
        FakeE2E(unused(20), delete_seconds=0.15, opennebula=True) as fake,
        fake.session() as session,
    ):
        report = await session.images.bulk_delete(list(fake.images), verify=True)
        assert report.ok
        assert await session.images.list() == []
        assert report.elapsed >= 0.15


async def test_every_action_is_verified() -> None:
    async with FakeE2E(unused(3), save_seconds=0.05) as fake, fake.session() as session:
        report = await session.images.run(mixed(fake), verify=True)
        assert [o.status.value for o in report] == ["done", "done", "done", "unchanged"]
        (action,) = report.saved()
        assert action.image_id is not None  # the listing told
        image = await session.images.wait_saved(action, interval=0.05)
        assert image.name.startswith("fresh")


async def test_an_image_that_stays_listed_is_unknown_and_may_be_deleted_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "j"
    async with (
        FakeE2E(unused(3), delete_seconds=60.0, opennebula=True) as fake,
        fake.session() as session,
    ):
        plan = Plan.delete(["1", "2"])
        report = await session.images.run(plan, verify=0.2, journal=path)
        error = report[0].error
        assert [o.status for o in report] == [Status.UNKNOWN] * 2
        assert isinstance(error, OutcomeUnknownError)
        assert "the server said that it is done, and after 0.2 s the listing still shows it" in str(
            error
        )
        assert [step.open for step in report.remaining()] == [True, True]
    assert Plan.resume(path) == report.remaining()
    assert [o.status for o in Report.from_journal(path)] == [Status.UNKNOWN] * 2


async def test_what_others_undo_meanwhile_is_not_done() -> None:
    async with FakeE2E(unused(3)) as fake, fake.session() as session, fake.session() as other:
        stream = session.images.stream(mixed(fake), verify=0.3)
        report = await stream.drain()
        assert report.ok
        await other.images.rename("2", "renamed by another")
        undone = await session.images.run(
            Plan.rename([(aioe2e.SavedImage(image_id="2", name="other"), "other")]), verify=0.2
        )
        assert undone[0].status is Status.UNKNOWN  # it was said to have the name already
        assert "the listing shows the name 'renamed by another'" in str(undone[0].error)


async def test_an_account_that_cannot_be_listed_verifies_nothing() -> None:
    async with FakeE2E(unused(3)) as fake, fake.session() as session:
        fake.inject("403-json", "list")
        report = await session.images.bulk_delete(["1"], verify=0.2)
        assert report[0].status is Status.UNKNOWN
        assert "no listing could be read" in str(report[0].error)


async def test_the_deadline_bounds_the_verification_too() -> None:
    async with (
        FakeE2E(unused(1), delete_seconds=60.0, opennebula=True) as fake,
        fake.session() as session,
    ):
        report = await session.images.bulk_delete(["1"], verify=30, deadline=0.3)
        assert report[0].status is Status.UNKNOWN
        assert report.elapsed < SOON


@pytest.mark.parametrize("value", ["yes", 0, -1, float("inf"), float("nan"), None])
async def test_verify_is_a_flag_or_a_number_of_seconds(value: Any) -> None:
    async with FakeE2E(unused(1)) as fake, fake.session() as session:
        with pytest.raises(UsageError, match="verify: True, False or a number of seconds"):
            await session.images.bulk_delete(["1"], verify=value)
        assert not fake.calls


async def test_a_stream_is_not_verified_and_says_so_before_anything_is_sent() -> None:
    async with FakeE2E(unused(1)) as fake, fake.session() as session:
        with pytest.raises(UsageError, match="verify: it needs a Plan"):
            await session.images.bulk_delete(iter(["1"]), verify=True)
        with pytest.raises(UsageError, match="taken one by one cannot be verified"):
            async with session.images.stream(Plan.delete(["1"]), verify=True):
                pass
        assert not fake.calls
