"""HTTP as it wants to be spoken, budgets, and the rules that make the account another one."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from emulator_client import (
    LIST,
    Answer,
    NotHTTPError,
    ask,
    delete,
    exchange,
    parse,
    rename,
    request_bytes,
    save,
)
from patience import SOON

import aioe2e
from aioe2e.testing import FakeE2E, Fault


def on_one_connection(fake: FakeE2E, *requests: bytes) -> list[Answer]:
    """The replies to requests that are sent one after the other on one connection."""
    answers: list[Answer] = []
    with socket.create_connection(("127.0.0.1", fake.port), timeout=SOON) as connection:
        rest = b""
        for request in requests:
            connection.sendall(request)
            while True:
                try:
                    answers.append(parse(rest))
                    break
                except NotHTTPError:
                    piece = connection.recv(65536)
                    assert piece, "the connection has ended"
                    rest += piece
            rest = answers[-1].rest
    return answers


# HTTP

#: Lets the server end the connection after its reply: no client can see where one to HEAD ends.
THE_LAST = {"Connection": "close"}


async def test_a_reply_to_head_has_the_headers_of_get_and_no_body() -> None:
    async with FakeE2E() as fake:
        get = await ask(fake, *LIST)
        data = await exchange(fake, request_bytes(fake, "HEAD", LIST[1], headers=THE_LAST))
        head, _, body = data.partition(b"\r\n\r\n")
        assert body == b""
        assert f"Content-Length: {len(get.body)}".encode() in head
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert (fake.calls[1].action, fake.calls[1].status) == ("list", 200)


def test_a_connection_goes_on_after_a_head() -> None:
    with FakeE2E() as fake, socket.create_connection(("127.0.0.1", fake.port)) as connection:
        connection.settimeout(5)
        connection.sendall(request_bytes(fake, "HEAD", "nodes/"))
        while not connection.recv(65536).endswith(b"\r\n\r\n"):
            pass
        connection.sendall(request_bytes(fake, *LIST))
        got = b""
        while not got.endswith(b"}"):
            got += connection.recv(65536)
        assert parse(got).status == 200


async def test_a_refusal_of_head_has_no_body_either() -> None:
    async with FakeE2E(requests_per_hour=1, send_date=False) as fake:
        for status in (b"404", b"429"):
            request = request_bytes(fake, "HEAD", "nothing/", headers=THE_LAST)
            head, _, body = (await exchange(fake, request)).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 " + status)
            assert (body, b"\r\nDate:" in head) == (b"", False)


async def test_head_is_not_allowed_without_get_and_changes_nothing() -> None:
    async with FakeE2E() as fake:
        node = next(iter(fake.nodes))
        body = {"type": "save_images"}
        request = request_bytes(fake, "HEAD", f"nodes/{node}/actions/", body, headers=THE_LAST)
        assert (await exchange(fake, request)).startswith(b"HTTP/1.1 405")
        assert fake.ledger == []


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("images/saved-images/", "GET, HEAD, OPTIONS"),
        ("images/7/", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("nodes/7/actions/", "HEAD, OPTIONS, PUT"),
    ],
)
async def test_options_lists_the_methods_of_a_path_in_the_spoken_dialects(
    path: str, allow: str
) -> None:
    async with FakeE2E(dialects="current") as fake:
        answer = await ask(fake, "OPTIONS", path)
        assert (answer.status, answer.header("Allow")) == (200, allow)
        assert fake.ledger == []


def test_a_request_in_absolute_form_is_accepted() -> None:
    with FakeE2E(images=3) as fake:
        plain = request_bytes(fake, *LIST)
        absolute = plain.replace(b"GET /", f"GET http://127.0.0.1:{fake.port}/".encode(), 1)
        first, second = on_one_connection(fake, plain, absolute)
        assert first.json == second.json
        assert fake.calls[1].action == "list"
        assert fake.calls[1].path == fake.calls[0].path
        assert fake.calls[1].query == fake.calls[0].query


@pytest.mark.parametrize("keep", [True, False])
def test_an_http_1_0_connection_is_kept_only_on_request(keep: bool) -> None:
    with FakeE2E() as fake:
        headers = {"Connection": "keep-alive"} if keep else {}
        data = request_bytes(fake, *LIST, headers=headers).replace(b" HTTP/1.1", b" HTTP/1.0", 1)
        (answer,) = on_one_connection(fake, data)
        assert answer.status == 200
        assert answer.header("Connection") == ("keep-alive" if keep else "close")
        if keep:
            assert [reply.status for reply in on_one_connection(fake, data, data)] == [200, 200]


async def test_every_reply_has_a_type_with_a_charset_and_a_date() -> None:
    async with FakeE2E(requests_per_second=1, burst=5) as fake:
        requests = [LIST, ("GET", "nothing/", None), ("PATCH", "nodes/", None), delete("1")]
        answers = [await ask(fake, *request) for request in requests]
        answers += [await ask(fake, *LIST, query="") for _ in range(3)]
        answers.append(parse(await exchange(fake, b"NONSENSE\r\n\r\n")))
        assert {answer.status for answer in answers} == {200, 400, 401, 404, 405, 429}
        for answer in answers:
            assert answer.header("Content-Type") == "application/json; charset=utf-8"
            date = parsedate_to_datetime(answer.header("Date") or "")
            assert abs(date.timestamp() - time.time()) < 5


async def test_the_date_can_be_wrong_or_missing() -> None:
    async with FakeE2E(date_offset=-3600) as fake:
        date = parsedate_to_datetime((await ask(fake, *LIST)).header("Date") or "")
        assert date.timestamp() - time.time() == pytest.approx(-3600, abs=5)
    async with FakeE2E(send_date=False) as fake:
        assert (await ask(fake, *LIST)).header("Date") is None
        fake.faults = [None, Fault("date-missing"), Fault("date-wrong", value=60)]
    async with FakeE2E(faults=["date-missing", Fault("date-wrong", value=60)]) as fake:
        assert (await ask(fake, *LIST)).header("Date") is None
        date = parsedate_to_datetime((await ask(fake, *LIST)).header("Date") or "")
        assert date.timestamp() - time.time() == pytest.approx(60, abs=5)


# Budgets


async def test_a_budget_for_an_hour_is_spent_at_once_or_in_a_burst() -> None:
    async with FakeE2E(requests_per_hour=3) as fake:
        statuses = [(await ask(fake, *LIST)).status for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
    async with FakeE2E(requests_per_hour=3600, burst=2) as fake:
        answers = [await ask(fake, *LIST) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert answers[2].header("Retry-After") == "1"
    async with FakeE2E(requests_per_second=100, requests_per_hour=2) as fake:
        assert [(await ask(fake, *LIST)).status for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("family", ["ratelimit", "x-ratelimit"])
async def test_a_rule_adds_headers_about_the_rate_limit(family: str) -> None:
    async with FakeE2E(requests_per_hour=3600, burst=3, rate_limit_headers=family) as fake:
        seen = []
        for _ in range(4):
            answer = await ask(fake, *LIST)
            assert answer.header(f"{family}-limit") == "3"
            seen.append(answer.header(f"{family}-remaining"))
            reset = float(answer.header(f"{family}-reset") or "")
            assert 0 < (reset - time.time() if family == "ratelimit" else reset) < 5
        assert seen == ["2", "1", "0", "0"]
    async with FakeE2E(requests_per_hour=3600) as fake:
        assert (await ask(fake, *LIST)).header("ratelimit-limit") is None


async def test_a_429_can_give_the_wait_only_in_its_text() -> None:
    async with FakeE2E(requests_per_hour=3600, burst=1, retry_after="text") as fake:
        await ask(fake, *LIST)
        answer = await ask(fake, *LIST)
        assert answer.header("Retry-After") is None
        says = "Request was throttled. Expected available in 1 seconds."
        assert answer.json["message"] == says
    async with FakeE2E(faults=["429-json-text", Fault("429-html-text", value=45)]) as fake:
        first, second = [await ask(fake, *LIST) for _ in range(2)]
        assert first.json["message"] == says
        assert b"Expected available in 45 seconds." in second.body
        assert (first.header("Retry-After"), second.header("Retry-After")) == (None, None)


def test_a_client_that_has_read_the_429_gets_no_grace() -> None:
    with FakeE2E(requests_per_hour=3600, burst=1) as fake:
        ask_list = request_bytes(fake, *LIST)
        statuses = [answer.status for answer in on_one_connection(fake, *[ask_list] * 3)]
        assert statuses == [200, 429, 429]
        assert fake.inside_retry_after == 1


def test_a_request_on_its_way_during_a_429_is_not_counted() -> None:
    with FakeE2E(requests_per_hour=3600, burst=1) as fake:
        asyncio.run(ask(fake, *LIST))
        asyncio.run(ask(fake, *LIST))
        asyncio.run(ask(fake, *LIST))
        assert (fake.refused, fake.inside_retry_after) == (2, 0)


# OpenNebula, and deletes that take their time


async def test_a_deleted_image_can_stay_listed_for_a_while_and_keep_its_name() -> None:
    images = [{"image_id": "1", "name": "a"}, {"image_id": "2", "name": "b"}]
    async with FakeE2E(images, delete_seconds=600) as fake:
        assert (await ask(fake, *delete("1"))).status == 200
        assert [entry.action for entry in fake.ledger] == ["delete"]
        assert (await ask(fake, *LIST)).json["data"][0]["image_state"] == "Deleted"
        assert (await ask(fake, *rename("2", "a"))).status == 412
        for request in (delete("1"), rename("1", "c")):
            refused = await ask(fake, *request)
            assert (refused.status, "Deleted" in refused.json["message"]) == (412, True)
        fake._store._due[0][2]()  # what the clock would do in ten minutes
        assert list(fake.images) == ["2"]
        assert (await ask(fake, *rename("2", "a"))).status == 200
        assert (await ask(fake, *delete("1"))).status == 404


async def test_a_test_may_remove_an_image_that_is_being_deleted() -> None:
    async with FakeE2E(3, delete_seconds=600) as fake:
        first = next(iter(fake.images))
        await ask(fake, *delete(first))
        del fake.images[first]
        fake._store._due[0][2]()
        assert len(fake.images) == 2


async def test_opennebula_has_states_and_refusals_of_its_own() -> None:
    async with FakeE2E(3, opennebula=True, save_seconds=600, delete_seconds=600) as fake:
        first, second, third = fake.images
        assert {image["image_state"] for image in fake.images.values()} == {"READY"}
        fake.images[second]["running_vms"] = "2"
        fake.images[third]["cloning_ops"] = 1
        taken = fake.images[second]["name"]
        said = {
            "taken": await ask(fake, *rename(first, taken)),
            "used": await ask(fake, *delete(second)),
            "cloned": await ask(fake, *delete(third)),
            "gone": await ask(fake, *delete("1")),
        }
        assert {what: (reply.status, reply.json["message"]) for what, reply in said.items()} == {
            "taken": (412, f"NAME is already taken by IMAGE {second}."),
            "used": (412, "There are 2 VMs using it."),
            "cloned": (412, "There are 1 active clone operations."),
            "gone": (404, "Image does not exist"),
        }
        assert (await ask(fake, *delete(first))).status == 200
        assert fake.images[first]["image_state"] == "DELETE"
        await ask(fake, *save(next(iter(fake.nodes)), "nightly"))
        *_, saved = fake.images.values()
        assert saved["image_state"] == "LOCKED"
        fake._store._due.sort()
        fake._store._due[-1][2]()
        assert saved["image_state"] == "READY"


@pytest.mark.parametrize(
    ("kind", "status", "says"),
    [
        ("412-json-try-later", 412, "please try again later"),
        ("412-json-saving", 412, "Node is already in Saving state"),
        ("405-html", 405, "<h1>405 Method Not Allowed</h1>"),
    ],
)
async def test_refusals_use_the_texts_that_the_vendors_clients_know(
    kind: str, status: int, says: str
) -> None:
    async with FakeE2E(faults=[kind]) as fake:
        answer = await ask(fake, *rename(next(iter(fake.images)), "golden"))
        assert (answer.status, says in answer.body.decode()) == (status, True)
        assert fake.ledger == []


# Mistakes of its user


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"latancy": 1}, "no parameter of FakeE2E 'latancy'; did you mean 'latency'"),
        ({"save_second": 1}, "'save_second'; did you mean 'save_seconds'"),
        ({"request_per_second": 1}, "did you mean 'requests_per_second'"),
        ({"xyzzy": 1}, "no parameter of FakeE2E 'xyzzy'; its docstring"),
        ({"burst": 5}, "burst needs requests_per_second or requests_per_hour"),
        ({"rate_limit_headers": "ratelimit"}, "rate_limit_headers needs requests_per_second"),
        (
            {"rate_limit_headers": "x-rate", "requests_per_second": 1},
            "Rules.rate_limit_headers must be 'ratelimit' or 'x-ratelimit', or None, not 'x-rate'",
        ),
        ({"requests_per_hour": 0}, "requests_per_hour must be a number above 0"),
        ({"nodes_per_page": 0}, "Rules.nodes_per_page must be a whole number of 1 or more"),
        ({"date_offset": "x"}, "Rules.date_offset must be a number of seconds"),
        ({"retry_after": "body"}, "Rules.retry_after must be 'header' or 'text'"),
        ({"keep_ledger": -1}, "keep_ledger must be"),
    ],
)
def test_a_wrong_keyword_or_value_is_refused_by_its_name(
    options: dict[str, Any], says: str
) -> None:
    with pytest.raises(aioe2e.UsageError, match=says):
        FakeE2E(**options)


def test_a_file_of_other_objects_is_refused_as_images(tmp_path: Any) -> None:
    (tmp_path / "nodes.json").write_text('[{"id": 1, "name": "web"}]')
    with pytest.raises(aioe2e.UsageError, match=r"nodes.json holds no images: none of its objects"):
        FakeE2E(tmp_path / "nodes.json")
    (tmp_path / "empty.json").write_text('{"code": 200, "data": []}')
    assert len(FakeE2E(tmp_path / "empty.json").images) == 0


# For long, and on any loop


@pytest.mark.parametrize("keep", [0, 3])
async def test_keep_ledger_limits_the_recorded_changes_and_counts_go_on(keep: int) -> None:
    async with FakeE2E(keep_ledger=keep, keep_calls=keep) as fake:
        first = next(iter(fake.images))
        for number in range(8):
            await ask(fake, *rename(first, f"n{number}"))
        names = [f"n{number}" for number in range(8)]
        assert [entry.name for entry in fake.ledger] == names[8 - keep :]
        assert (fake.change_count, fake.call_count) == (8, 8)
        assert "8 calls, 8 changes" in repr(fake)


async def test_removed_names_use_no_memory() -> None:
    async with FakeE2E() as fake:
        first = next(iter(fake.images))
        for number in range(50):
            await ask(fake, *rename(first, f"n{number}"))
        assert len(fake._store._names) == 20


UVLOOP = """
import asyncio, json, sys
from aioe2e import RetryPolicy
from aioe2e.testing import FakeE2E, Fault, KINDS
import uvloop

async def main():
    # Eight attempts: three back-offs with jitter may all be shorter than the time of "refuse".
    retry = RetryPolicy(attempts=8, base=0.02, cap=0.2)
    async with FakeE2E(images=3) as fake, fake.session(retry=retry) as session:
        loop = type(asyncio.get_running_loop()).__module__
        images = await session.images.list()
        for kind in ("reset", "close", "slam", "refuse", "reset-on-next", "close-idle", "stray-later"):
            fake.inject(Fault(kind, seconds=0.02), "list")
            assert len(await session.images.list()) == 3, kind
            assert len(await session.images.list()) == 3, kind
        await session.images.rename(images[0], "golden")
        await session.images.delete(images[1])
        await fake.settle()
        return [loop, len(fake.images), fake.change_count]

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    print(json.dumps(runner.run(main())))
"""
EAGER = """
import asyncio, json
from aioe2e.testing import FakeE2E

async def main():
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    async with FakeE2E(images=3, latency=0.001, faults=["reset", None, "drip"]) as fake:
        async with fake.session() as session:
            for image in await session.images.list():
                await session.images.delete(image)
        await fake.settle()
        return ["eager", len(fake.images), fake.change_count]

print(json.dumps(asyncio.run(main())))
"""


def in_a_process(script: str) -> list[Any]:
    line = [sys.executable, "-W", "error", "-c", script]
    result = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    found: list[Any] = json.loads(result.stdout)
    return found


def test_it_serves_on_uvloop() -> None:
    pytest.importorskip("uvloop")
    loop, images, changes = in_a_process(UVLOOP)
    assert re.match(r"uvloop", loop)
    assert (images, changes) == (2, 2)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are of Python 3.12")
def test_it_serves_with_eager_tasks() -> None:
    assert in_a_process(EAGER) == ["eager", 0, 3]
