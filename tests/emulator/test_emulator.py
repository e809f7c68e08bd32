"""The emulator over its socket: dialects, shapes, credentials, time, limits, lifetime."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import threading
import time
import typing
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from emulator_client import LIST, ask, delete, exchange, rename, request_bytes, save
from patience import SOON

import aioe2e
from aioe2e.testing import FakeE2E

BODIES = {
    "rename": {"action_type": "rename", "name": "golden"},
    "delete": {"action_type": "delete_image"},
}
SPOKEN = {
    "documented": {("POST", "rename"), ("POST", "delete"), ("POST", "save")},
    "current": {("PUT", "rename"), ("DELETE", "delete"), ("PUT", "save")},
    "put": {("PUT", "rename"), ("PUT", "delete"), ("PUT", "save")},
}
EVERY = [
    ("POST", "rename"),
    ("PUT", "rename"),
    ("POST", "delete"),
    ("PUT", "delete"),
    ("DELETE", "delete"),
    ("POST", "save"),
    ("PUT", "save"),
]


def wanted(fake: FakeE2E, method: str, action: str) -> tuple[str, str, Any]:
    if action == "save":
        return (
            method,
            f"nodes/{next(iter(fake.nodes))}/actions/",
            {"type": "save_images", "name": "nightly"},
        )
    return (
        method,
        f"images/{next(iter(fake.images))}/",
        None if method == "DELETE" else BODIES[action],
    )


@pytest.mark.parametrize("dialect", [None, *SPOKEN])
@pytest.mark.parametrize(("method", "action"), EVERY)
async def test_a_dialect_is_spoken_or_answered_with_405(
    dialect: str | None, method: str, action: str
) -> None:
    async with FakeE2E(dialects=dialect) as fake:
        answer = await ask(fake, *wanted(fake, method, action))
        if dialect is None or (method, action) in SPOKEN[dialect]:
            assert answer.status == (202 if (method, action) == ("POST", "save") else 200)
            assert [entry.action for entry in fake.ledger] == [action]
        else:
            assert answer.status == 405
            allowed = (answer.header("Allow") or "").split(", ")
            assert set(allowed) - {"GET"} == {
                verb for verb, other in SPOKEN[dialect] if other == action
            }
            assert fake.ledger == []


async def test_dialects_can_be_given_as_members_of_the_librarys_enum_and_several_at_once() -> None:
    async with FakeE2E(dialects=[aioe2e.Dialect.CURRENT, "put"]) as fake:
        assert (await ask(fake, *wanted(fake, "PUT", "delete"))).status == 200
        assert (await ask(fake, *wanted(fake, "DELETE", "delete"))).status == 200
        assert (await ask(fake, *wanted(fake, "POST", "delete"))).status == 405
    async with FakeE2E(dialects=aioe2e.Dialect.AUTO) as fake:
        assert (await ask(fake, *wanted(fake, "POST", "delete"))).status == 200
    async with FakeE2E(dialects=[aioe2e.Dialect.AUTO]) as fake:
        assert (await ask(fake, *wanted(fake, "POST", "delete"))).status == 200


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dialects": "documentd"}, "no dialect 'documentd'; did you mean 'documented'"),
        ({"dialects": []}, "dialects must be"),
        ({"dialects": 5}, "dialects must be"),
        ({"dialects": [5]}, "no dialect 5"),
        ({"latency": -1}, "latency must be"),
        ({"latency": float("nan")}, "latency must be"),
        ({"latency": float("inf")}, "latency must be"),
        ({"latency": 10**400}, "latency must be"),
        ({"latency": (0, float("inf"))}, "latency must be"),
        ({"latency": (2, 1)}, "latency must be"),
        ({"latency": (1,)}, "latency must be"),
        ({"latency": "1"}, "latency must be"),
        ({"latency": None}, "latency must be"),
        ({"requests_per_second": 0}, "requests_per_second must be"),
        ({"requests_per_second": "5"}, "requests_per_second must be"),
        ({"keep_calls": -1}, "keep_calls must be"),
        ({"keep_calls": "x"}, "keep_calls must be"),
        ({"seed": "x"}, "seed must be"),
        ({"seed": None}, "seed must be"),
        ({"port": 70000}, "port must be a number from 0 to 65535"),
        ({"port": "x"}, "port must be"),
        ({"host": 5}, "host must be"),
        ({"images": -1}, "images must be"),
        ({"nodes": [5]}, r"nodes\[0\] must be an object"),
        ({"faults": 0.1}, "faults must be"),
        ({"save_seconds": "x"}, "Rules.save_seconds must be"),
    ],
)
def test_invalid_arguments_are_refused_before_it_starts(options: dict[str, Any], says: str) -> None:
    with pytest.raises(aioe2e.UsageError, match=says):
        FakeE2E(**options)


async def test_rules_can_make_other_projects_unknown() -> None:
    async with FakeE2E(projects=["12345"]) as fake:
        assert (await ask(fake, *LIST)).status == 200
        assert (await ask(fake, *LIST, query=_query(fake, "&project_id=12345"))).status == 200
        answer = await ask(fake, *LIST, query=_query(fake, "&project_id=9"))
        assert (answer.status, answer.json["message"]) == (404, "Project not found")


async def test_a_delete_may_carry_a_body() -> None:
    async with FakeE2E() as fake:
        path = f"images/{next(iter(fake.images))}/"
        assert (await ask(fake, "DELETE", path, {"action_type": "delete_image"})).status == 200


async def test_other_dialects_may_be_refused_with_another_status() -> None:
    async with FakeE2E(dialects="current", refuse_dialect_with=404) as fake:
        assert (await ask(fake, *wanted(fake, "POST", "delete"))).status == 404


async def test_normal_envelopes_have_all_four_keys() -> None:
    async with FakeE2E() as fake:
        first, second, *_ = fake.images
        requests = [
            LIST,
            rename(first, "a"),
            rename(second, "a"),
            delete(first),
            delete(first),
            save(*_node(fake), "b"),
        ]
        requests += [
            ("GET", path, None)
            for path in ("nodes/", "images/", f"images/{second}/", "iam/multi-crn/")
        ]
        for request in requests:
            answer = await ask(fake, *request)
            assert set(answer.json) >= {"code", "data", "errors", "message"}, request
            assert (answer.header("Content-Type") or "").startswith("application/json")


def _node(fake: FakeE2E) -> tuple[str]:
    return (next(iter(fake.nodes)),)


async def test_replies_have_the_documented_shapes() -> None:
    async with FakeE2E(image_id_in_save=True) as fake:
        first = next(iter(fake.images))
        node, other = list(fake.nodes)[:2]
        listing = await ask(fake, *LIST)
        assert listing.json["data"] == list(fake.images.values())
        assert (await ask(fake, *rename(first, "a"))).json["data"] == {
            "status": True,
            "message": "Image name changed successfully",
        }
        assert (await ask(fake, *delete(first))).json["data"] == {
            "status": True,
            "message": "Image deleted successfully",
        }
        posted = (await ask(fake, *save(node, "b"))).json
        assert posted["code"] == 200
        assert (
            posted["data"].items()
            >= {"status": "done", "action_type": "save_images", "resource_id": node}.items()
        )
        put = (
            await ask(fake, "PUT", f"nodes/{other}/actions/", {"type": "save_images", "name": "c"})
        ).json["data"]
        assert (
            put.items()
            >= {"status": "In Progress", "action_type": "Save Image", "resource_id": other}.items()
        )
        assert put["image_id"] in fake.images
    async with FakeE2E() as fake:
        assert "image_id" not in (await ask(fake, *save(*_node(fake), "b"))).json["data"]


async def test_the_plan_catalogue_has_no_image_ids() -> None:
    async with FakeE2E() as fake:
        catalogue = (await ask(fake, "GET", "images/")).json["data"]
        assert catalogue
        assert not any("image_id" in item for item in catalogue)


async def test_nodes_come_in_pages() -> None:
    async with FakeE2E(nodes=25) as fake:
        everything = (await ask(fake, "GET", "nodes/")).json
        assert len(everything["data"]) == 25
        page = (await ask(fake, "GET", "nodes/", query=_query(fake, "&page_no=3&per_page=10"))).json
        assert page["data"] == everything["data"][20:]
        assert (page["total_count"], page["total_page_number"]) == (25, 3)
        assert (await ask(fake, "GET", "nodes/", query=_query(fake, "&page_no=x"))).status == 400
        node = everything["data"][0]
        details = (await ask(fake, "GET", f"nodes/{node['id']}/")).json["data"]
        assert details.items() >= node.items()
        assert (await ask(fake, "GET", "nodes/1/")).status == 404


def _query(fake: FakeE2E, more: str = "") -> str:
    return f"apikey={fake.credentials.api_key}{more}"


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", {}, 401),
        (None, {"Authorization": ""}, 401),
        (None, {"Authorization": "Bearer wrong-token"}, 401),
        (None, {"Authorization": "token-without-bearer"}, 401),
        ("apikey=wrong-key", {}, 403),
        ("", {"X-API-Key": "right"}, 200),
        ("", {"X-API-Key": "wrong-key"}, 403),
    ],
)
async def test_both_credentials_are_checked(
    query: str | None, headers: dict[str, str], status: int
) -> None:
    async with FakeE2E(api_key="right-key") as fake:
        headers = {
            name: "right-key" if value == "right" else value for name, value in headers.items()
        }
        answer = await ask(fake, *LIST, query=query, headers=headers)
        assert answer.status == status
        assert status == 200 or "detail" in answer.json


async def test_a_read_only_token_lists_and_changes_nothing() -> None:
    async with FakeE2E(read_only=True) as fake:
        assert (await ask(fake, *LIST)).status == 200
        assert (await ask(fake, *delete(next(iter(fake.images))))).status == 403
        assert fake.ledger == []


async def test_parameters_can_be_required() -> None:
    async with FakeE2E(required_query=("project_id", "location")) as fake:
        assert (await ask(fake, *LIST)).status == 400
        assert (
            await ask(fake, *LIST, query=_query(fake, "&project_id=1&location=Delhi"))
        ).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/myaccount/api/v1/images/saved-images/",
        "/myaccount/api/v1/images/saved-images",
        "//myaccount/api/v1/images/saved-images/",
        "/myaccount/api/v1//images///saved-images/",
    ],
)
async def test_the_base_url_accepts_doubled_slashes_and_a_missing_last_one(
    path: str,
) -> None:
    async with FakeE2E() as fake:
        assert (await ask(fake, "GET", path)).status == 200


OTHER_BASES = ["", "/v1", "/api/v1", "/myaccount", "/myaccount/v1"]


@pytest.mark.parametrize("base", OTHER_BASES)
async def test_another_base_url_is_a_404_unless_a_rule_accepts_any(base: str) -> None:
    async with FakeE2E() as fake:
        answer = await ask(fake, "GET", f"{base}/images/saved-images/")
        assert (answer.status, answer.json["code"]) == (404, 404)
        assert answer.json["message"] == (
            f"The emulator serves nothing at {base}/images/saved-images/"
        )
        assert fake.calls[0].action == "unknown"
    async with FakeE2E(any_base=True) as fake:
        assert (await ask(fake, "GET", f"{base}/images/saved-images/")).status == 200


async def test_a_rule_can_require_the_final_slash() -> None:
    async with FakeE2E(strict_slash=True) as fake:
        assert (await ask(fake, "GET", "images/saved-images")).status == 404
        assert (await ask(fake, "GET", "images/saved-images/")).status == 200


async def test_the_parameter_image_type_filters_nothing() -> None:
    async with FakeE2E() as fake:
        answer = await ask(fake, *LIST, query=_query(fake, "&image_type=private"))
        assert len(answer.json["data"]) == 20


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "images/{image}/", {"action_type": "rename"}, 400),
        ("POST", "images/{image}/", {"action_type": "rename", "name": " "}, 400),
        ("POST", "images/{image}/", {"action_type": "rename", "name": 7}, 400),
        ("POST", "images/{image}/", {"type": "rename", "name": "x"}, 400),
        ("POST", "images/{image}/", {"action_type": ["rename"]}, 400),
        ("POST", "images/{image}/", b"not json", 400),
        ("POST", "images/{image}/", None, 400),
        ("POST", "images/{image}/", ["rename"], 400),
        ("POST", "nodes/{node}/actions/", {"action_type": "save_images", "name": "x"}, 400),
        ("POST", "nodes/{node}/actions/", {"type": "reboot"}, 400),
        ("POST", "nodes/{node}/actions/", {"type": "save_images"}, 400),
        ("POST", "nodes/1/actions/", {"type": "save_images", "name": "x"}, 404),
        ("POST", "images/1/", {"action_type": "rename", "name": "x"}, 404),
        ("GET", "images/1/", None, 404),
        ("DELETE", "images/%2E%2E/", None, 404),
        ("PATCH", "images/{image}/", None, 405),
        ("POST", "nodes/{node}/", {"action_type": "save_images", "name": "x"}, 405),
        ("PUT", "nodes/{node}/", {"type": "save_images", "name": "x"}, 400),
        ("GET", "images/upgradeimage/", None, 404),
        ("GET", "volumes/", None, 404),
        ("GET", "", None, 404),
    ],
)
async def test_an_invalid_request_is_refused_and_changes_nothing(
    method: str, path: str, body: Any, status: int
) -> None:
    async with FakeE2E() as fake:
        path = path.format(image=next(iter(fake.images)), node=next(iter(fake.nodes)))
        assert (await ask(fake, method, path, body)).status == status
        assert fake.ledger == []


async def test_allow_lists_the_methods_that_would_do_what_was_asked() -> None:
    async with FakeE2E(dialects=["documented", "current"]) as fake:
        refused = await ask(fake, *wanted(fake, "PUT", "delete"))
        assert (refused.status, refused.header("Allow")) == (405, "DELETE, GET, POST")
        path = f"images/{next(iter(fake.images))}/"
        assert (await ask(fake, "PATCH", path)).header("Allow") == "DELETE, GET, POST, PUT"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"not json", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[" * 200_000, "not valid JSON"),
        (b'{"action_type": "rename", "name": ' + b"[" * 200_000, "not valid JSON"),
        ({"action_type": "rename", "name": 7}, "name must be a string"),
        ({"action_type": "rename", "name": ["x"]}, "name must be a string"),
        ({"action_type": "rename", "name": None}, "name may not be blank"),
        ({"action_type": "renmae"}, "no such action"),
    ],
)
async def test_a_refusal_says_what_is_wrong_with_the_body(body: Any, says: str) -> None:
    async with FakeE2E() as fake:
        answer = await ask(fake, "POST", f"images/{next(iter(fake.images))}/", body)
        assert (answer.status, fake.calls[0].status) == (400, 400)
        assert says in answer.json["message"]
        assert "POST" in repr(fake.calls[0])


async def test_calls_record_requests_and_the_ledger_records_changes() -> None:
    async with FakeE2E() as fake:
        first = next(iter(fake.images))
        old = fake.images[first]["name"]
        await ask(fake, *rename("1", "lost"))
        await ask(
            fake,
            *rename(first, "golden"),
            query=_query(fake, "&location=Delhi"),
            headers={"X-Mark": "7"},
        )
        call, entry = fake.calls[1], fake.ledger[0]
        assert (call.index, call.method, call.action, call.target, call.status) == (
            1,
            "POST",
            "rename",
            first,
            200,
        )
        assert call.path == f"/myaccount/api/v1/images/{first}/"
        assert call.query == {"apikey": fake.credentials.api_key, "location": "Delhi"}
        assert call.headers["x-mark"] == "7"
        assert (call.json, call.name) == ({"action_type": "rename", "name": "golden"}, "golden")
        assert call.body == json.dumps(call.json).encode()
        assert (entry.action, entry.target, entry.name, entry.previous) == (
            "rename",
            first,
            "golden",
            old,
        )
        assert fake.calls[entry.call] is call
        assert call.time <= entry.time <= time.monotonic()
        assert fake.calls[0].connection != call.connection
        assert "golden" in repr(call)


async def test_a_name_of_any_letters_survives() -> None:
    async with FakeE2E() as fake:
        first = next(iter(fake.images))
        await ask(fake, *rename(first, "später/नमस्ते \U0001f600"))
        assert fake.images[first]["name"] == "später/नमस्ते \U0001f600"
        assert (await ask(fake, *LIST)).json["data"][0]["name"] == "später/नमस्ते \U0001f600"


async def test_images_and_nodes_come_from_lists_and_files(tmp_path: Path) -> None:
    (tmp_path / "nodes.json").write_text('[{"id": 101, "name": "web", "status": "Running"}]')
    async with FakeE2E(
        [{"image_id": 7, "name": "seven", "odd": None}], tmp_path / "nodes.json"
    ) as fake:
        assert list(fake.images) == ["7"]
        assert (await ask(fake, *LIST)).json["data"] == [
            {"image_id": 7, "name": "seven", "odd": None}
        ]
        assert (await ask(fake, *save("101", "x"))).status == 202


async def test_a_change_by_the_test_is_shown_to_the_next_client() -> None:
    async with FakeE2E(images=2) as fake:
        first, second = fake.images
        await ask(fake, *LIST)
        fake.images[first]["image_state"] = "Error"
        del fake.images[second]
        assert [image["image_state"] for image in (await ask(fake, *LIST)).json["data"]] == [
            "Error"
        ]


async def test_a_saved_image_becomes_ready_over_time() -> None:
    async with FakeE2E(images=0, save_seconds=0.5) as fake:
        node = next(iter(fake.nodes))
        await ask(fake, *save(node, "nightly"))
        assert (await ask(fake, *LIST)).json["data"][0]["image_state"] == "Creating"
        assert (await ask(fake, "GET", f"nodes/{node}/")).json["data"]["status"] == "Saving"
        await asyncio.sleep(0.52)
        assert (await ask(fake, *LIST)).json["data"][0]["image_state"] == "Ready"
        assert fake.nodes[node]["status"] == "Running"


async def test_latency_is_kept() -> None:
    async with FakeE2E(latency=(0.05, 0.06)) as fake:
        before = time.perf_counter()
        await asyncio.gather(*(ask(fake, *LIST) for _ in range(5)))
        assert 0.05 <= time.perf_counter() - before < SOON


async def test_requests_inside_at_the_same_time_are_counted() -> None:
    async with FakeE2E(latency=0.3) as fake:
        await asyncio.gather(*(ask(fake, *LIST) for _ in range(7)))
        assert fake.max_in_flight == 7
        fake.max_in_flight = 0
        await ask(fake, *LIST)
        assert fake.max_in_flight == 1
        assert fake.in_flight == 0


async def test_a_request_whose_client_gave_up_is_not_in_flight_together_with_the_next() -> None:
    async with FakeE2E(faults=["hang", "hang"]) as fake:
        for _ in range(3):
            await exchange(fake, request_bytes(fake, *LIST), patience=0.05)
        assert fake.max_in_flight == 1
        assert len(fake.calls) == 3


async def test_requests_above_the_rate_are_refused_with_a_correct_retry_after() -> None:
    async with FakeE2E(requests_per_second=1, burst=5) as fake:
        answers = [await ask(fake, *LIST) for _ in range(7)]
        assert [answer.status for answer in answers[:5]] == [200] * 5
        assert answers[6].status == 429
        assert answers[6].json["message"] == "Request was throttled."
        assert (answers[6].header("Retry-After"), fake.refused, fake.inside_retry_after) == (
            "1",
            2,
            0,
        )
        await asyncio.sleep(0.15)
        await ask(fake, *LIST)
        assert fake.inside_retry_after == 1
        waited = fake.calls[-1].inside_retry_after
        assert waited is not None
        assert 0.14 <= waited < 1


async def test_a_throttle_can_answer_with_an_html_page() -> None:
    async with FakeE2E(requests_per_second=1, throttle_html=True) as fake:
        await ask(fake, *LIST)
        answer = await ask(fake, *LIST)
        assert (answer.status, answer.header("Retry-After")) == (429, "1")
        assert answer.body.startswith(b"<html>")


@pytest.mark.parametrize("keep", [0, 1, 10])
async def test_keep_calls_limits_the_recorded_requests(keep: int) -> None:
    async with FakeE2E(keep_calls=keep) as fake, aiohttp.ClientSession() as client:
        for count in range(20):
            async with client.get(f"{fake.url}images/"):
                pass
            assert len(fake.calls) == min(keep, count + 1)
        assert [call.index for call in fake.calls] == list(range(20))[20 - keep :]


async def test_closing_ends_hanging_requests_at_once() -> None:
    async with FakeE2E(faults="hang") as fake:
        hanging = [
            asyncio.create_task(exchange(fake, request_bytes(fake, *LIST))) for _ in range(20)
        ]
        while fake.in_flight < 20:  # no event tells
            await asyncio.sleep(0.005)
        before = time.perf_counter()
        await fake.close()
        assert time.perf_counter() - before < SOON
        assert await asyncio.gather(*hanging) == [b""] * 20
        await fake.close()


async def test_closing_ends_idle_connections_and_late_effects() -> None:
    async with aiohttp.ClientSession() as client:
        async with FakeE2E() as fake:
            for _ in range(3):
                async with client.get(f"{fake.url}images/"):
                    pass
            fake.inject(aioe2e.testing.Fault("close", "late", late=0.4), "rename")
            await exchange(fake, request_bytes(fake, *rename(next(iter(fake.images)), "x")))
        await asyncio.sleep(0.5)
        assert fake.ledger == []


async def test_it_is_started_once_and_has_no_url_before() -> None:
    fake = FakeE2E()
    with pytest.raises(RuntimeError, match="async with"):
        _ = fake.url
    async with fake:
        assert fake.url == f"http://127.0.0.1:{fake.port}/myaccount/api/v1/"
        with pytest.raises(RuntimeError, match="already"):
            await fake.start()
        with pytest.raises(OSError, match="in use"):
            await FakeE2E(port=fake.port).start()
    port = fake.port
    async with fake:
        assert fake.port == port, "started again, it has the same address"


def test_a_plain_with_serves_from_a_thread_of_its_own() -> None:
    with FakeE2E(images=3) as fake:
        url = f"{fake.url}images/saved-images/?apikey={fake.credentials.api_key}"
        request = urllib.request.Request(
            url, headers={"Authorization": f"Bearer {fake.credentials.auth_token}"}
        )
        with urllib.request.urlopen(request) as reply:
            assert len(json.load(reply)["data"]) == 3
        asyncio.run(ask(fake, *LIST))
        assert len(fake.calls) == 2


def test_a_plain_with_raises_if_it_cannot_start() -> None:
    with FakeE2E() as fake, pytest.raises(OSError, match="in use"), FakeE2E(port=fake.port):
        pass


def test_it_cannot_be_entered_twice_and_keeps_serving_if_that_is_tried() -> None:
    fake = FakeE2E()
    with fake:
        with pytest.raises(RuntimeError, match="running already"):
            fake.__enter__()
        asyncio.run(ask(fake, *LIST))
    assert [thread.name for thread in threading.enumerate() if thread.name == "FakeE2E"] == []
    with fake:
        asyncio.run(ask(fake, *LIST))


async def test_its_repr_shows_address_and_counts_and_no_secret() -> None:
    fake = FakeE2E(images=3, nodes=2)
    assert repr(fake) == "<FakeE2E not running: 3 images, 2 nodes, 0 calls, 0 changes>"
    async with fake:
        await ask(fake, *delete(next(iter(fake.images))))
        assert repr(fake) == f"<FakeE2E {fake.url}: 2 images, 2 nodes, 1 calls, 1 changes>"
        assert fake.credentials.api_key not in repr(fake)


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize(
    ("host", "reached"), [("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("localhost", "localhost")]
)
async def test_its_url_reaches_it_on_any_address_it_listens_on(host: str, reached: str) -> None:
    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    async with FakeE2E(host=host) as fake, fake.session() as session:
        assert fake.url == f"http://{reached}:{fake.port}/myaccount/api/v1/"
        assert len(await session.images.list()) == 20


async def test_its_session_is_connected_to_it() -> None:
    async with FakeE2E(locations=["Chennai"]) as fake, fake.session() as session:
        images = await session.images.list()
        assert [image.image_id for image in images] == list(fake.images)
        assert fake.calls[0].query == {
            "apikey": fake.credentials.api_key,
            "project_id": "12345",
            "location": "Chennai",
        }


def test_tools_can_read_the_hints_of_every_public_name() -> None:
    for name in aioe2e.testing.__all__:
        value = getattr(aioe2e.testing, name)
        members = vars(value).values() if isinstance(value, type) else []
        for one in [value, *members]:
            if isinstance(one, type) or inspect.isfunction(one):
                typing.get_type_hints(one)
            if isinstance(one, classmethod | staticmethod):
                typing.get_type_hints(one.__func__)


def test_every_public_name_is_there_and_an_unknown_one_is_not() -> None:
    for name in aioe2e.testing.__all__:
        assert getattr(aioe2e.testing, name) is not None
    assert set(aioe2e.testing.__all__) <= set(dir(aioe2e.testing))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = aioe2e.testing.nonsense  # type: ignore[attr-defined]  # that is the point
