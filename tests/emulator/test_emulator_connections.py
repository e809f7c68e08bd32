"""The emulator and clients that leave, stop half-way, ask before they send, or send what no server expects."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from emulator_client import LIST, Answer, exchange, parse, rename, request_bytes
from patience import SOON

from aioe2e.testing import FakeE2E, Fault


async def sent(fake: FakeE2E, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", fake.port)
    writer.write(data)
    await writer.drain()
    return reader, writer


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(SOON):
        while not true():
            await asyncio.sleep(0.002)


def head(fake: FakeE2E, request: tuple[str, str, Any], **headers: str) -> tuple[bytes, bytes]:
    data = request_bytes(
        fake, *request, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    before, end, after = data.partition(b"\r\n\r\n")
    return before + end, after


@pytest.mark.parametrize(
    "fault", [None, Fault("odd-201"), Fault("reset", True), Fault("partial-body", True)]
)
async def test_a_write_whose_client_left_is_late_and_has_no_status(
    fault: Fault | None,
) -> None:
    async with FakeE2E(latency=0.4, faults=fault) as fake:
        _, writer = await sent(fake, request_bytes(fake, *rename(next(iter(fake.images)), "gone")))
        await until(lambda: fake.in_flight)
        writer.transport.abort()
        await until(lambda: fake.ledger)
        await fake.settle()
        assert fake.ledger[0].late
        assert fake.calls[0].status is None


async def test_a_client_that_leaves_before_a_slow_reply_gets_no_status() -> None:
    async with FakeE2E(faults=Fault("slow", seconds=5)) as fake:
        _, writer = await sent(fake, request_bytes(fake, *rename(next(iter(fake.images)), "x")))
        await until(lambda: fake.ledger)
        writer.transport.abort()
        await fake.settle()
        assert not fake.ledger[0].late, "it was applied while the client waited"
        assert fake.calls[0].status is None


@pytest.mark.parametrize("latency", [0.0, 0.03])
@pytest.mark.parametrize("request_", [LIST, rename("{image}", "golden")])
async def test_a_client_that_has_only_ended_its_own_side_gets_its_reply(
    latency: float, request_: Any
) -> None:
    async with FakeE2E(latency=latency) as fake:
        method, path, body = request_
        data = request_bytes(fake, method, path.format(image=next(iter(fake.images))), body)
        reader, writer = await sent(fake, data)
        writer.write_eof()
        answer = parse(await asyncio.wait_for(reader.read(), SOON))
        writer.close()
        assert (answer.status, fake.calls[0].status) == (200, 200)
        assert answer.json["message"] == "Success"
        assert not any(entry.late for entry in fake.ledger)


@pytest.mark.parametrize("leave", ["end", "abort"])
@pytest.mark.parametrize("pause", [0.0, 0.02])
async def test_a_client_that_leaves_within_its_body_changes_nothing_and_is_no_error(
    leave: str, pause: float, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeE2E() as fake:
        data = request_bytes(fake, *rename(next(iter(fake.images)), "half"))
        reader, writer = await sent(fake, data[:-5])
        await asyncio.sleep(pause)
        if leave == "end":
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), SOON) == b""
            writer.close()
        else:
            writer.transport.abort()
        await until(lambda: fake.calls)
        await fake.settle()
        assert (fake.calls[0].status, fake.ledger, fake.in_flight) == (None, [], 0)
    assert caplog.records == []


async def test_a_client_that_expects_100_continue_gets_it() -> None:
    async with FakeE2E() as fake:
        first = next(iter(fake.images))
        before, body = head(fake, rename(first, "asked"), Expect="100-continue")
        reader, writer = await sent(fake, before)
        assert (
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SOON)
            == b"HTTP/1.1 100 Continue\r\n\r\n"
        )
        writer.write(body)
        assert await asyncio.wait_for(reader.readuntil(b"\r\n"), SOON) == b"HTTP/1.1 200 OK\r\n"
        writer.close()
        assert fake.images[first]["name"] == "asked"


async def test_a_body_that_has_arrived_already_gets_no_100_continue() -> None:
    async with FakeE2E() as fake:
        before, body = head(fake, rename(next(iter(fake.images)), "asked"), Expect="100-continue")
        assert (await exchange(fake, before + body)).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_the_nodejs_sample_of_the_document_lists_images_despite_its_unannounced_body(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeE2E(images=3) as fake:
        before, body = head(
            fake, ("GET", "//myaccount/api/v1/images/saved-images/", {"type": "rename"})
        )
        before = before.replace(b"Content-Length: %d\r\n" % len(body), b"")
        answer = parse(await exchange(fake, before + body))
        assert (answer.status, len(answer.json["data"])) == (200, 3)
        assert [(call.action, call.status) for call in fake.calls] == [("list", 200)]
    assert caplog.records == []


async def test_requests_that_come_in_one_piece_are_answered_one_after_the_other() -> None:
    async with FakeE2E() as fake:
        first = next(iter(fake.images))
        data = b"".join(
            request_bytes(fake, *request, headers={"Content-Length": length})
            for request, length in (
                (LIST, ""),
                (rename(first, "golden"), str(len(json.dumps(rename(first, "golden")[2])))),
                (LIST, ""),
            )
        )
        reader, writer = await sent(fake, data)
        got = b""
        while got.count(b"HTTP/1.1 200 OK") < 3:
            got += await asyncio.wait_for(reader.read(65536), SOON)
        writer.close()
        assert [call.action for call in fake.calls] == ["list", "rename", "list"]


async def test_bytes_that_are_not_a_request_are_refused_without_a_log_record(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeE2E() as fake:
        assert parse(await exchange(fake, b"\x16\x03\x01 nonsense\r\n\r\n")).status == 400
    assert caplog.records == []


async def test_a_body_that_is_too_large_is_refused_as_json() -> None:
    async with FakeE2E() as fake:
        answer: Answer = parse(
            await exchange(fake, request_bytes(fake, "POST", "images/1/", b" " * 2_000_000))
        )
        assert (answer.status, answer.json["code"], fake.calls[0].status) == (413, 413, 413)


@pytest.mark.parametrize("more", [{"Transfer_Encoding": "chunked"}, {"Content_Encoding": "gzip"}])
async def test_a_body_that_cannot_be_decoded_is_refused_as_json(
    more: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeE2E() as fake:
        before, body = head(fake, rename("1", "x"), **more)
        if "Transfer_Encoding" in more:
            before = before.replace(b"Content-Length: %d\r\n" % len(body), b"")
        answer = parse(await exchange(fake, before + body))
        assert answer.status == 400
    assert caplog.records == []


@pytest.mark.parametrize("kind", ["close-on-next", "reset-on-next"])
@pytest.mark.parametrize("in_parts", [False, True])
async def test_a_request_that_ends_its_connection_is_recorded_as_far_as_it_was_read(
    kind: str, in_parts: bool
) -> None:
    async with FakeE2E(faults=[kind]) as fake:
        first = next(iter(fake.images))
        reader, writer = await sent(fake, request_bytes(fake, *LIST))
        await asyncio.wait_for(reader.readuntil(b"}]"), SOON)
        before, body = head(fake, rename(first, "doomed"))
        writer.write(before if in_parts else before + body)
        if in_parts:
            for _ in range(3):
                await asyncio.sleep(0)
            writer.write(body)
        await until(lambda: len(fake.calls) == 2)
        await fake.settle()
        writer.close()
        call = fake.calls[1]
        assert (call.action, call.target, call.name, call.status) == (
            "rename",
            first,
            "doomed",
            None,
        )
        assert call.fault == "kept connection ended"
        assert fake.ledger == []


async def test_an_invalid_choice_of_a_fault_function_is_explained_in_the_reply(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeE2E(faults=lambda _: 5) as fake:  # type: ignore[arg-type, return-value]
        answer = parse(await exchange(fake, request_bytes(fake, *LIST)))
        assert (answer.status, fake.calls[0].status) == (500, 500)
        assert "a fault must be" in answer.json["message"]
        assert "a fault must be" in caplog.text


async def test_an_image_that_cannot_be_json_is_explained_in_the_reply(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeE2E([{"image_id": "1", "x": object()}]) as fake:
        answer = parse(await exchange(fake, request_bytes(fake, *LIST)))
        assert (answer.status, fake.calls[0].status) == (500, 500)
        assert "not JSON serializable" in answer.json["message"]
        assert caplog.records


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("how", ["refuse", "close"])
async def test_a_connection_accepted_while_listening_ends_is_not_left_half_made(
    how: str, turns: int
) -> None:
    # Warnings are errors: a transport that nobody closed is found by the collector.
    async with FakeE2E() as fake:
        with socket.create_connection(("127.0.0.1", fake.port)):
            for _ in range(turns):
                await asyncio.sleep(0)
            await (fake._listener.refuse(0.01) if how == "refuse" else fake.close())
