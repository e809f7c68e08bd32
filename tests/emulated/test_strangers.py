"""What the test doubles of the vendor's own clients answer is read right, and a foreign dialect is hinted at.

The shapes are those of the doubles; the values are made up.
"""

from __future__ import annotations

from typing import Any

import pytest
from odd_server import Asked, Says, odd_server

import aioe2e
from aioe2e import Dialect, ImageState
from aioe2e.testing import FakeE2E

#: What e2ectl's double lists: `image_name`, `available`, numbers, and few of the fields.
LISTED: list[dict[str, Any]] = [
    {
        "image_id": "7102",
        "image_name": "web-golden",
        "image_state": "available",
        "creation_time": "2026-03-12T10:00:00Z",
        "image_size": "45 GB",
        "os_distribution": "Ubuntu 24.04",
        "running_vms": 2,
    },
    {
        "image_id": "img-7101",
        "image_name": "db-golden",
        "image_state": "READY",
        "creation_time": "2026-03-11T09:00:00Z",
        "image_size": "30 GB",
        "os_distribution": "CentOS 7",
        "running_vms": 0,
        "scaler_group_count": 1,
        "is_windows": False,
        "node_plans_available": True,
        "project_name": "default-project",
    },
]


OK = {"message": "OK"}


def e2ectl(asked: Asked) -> Says:
    """What the double of e2ectl answers."""
    if (asked.method, asked.path) == ("GET", "images/saved-images/"):
        return Says(LISTED, envelope=OK)
    if (asked.method, asked.path) == ("PUT", "images/7102/"):
        return Says({"status": True, "message": "Saved image renamed successfully."}, envelope=OK)
    if (asked.method, asked.path) == ("DELETE", "images/7102/"):
        return Says({}, envelope={"message": "Image deleted successfully."})
    if (asked.method, asked.path) == ("PUT", "nodes/101/actions/"):
        action = {
            "id": 703,
            "image_id": "img-455",
            "action_type": "Save Image",
            "created_at": "2026-03-14T08:20:00Z",
            "resource_id": "101",
            "status": "In Progress",
        }
        return Says(action, envelope=OK)
    return Says(status=404, whole={"code": 404, "data": {}, "errors": {}, "message": "Not found"})


async def test_what_e2ectls_double_answers_is_read_right() -> None:
    async with odd_server(e2ectl, dialect=Dialect.CURRENT) as (session, asked):
        images = {image.image_id: image for image in await session.images.list()}
        web, db = images["7102"], images["img-7101"]
        assert (web.name, web.state, web.running_vms) == ("web-golden", ImageState.READY, 2)
        assert (db.name, db.state, db.in_use) == ("db-golden", ImageState.READY, True)
        result = await session.images.rename(web, "web-platinum")
        assert result.message == "Saved image renamed successfully."
        assert (await session.images.delete(web)).message == "Image deleted successfully."
        action = await session.images.save("101", "nightly")
        assert (action.action_id, action.image_id, action.status) == (
            "703",
            "img-455",
            "In Progress",
        )
        assert [(one.method, one.path) for one in asked] == [
            ("GET", "images/saved-images/"),
            ("PUT", "images/7102/"),
            ("DELETE", "images/7102/"),
            ("PUT", "nodes/101/actions/"),
        ]


#: How the double of the Go client answers a delete, and its listing: without `errors`.
GO_ENVELOPE = {"code": 200, "message": "Success"}


async def test_what_the_go_clients_double_answers_is_read_right() -> None:
    row = {
        "image_id": "24440",
        "template_id": 101,
        "name": "app_1726058019_1726058019",
        "os_distribution": "DEL-app_1726058019",
        "distro": "ubuntu",
        "image_state": "Ready",
        "image_type": "E2E Image",
        "image_size": "95.368 GB",
        "creation_time": "11-09-2024 18:03:37",
        "running_vms": "0",
        "cloning_ops": "0",
        "vm_info": [],
        "is_windows": False,
        "sku_type": "C3VPS",
    }

    def answer(asked: Asked) -> Says:
        if asked.method == "GET":
            return Says(whole=GO_ENVELOPE | {"data": [row]})
        said = "Image name changed successfully" if asked.method == "PUT" else "Image deleted"
        status = {"status": True} if asked.method == "PUT" else {}
        return Says(whole=GO_ENVELOPE | {"data": {"message": said, **status}})

    async with odd_server(answer, dialect=Dialect.CURRENT) as (session, _):
        (image,) = await session.images.list()
        assert (image.template_id, image.size_gb, image.in_use) == (101, 95.368, False)
        assert image.creation_time is not None
        assert image.creation_time.isoformat() == "2024-09-11T18:03:37+05:30"
        assert (await session.images.rename(image, "x")).message
        assert (await session.images.delete(image)).message == "Image deleted"


@pytest.mark.parametrize("action", ["rename", "delete", "save"])
async def test_a_404_where_a_route_knows_no_post_is_hinted_to_be_one_of_the_dialect(
    action: str,
) -> None:
    async with (
        FakeE2E(dialects="current", refuse_dialect_with=404) as fake,
        fake.session(dialect=Dialect.DOCUMENTED) as session,
    ):
        image, node = next(iter(fake.images)), next(iter(fake.nodes))
        with pytest.raises(aioe2e.NotFoundError, match="Dialect") as refused:
            if action == "rename":
                await session.images.rename(image, "golden")
            elif action == "delete":
                await session.images.delete(image)
            else:
                await session.images.save(node, "nightly")
        assert "project_id" in str(refused.value), "it may be that, too"
        assert fake.ledger == []


async def test_a_404_of_a_reading_says_nothing_of_the_dialect() -> None:
    async with FakeE2E() as fake, fake.session() as session:
        with pytest.raises(aioe2e.NotFoundError) as refused:
            await session.request("GET", "volumes/")
        assert "Dialect" not in str(refused.value)
