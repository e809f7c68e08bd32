"""A save that was under way when its process died, settled by the next process."""

from __future__ import annotations

from pathlib import Path

import pytest

import aioe2e
from aioe2e import Plan, Status
from aioe2e.bulk.journal import Journal
from aioe2e.testing import FakeE2E


@pytest.mark.parametrize("applied", [True, False])
async def test_a_save_that_a_crash_left_open_is_done_only_if_its_image_is_there(
    tmp_path: Path, applied: bool
) -> None:
    path = tmp_path / "saves.jsonl"
    async with FakeE2E(images=5, nodes=2, save_seconds=0.0) as fake:
        node = next(iter(fake.nodes))
        plan = Plan.save({node: "nightly"})
        with Journal.open(path, plan) as journal:
            journal.sent(0)
        if applied:
            async with fake.session() as died:
                await died.images.save(node, "nightly")
        async with fake.session() as session:
            left = Plan.resume(path)
            assert left
            assert not left.steps
            assert left.unknown[0].sent_at is not None
            report = await session.images.run(left, journal=path)
            assert [outcome.status for outcome in report] == [Status.UNKNOWN]
            assert len(fake.ledger) == int(applied)
            settled = await session.images.reconcile(report)
            assert settled[0].status is (Status.DONE if applied else Status.UNKNOWN)
            if applied:
                result = settled[0].result
                assert isinstance(result, aioe2e.SaveAction)
                assert result.image_id in fake.images
        assert Plan.from_dict(left.to_dict()) == left
