"""Nodes, read-only: the whole list or an error, one in full, and waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from odd_server import Answer, Asked, Says, odd_server

from aioe2e import (
    Node,
    NodeFailedError,
    NodeState,
    NotFoundError,
    ResponseError,
    SessionError,
    UsageError,
    WaitProgress,
    WaitTimeoutError,
)
from aioe2e._wire.codec import node_of
from aioe2e.testing import FakeE2E

LISTED = {"id": 41207, "name": "app-1", "status": "Running", "plan": "C3.8GB", "public_ip_address": "192.0.2.7", "private_ip_address": "10.20.0.7", "is_locked": False, "rescue_mode_status": "Disabled"}  # fmt: skip
FULL = {"id": 41207, "vm_id": 46055, "name": "app-1", "status": "Saving", "created_at": "2026-02-03T04:05:06Z", "disk": "100 GB", "memory": "8 GB", "vcpus": "4", "location": "Delhi", "label": "default", "is_locked": False}  # fmt: skip


def paged(pages: list[list[Any]], **envelope: Any) -> Answer:
    """Answers each page of a list of nodes; what is asked for beyond the last, with the last."""

    def answer(asked: Asked) -> Says:
        assert asked.path == "nodes/"
        number = int(asked.query.get("page_no", 1))
        return Says(pages[min(number, len(pages)) - 1], envelope=envelope)

    return answer


def some(first: int, last: int) -> list[dict[str, Any]]:
    return [{"id": number, "name": f"n-{number}"} for number in range(first, last + 1)]


# The list


async def test_a_list_of_nodes_is_read() -> None:
    async with FakeE2E(images=0, nodes=3) as fake, fake.session() as session:
        nodes = await session.nodes.list()
        assert [node.node_id for node in nodes] == list(fake.nodes)
        assert all(isinstance(node, Node) for node in nodes)
        assert "page_no" not in fake.calls[0].query
        first = nodes[0].node_id
        assert [n.node_id for n in await session.nodes.list(lambda n: n.node_id == first)] == [
            first
        ]


async def test_an_account_without_nodes_is_an_empty_list() -> None:
    async with FakeE2E(images=0, nodes=0) as fake, fake.session() as session:
        assert await session.nodes.list() == []


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("told", [("total_count", "total_page_number"), ("total_count",), ("total_page_number",)])  # fmt: skip
async def test_all_pages_are_asked_for(told: tuple[str, ...], as_text: bool) -> None:
    numbers: dict[str, Any] = {"total_count": 25, "total_page_number": 3}
    envelope = {key: str(numbers[key]) if as_text else numbers[key] for key in told}
    answer = paged([some(1, 10), some(11, 20), some(21, 25)], **envelope)
    async with odd_server(answer) as (session, asked):
        nodes = await session.nodes.list()
    assert [node.node_id for node in nodes] == [str(number) for number in range(1, 26)]
    assert [each.query.get("page_no") for each in asked] == [None, "2", "3"]


@pytest.mark.parametrize(
    ("pages", "envelope", "says"),
    [
        ([some(1, 10)], {"total_count": 25, "total_page_number": 3}, "10 of 25 nodes were shown, and page 2 shows none that is new"),
        ([some(1, 10)], {"total_count": 25}, "10 of 25 nodes were shown"),
        ([some(1, 10), []], {"total_count": 25}, "10 of 25 nodes were shown, and page 2 shows none that is new"),
        ([some(1, 10)], {"total_count": 25, "total_page_number": 1}, "10 of 25 nodes were shown, and that was the last page"),
        ([some(1, 10), some(5, 10)], {"total_page_number": 3}, "10 of the nodes on 3 pages were shown"),
        ([some(1, 10), some(11, 19)], {"total_count": 20, "total_page_number": 2}, "19 of 20 nodes were shown, and that was the last page"),
        ([[]], {"total_count": 5}, "0 of 5 nodes were shown"),
    ],
)  # fmt: skip
async def test_a_part_of_the_list_is_never_taken_for_the_whole(
    pages: list[list[Any]], envelope: dict[str, Any], says: str
) -> None:
    async with odd_server(paged(pages, **envelope)) as (session, asked):
        with pytest.raises(ResponseError) as caught:
            await session.nodes.list()
    assert says in str(caught.value)
    assert len(asked) <= 3


async def test_a_node_that_moves_to_the_next_page_meanwhile_is_listed_once() -> None:
    async with odd_server(paged([some(1, 10), some(10, 14)], total_page_number=2)) as (session, _):
        assert [n.node_id for n in await session.nodes.list()] == [str(n) for n in range(1, 15)]


@pytest.mark.parametrize("number", [10**400, -5, 0, None, "x", 2.0, True, [], "٣"])
async def test_odd_numbers_of_nodes_are_no_promise_that_breaks_a_list(number: Any) -> None:
    async with odd_server(paged([some(1, 3), some(4, 4)], total_page_number=number)) as (
        session,
        _,
    ):
        try:
            assert len(await session.nodes.list()) == (4 if number == 2.0 else 3)
        except ResponseError as error:
            assert number == 10**400 and "nodes on 1000" in str(error)  # noqa: PT018


@pytest.mark.parametrize(
    ("element", "path"),
    [({}, "$.data[1].node_id: missing"), (5, "$.data[1]: an object was expected, not int"), ({"id": True}, "$.data[1].node_id")],
)  # fmt: skip
async def test_what_is_no_node_is_named_by_its_path(element: Any, path: str) -> None:
    async with odd_server(paged([[LISTED, element]])) as (session, _):
        with pytest.raises(ResponseError, match="not a list of nodes") as caught:
            await session.nodes.list()
    assert path in str(caught.value)


# One node


def test_the_documented_bodies_become_nodes() -> None:
    node = node_of(LISTED)
    assert (node.node_id, node.name, node.state) == ("41207", "app-1", NodeState.RUNNING)
    assert (node.public_ip, node.private_ip, node.is_locked) == ("192.0.2.7", "10.20.0.7", False)
    assert (node.location, node.vm_id) == (None, None)
    assert node.extra == {"rescue_mode_status": "Disabled"}
    node = node_of(FULL)
    assert (node.state, node.vm_id, node.location) == (NodeState.SAVING, "46055", "Delhi")
    assert (node.disk, node.memory, node.label) == ("100 GB", "8 GB", "default")
    assert node.created_at is not None
    assert node.created_at.isoformat() == "2026-02-03T04:05:06+00:00"
    assert node.extra == {"vcpus": "4"}


@pytest.mark.parametrize("value", [None, "", "[]", []])
def test_a_node_without_an_address_has_none(value: Any) -> None:
    node = node_of({**LISTED, "private_ip_address": value})
    assert node.private_ip is None
    assert "private_ip" not in node.extra


@pytest.mark.parametrize("value", [41207, "41207", 41207.0])
def test_the_id_of_a_node_is_text(value: Any) -> None:
    if isinstance(value, float):  # a client whose language has floats alone sends none to us
        with pytest.raises(ResponseError, match="node_id"):
            node_of({**LISTED, "id": value})
    else:
        assert node_of({**LISTED, "id": value}).node_id == "41207"


async def test_one_node_is_got_by_its_id_or_as_itself() -> None:
    async with FakeE2E(images=0, nodes=2) as fake, fake.session() as session:
        for node in await session.nodes.list():
            assert (await session.nodes.get(node)).node_id == node.node_id
            assert (await session.nodes.get(int(node.node_id))).node_id == node.node_id


async def test_a_node_that_is_not_there_is_not_found() -> None:
    async with FakeE2E(images=0, nodes=1) as fake, fake.session() as session:
        with pytest.raises(NotFoundError, match="get of node 99999"):
            await session.nodes.get(99999)


async def test_another_node_than_asked_for_is_an_error() -> None:
    async with odd_server(lambda _: Says(FULL)) as (session, _):
        with pytest.raises(ResponseError, match="get of node 1: the reply shows node 41207"):
            await session.nodes.get(1)


async def test_what_a_server_says_of_a_node_is_shown_escaped_and_short() -> None:
    odd = FULL | {"id": "41207\n\x1b[31m" + "7" * 1000}
    async with odd_server(lambda _: Says(odd)) as (session, _):
        with pytest.raises(ResponseError, match=r"shows node 41207\\n\\x1b\[31m7+…$") as caught:
            await session.nodes.get(1)
    assert len(str(caught.value)) < 200
    failed = FULL | {"status": "failed" + " " * 1000}
    async with odd_server(lambda _: Says(failed)) as (session, _):
        with pytest.raises(NodeFailedError, match="node 41207 turned 'failed  ") as ended:
            await session.nodes.wait(41207, interval=0.01)
    assert len(str(ended.value)) < 200


@pytest.mark.parametrize("data", [None, [], "x", {}, [FULL]])
async def test_a_reply_that_shows_no_node_is_an_error(data: Any) -> None:
    async with odd_server(lambda _: Says(data)) as (session, _):
        with pytest.raises(ResponseError, match="not a node"):
            await session.nodes.get(41207)


@pytest.mark.parametrize("node", ["", "a/b", None, 0, -1, True, 1.5, object()])
async def test_what_is_no_node_is_refused_before_anything_is_sent(node: Any) -> None:
    async with FakeE2E(images=0) as fake, fake.session() as session:
        for call in (session.nodes.get, session.nodes.wait):
            with pytest.raises(UsageError, match="node: "):
                await call(node)
        assert not fake.calls


async def test_a_node_is_taken_wherever_the_id_of_one_is() -> None:
    async with FakeE2E(images=0, nodes=1) as fake, fake.session() as session:
        [node] = await session.nodes.list()
        assert (await session.images.save(node, "of-a-node")).node_id == node.node_id


# Waits


def in_turn(*statuses: Any) -> Answer:
    """A node that has these statuses, one after the other; the last one stays."""
    queue = list(statuses)

    def answer(asked: Asked) -> Says:
        assert asked.path == "nodes/41207/"
        status = queue.pop(0) if len(queue) > 1 else queue[0]
        return status if isinstance(status, Says) else Says({**FULL, "status": status})

    return answer


async def test_a_node_is_waited_for_until_it_runs_again() -> None:
    seen: list[WaitProgress] = []
    async with odd_server(in_turn("Saving", "Powering", "Running")) as (session, _):
        node = await session.nodes.wait(41207, interval=0.01, progress=seen.append)
    assert node.state is NodeState.RUNNING
    assert [now.state for now in seen] == [NodeState.SAVING, NodeState.CHANGING]
    assert seen[0].elapsed <= seen[1].elapsed
    assert all(0 <= now.next_look <= 0.02 for now in seen)


async def test_a_wait_goes_through_faults_that_pass() -> None:
    down, odd = Says(status=500), Says(whole=[])
    seen: list[WaitProgress] = []
    async with odd_server(in_turn(down, odd, "Saving", down, "Running")) as (session, _):
        await session.nodes.wait("41207", interval=0.01, progress=seen.append)
    assert [now.state for now in seen] == [None, None, NodeState.SAVING, None]


async def test_a_node_that_fails_ends_the_wait() -> None:
    async with odd_server(in_turn("Saving", "Failed")) as (session, _):
        with pytest.raises(NodeFailedError, match="node 41207 turned 'Failed'") as caught:
            await session.nodes.wait(41207, interval=0.01)
        assert caught.value.node_id == "41207"
        node = await session.nodes.wait(41207, NodeState.FAILED, interval=0.01)
        assert node.state is NodeState.FAILED


async def test_a_wait_for_a_node_that_is_not_there_ends() -> None:
    async with FakeE2E(images=0, nodes=1) as fake, fake.session() as session:
        with pytest.raises(NotFoundError):
            await session.nodes.wait(99999, interval=0.01)


async def test_a_wait_ends_in_time_and_says_what_for() -> None:
    async with odd_server(in_turn("Saving")) as (session, _):
        with pytest.raises(WaitTimeoutError, match=r"node 41207 to be RUNNING: not within 0\.05 s"):
            await session.nodes.wait(41207, timeout=0.05, interval=0.01)


async def test_a_wait_ends_with_its_session() -> None:
    async with odd_server(in_turn("Saving")) as (session, asked):
        waiting = asyncio.ensure_future(session.nodes.wait(41207, interval=60))
        while not asked:
            await asyncio.sleep(0.001)
        await session.close()
        with pytest.raises(SessionError):
            await waiting


async def test_an_async_progress_callback_is_refused() -> None:
    async def progress(_: WaitProgress) -> None: ...

    async with odd_server(in_turn("Running")) as (session, asked):
        with pytest.raises(UsageError, match="progress: a plain callable is needed"):
            await session.nodes.wait(41207, progress=progress)
        assert not asked


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"state": "RUNNING"}, "state must be a NodeState"),
        ({"timeout": 0}, "timeout must be"),
        ({"timeout": "5"}, "timeout must be"),
        ({"interval": 0}, "interval must be"),
        ({"interval": 61}, "interval must be"),
        ({"progress": 5}, "progress: a plain callable is needed"),
    ],
)
async def test_arguments_that_cannot_be_meant_are_refused(
    arguments: dict[str, Any], says: str
) -> None:
    async with FakeE2E(images=0) as fake, fake.session() as session:
        with pytest.raises(UsageError, match=says):
            await session.nodes.wait(41207, **arguments)
        with pytest.raises(UsageError, match="match: a plain callable is needed"):
            await session.nodes.list("web-*")  # type: ignore[arg-type]  # that is the point
        assert not fake.calls


async def test_a_progress_callback_that_fails_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_: WaitProgress) -> None:
        raise RuntimeError("of mine")

    async with odd_server(in_turn("Saving", "Running")) as (session, _):
        await session.nodes.wait(41207, interval=0.01, progress=fail)
    assert "a progress callback failed" in caplog.text
