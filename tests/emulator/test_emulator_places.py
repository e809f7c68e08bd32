"""Images and nodes belong to a project and a location, and only those who name them see them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from emulator_client import LIST, Answer, ask, delete, rename, save

import aioe2e
from aioe2e.testing import FakeE2E


async def at(
    fake: FakeE2E,
    method: str,
    path: str,
    body: Any = None,
    *,
    project: str | None = None,
    location: str | None = None,
) -> Answer:
    query = f"apikey={fake.credentials.api_key}"
    if project is not None:
        query += f"&project_id={project}"
    if location is not None:
        query += f"&location={location}"
    return await ask(fake, method, path, body, query=query)


ELSEWHERE: list[dict[str, str]] = [
    {"project": "9"},
    {"location": "Chennai"},
    {"location": "delhi"},
    {"project": "9", "location": "Chennai"},
]


@pytest.mark.parametrize("place", ELSEWHERE)
async def test_another_project_or_location_lists_nothing_and_has_no_such_image(
    place: dict[str, str],
) -> None:
    async with FakeE2E() as fake:
        image, node = next(iter(fake.images)), next(iter(fake.nodes))
        for listing in ("images/saved-images/", "nodes/"):
            answer = await at(fake, "GET", listing, **place)
            assert (answer.status, answer.json["data"]) == (200, [])
        requests: list[tuple[str, str, Any]] = [
            ("GET", f"images/{image}/", None),
            rename(image, "golden"),
            delete(image),
            ("GET", f"nodes/{node}/", None),
            save(node, "nightly"),
        ]
        for request in requests:
            assert (await at(fake, *request, **place)).status == 404, request
        assert fake.ledger == []


async def test_a_request_that_names_its_place_or_none_lists_everything_there() -> None:
    async with FakeE2E() as fake:
        for place in ({}, {"project": "12345"}, {"location": "Delhi", "project": "12345"}):
            assert len((await at(fake, *LIST, **place)).json["data"]) == 20


async def test_generated_images_and_nodes_are_spread_over_all_places() -> None:
    async with FakeE2E(8, 8, projects=["7", "8"], locations=["Delhi", "Chennai"]) as fake:
        assert (fake.project_id, fake.location) == (7, "Delhi")
        seen: list[str] = []
        for project in ("7", "8"):
            for location in ("Delhi", "Chennai"):
                place = {"project": project, "location": location}
                images = (await at(fake, *LIST, **place)).json["data"]
                nodes = (await at(fake, "GET", "nodes/", **place)).json["data"]
                assert (len(images), len(nodes)) == (2, 2)
                details = await at(fake, "GET", f"nodes/{nodes[0]['id']}/", **place)
                assert details.json["data"]["location"] == location
                seen += [image["image_id"] for image in images]
        assert sorted(seen) == sorted(fake.images)
        assert len((await at(fake, *LIST)).json["data"]) == 2, "the first of both"


async def test_a_saved_image_is_at_the_place_of_its_node_and_names_are_unique_per_place() -> None:
    async with FakeE2E(0, 2, locations=["Delhi", "Chennai"], refuse_busy_node=False) as fake:
        first, second = fake.nodes
        assert (await at(fake, *save(first, "nightly"), location="Delhi")).status == 202
        assert (await at(fake, *save(first, "nightly"), location="Delhi")).status == 412
        assert (await at(fake, *save(second, "nightly"), location="Chennai")).status == 202
        assert [image.location for image in fake.images.values()] == ["Delhi", "Chennai"]


@pytest.mark.parametrize(
    ("rules", "place", "status", "says"),
    [
        ({"projects": ["7"]}, {"project": "9"}, 404, "Project not found"),
        ({"locations": ["Delhi"]}, {"location": "Dehli"}, 400, '"Dehli" is not a valid choice.'),
        ({}, {"project": "default"}, 400, "A valid integer is required."),
        ({}, {"project": "-1"}, 400, "A valid integer is required."),
        ({"required_query": ["location"]}, {}, 400, "This field is required."),
    ],
)
async def test_an_invalid_project_or_location_is_refused(
    rules: dict[str, Any], place: dict[str, str], status: int, says: str
) -> None:
    async with FakeE2E(**rules) as fake:
        answer = await at(fake, *LIST, **place)
        assert answer.status == status
        assert says in answer.body.decode().replace('\\"', '"')


async def test_a_lagging_listing_lags_in_its_own_place_only() -> None:
    async with FakeE2E(2, locations=["Delhi", "Chennai"], listing_lag=60) as fake:
        first, second = fake.images
        await at(fake, *rename(first, "golden"), location="Delhi")
        await at(fake, *delete(second), location="Chennai")
        for location, image in (("Delhi", first), ("Chennai", second)):
            listed = (await at(fake, *LIST, location=location)).json["data"]
            assert [item["image_id"] for item in listed] == [image]


async def test_given_objects_name_their_place_and_a_test_may_move_them() -> None:
    images = [
        {"image_id": 1, "name": "here"},
        {"image_id": 2, "name": "there", "location": "Chennai", "project_id": 9},
    ]
    async with FakeE2E(images) as fake:
        fake.images["3"] = {"image_id": 3, "name": "put in", "location": "Chennai"}
        assert [image["image_id"] for image in (await at(fake, *LIST)).json["data"]] == [1]
        fake.images["1"].location = "Chennai"
        fake.images["2"].project = "12345"
        listed = (await at(fake, *LIST, location="Chennai")).json["data"]
        assert [image["image_id"] for image in listed] == [1, 2, 3]
        assert (await at(fake, *LIST)).json["data"] == []
        fake.images["4"] = fake.images.pop("1")
        assert fake.images["4"].place == ("12345", "Chennai")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"images": [{"image_id": 1, "location": "Mumbai"}], "locations": ["Delhi", "Chennai"]},
            r"images\[0\]: location 'Mumbai' is none of the account's; it has Delhi, Chennai",
        ),
        (
            {"nodes": [{"id": 1}, {"id": 2, "project_id": 9}], "projects": ["7"]},
            r"nodes\[1\]: project_id '9' is none of the account's; it has 7",
        ),
        ({"locations": []}, "Rules.locations must be at least one"),
        ({"projects": []}, "Rules.projects must be at least one"),
        ({"locations": "Delhi"}, "Rules.locations must be a collection of strings"),
    ],
)
def test_an_account_that_contradicts_itself_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(aioe2e.UsageError, match=says):
        FakeE2E(**options)


async def test_requests_for_many_places_use_no_memory() -> None:
    async with FakeE2E(1) as fake:
        for number in range(50):
            await at(fake, *LIST, project=str(number + 1))
        assert len(fake.images._encoded) == 0


# Nodes


async def test_the_listing_of_nodes_has_rows_and_a_node_has_details() -> None:
    async with FakeE2E(nodes=3) as fake:
        rows = (await ask(fake, "GET", "nodes/")).json["data"]
        assert set(rows[0]) == {
            "id",
            "name",
            "status",
            "plan",
            "public_ip_address",
            "private_ip_address",
            "is_locked",
            "rescue_mode_status",
            "is_accidental_protection",
            "isEncryptionEnabled",
        }
        node = (await ask(fake, "GET", f"nodes/{rows[0]['id']}/")).json["data"]
        more = {"vm_id", "label", "created_at", "disk", "memory", "vcpus", "price", "location"}
        assert more | {"os_info"} <= set(node)
        assert node["vm_id"] != node["id"]
        assert set(node["os_info"]) == {"category", "name", "version", "full_name"}


@pytest.mark.parametrize(
    ("query", "ids", "pages"),
    [
        ("", range(10), 3),
        ("&page_no=3", range(20, 25), 3),
        ("&page_no=4", [], 3),
        ("&page_no=0", range(10), 3),
        ("&per_page=4&page_no=2", range(4, 8), 7),
        ("&per_page=100", range(10), 3),
    ],
)
async def test_nodes_come_in_pages_of_the_size_that_the_rules_allow(
    query: str, ids: Any, pages: int
) -> None:
    nodes = [{"id": number, "name": f"n{number}", "status": "Running"} for number in range(25)]
    async with FakeE2E(nodes=nodes, nodes_per_page=10) as fake:
        key = f"apikey={fake.credentials.api_key}"
        reply = (await ask(fake, "GET", "nodes/", query=key + query)).json
        assert [node["id"] for node in reply["data"]] == list(ids)
        assert (reply["total_count"], reply["total_page_number"]) == (25, pages)


async def test_a_node_is_saving_in_the_listing_and_then_has_its_former_status() -> None:
    async with FakeE2E(nodes=1, save_seconds=600) as fake:
        (node,) = fake.nodes
        fake.nodes[node]["status"] = "Powered off"
        await ask(fake, *save(node, "nightly"))
        assert (await ask(fake, "GET", "nodes/")).json["data"][0]["status"] == "Saving"
        # What the clock would do in ten minutes.
        fake._store._due.sort()
        fake._store._due[0][2]()
        assert fake.nodes[node]["status"] == "Powered off"


# Routes


@pytest.mark.parametrize("path", ["volumes/", "images/upgradeimage/7/", "nodes/7/snapshot/x", ""])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_request_that_is_not_emulated_gets_an_error_envelope(
    path: str, method: str
) -> None:
    async with FakeE2E() as fake:
        answer = await ask(fake, method, path)
        assert (answer.status, answer.json["code"], answer.json["data"]) == (404, 404, {})
        says = f"The emulator serves nothing at /myaccount/api/v1/{path}"
        assert answer.json["message"] == says
        assert answer.header("Content-Type") == "application/json; charset=utf-8"


@pytest.mark.parametrize("path", ["images/os-category/", "images/category-list/"])
async def test_operating_systems_are_listed_by_category(path: str) -> None:
    async with FakeE2E() as fake:
        for entry in (await ask(fake, "GET", path)).json["data"]["category_list"]:
            assert isinstance(entry["OS"], str)
            assert isinstance(entry["category"], list)
            assert set(entry["version"][0]) >= {"os", "version", "sub_category"}
        assert (fake.calls[0].action, fake.calls[0].target) == ("catalogue", "")


async def test_the_owner_of_the_credentials_is_named() -> None:
    async with FakeE2E() as fake:
        data = (await ask(fake, "GET", "iam/multi-crn/")).json["data"]
        owners = [item["crn"] for item in data["crn_data"] if item["iam_type"] == "Owner"]
        assert owners
        for path in ("customer/details/", "accounts/profile/detail/"):
            profile = (await ask(fake, "GET", path)).json["data"]
            assert profile["project_id"] == fake.project_id


async def test_the_save_of_the_go_client_is_a_dialect_of_its_own() -> None:
    body = {"action_type": "save_images", "name": "nightly"}
    async with FakeE2E(dialects="goe2e") as fake:
        node, image = next(iter(fake.nodes)), next(iter(fake.images))
        refused = await ask(fake, "PUT", f"nodes/{node}/actions/", body | {"type": "save_images"})
        assert (refused.status, fake.ledger) == (405, [])
        assert (await ask(fake, "PUT", f"nodes/{node}/", body)).status == 200
        assert (await ask(fake, "DELETE", f"images/{image}")).status == 200
        assert [entry.action for entry in fake.ledger] == ["save", "delete"]
        assert fake.calls[1].action == "save"
    async with FakeE2E(dialects=["documented", "current", "put"]) as fake:
        node = next(iter(fake.nodes))
        refused = await ask(fake, "PUT", f"nodes/{node}/", body)
        assert (refused.status, refused.header("Allow"), fake.ledger) == (405, "GET", [])


async def test_images_keep_the_fields_they_were_given_with() -> None:
    images: list[dict[str, Any]] = [
        {"image_id": 1, "image_name": "a"},
        {"image_id": 2, "name": "b"},
        {"image_id": 3, "name": "c", "image_name": "c"},
    ]
    async with FakeE2E(images) as fake:
        assert (await ask(fake, *rename("2", "a"))).status == 412, "taken, whatever it is called"
        assert (await ask(fake, *rename("1", "golden"))).status == 200
        assert (await ask(fake, *rename("3", "both"))).status == 200
        assert (await ask(fake, *rename("2", "a"))).status == 200, "free again"
        assert (await ask(fake, *LIST)).json["data"] == [
            {"image_id": 1, "image_name": "golden"},
            {"image_id": 2, "name": "a"},
            {"image_id": 3, "name": "both", "image_name": "both"},
        ]
        assert fake.ledger[0].previous == "a"
        await ask(fake, *delete("1"))
        assert fake.ledger[-1].name == "golden"
        json.dumps(list(fake.images.values()))
