"""`wait_saved` for a program that lost the action: by the node, the name and a moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aioe2e import UsageError
from aioe2e.testing import FakeE2E

NOW = datetime.now(UTC)


@pytest.mark.parametrize("disk_suffix", [False, True])
async def test_the_image_of_a_save_is_found_by_node_name_and_moment(disk_suffix: bool) -> None:
    async with FakeE2E(images=5, nodes=2, save_seconds=0.05, disk_suffix=disk_suffix) as fake:
        node = next(iter(fake.nodes))
        moment = datetime.now(UTC) - timedelta(seconds=1)
        async with fake.session() as session:
            await session.images.save(node, "nightly")
        async with fake.session() as other:
            image = await other.images.wait_saved(
                node=node, name="nightly", since=moment, interval=0.02, timeout=20
            )
            assert image.image_id in {line.image_id for line in fake.ledger}
            again = await other.images.wait_saved(
                node=node, name="nightly", since=moment, interval=0.02, timeout=20
            )
            assert again.image_id == image.image_id


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "missing: node, name, since"),
        ({"node": "7", "name": "n"}, "missing: since"),
        ({"node": "7", "name": "n", "since": NOW.replace(tzinfo=None)}, "time zone"),
        ({"node": "7", "name": "n", "since": "today"}, "time zone"),
        ({"node": "7", "name": " n", "since": NOW}, "name"),
        ({"node": "no id!", "name": "n", "since": NOW}, "node"),
        ({"action": "7"}, "SaveAction"),
    ],
)
async def test_what_cannot_be_waited_for_is_refused_before_anything_is_sent(
    arguments: dict[str, Any], text: str
) -> None:
    async with FakeE2E() as fake, fake.session() as session:
        with pytest.raises(UsageError, match=text):
            await session.images.wait_saved(**arguments)
        assert not fake.calls


async def test_an_action_and_a_node_at_once_are_refused() -> None:
    async with FakeE2E(nodes=1) as fake, fake.session() as session:
        action = await session.images.save(next(iter(fake.nodes)), "nightly")
        with pytest.raises(UsageError, match="either"):
            await session.images.wait_saved(action, name="nightly")
