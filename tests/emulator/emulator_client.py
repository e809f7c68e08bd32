"""A client of bytes for the emulator's own tests: it sees what a real one hides."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

import attrs
from patience import SOON

from aioe2e.testing import FakeE2E


class NotHTTPError(Exception):
    """What came is no whole HTTP reply."""


@attrs.frozen
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    rest: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def request_bytes(
    fake: FakeE2E,
    method: str,
    path: str,
    body: Any = None,
    *,
    query: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    query = f"apikey={fake.credentials.api_key}" if query is None else query
    payload = (
        b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    )
    lines = {
        "Host": f"127.0.0.1:{fake.port}",
        "Authorization": f"Bearer {fake.credentials.auth_token}",
        "Content-Length": str(len(payload)),
    } | dict(headers or {})
    url = path if path.startswith("/") else f"/myaccount/api/v1/{path}"
    head = [
        f"{method} {url}?{query} HTTP/1.1",
        *(f"{name}: {value}" for name, value in lines.items() if value),
    ]
    return "\r\n".join([*head, "", ""]).encode() + payload


def parse(data: bytes) -> Answer:
    """The first whole reply in the bytes, read as strictly as the standard allows.

    Raises:
        NotHTTPError: There is none.
    """
    while True:
        head, end, body = data.partition(b"\r\n\r\n")
        if not end:
            raise NotHTTPError("no end of the head")
        first, *lines = head.decode("latin-1").split("\r\n")
        if (match := re.fullmatch(r"HTTP/1\.[01] (\d{3})( .*)?", first)) is None:
            raise NotHTTPError(first)
        if not match[1].startswith("1"):
            break
        data = body
    headers = []
    for line in lines:
        if (pair := re.fullmatch(r"([\w!#$%&'*+.^`|~-]+):[ \t]*([^\x00-\x08]*)", line)) is None:
            raise NotHTTPError(line)
        headers.append((pair[1], pair[2]))
    answer = Answer(int(match[1]), headers, b"")
    lengths = [value for name, value in headers if name.lower() == "content-length"]
    if answer.header("transfer-encoding") == "chunked":
        return attrs.evolve(answer, body=_chunks(body))
    if not lengths and first.startswith("HTTP/1.0"):
        return attrs.evolve(answer, body=body)
    if len(lengths) != 1 or not lengths[0].isdecimal() or len(body) < int(lengths[0]):
        raise NotHTTPError(f"{len(body)} bytes for Content-Length {lengths}")
    return attrs.evolve(answer, body=body[: int(lengths[0])], rest=body[int(lengths[0]) :])


def _chunks(data: bytes) -> bytes:
    body = b""
    while True:
        size, end, data = data.partition(b"\r\n")
        if not end or re.fullmatch(rb"[0-9a-fA-F]+", size) is None or len(data) < int(size, 16) + 2:
            raise NotHTTPError("a chunk")
        if int(size, 16) == 0:
            return body
        body, data = body + data[: int(size, 16)], data[int(size, 16) + 2 :]


async def exchange(fake: FakeE2E, data: bytes, *, patience: float = SOON) -> bytes:
    """Send bytes on a connection of their own; whatever comes until a whole reply, the end, or no more patience."""
    reader, writer = await asyncio.open_connection("127.0.0.1", fake.port)
    got = b""
    try:
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(patience):
                writer.write(data)
                while piece := await reader.read(65536):
                    got += piece
                    if whole(got):
                        break
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return got


def whole(data: bytes) -> bool:
    if len(data) > 200_000 and not data.endswith(b"}"):
        return False  # parsing every piece of a long body anew takes long
    try:
        parse(data)
    except NotHTTPError:
        return False
    return True


async def ask(fake: FakeE2E, method: str, path: str, body: Any = None, **more: Any) -> Answer:
    """One request, one reply."""
    return parse(await exchange(fake, request_bytes(fake, method, path, body, **more)))


def rename(image_id: str, name: str) -> tuple[str, str, Any]:
    return "POST", f"images/{image_id}/", {"action_type": "rename", "name": name}


def delete(image_id: str) -> tuple[str, str, Any]:
    return "POST", f"images/{image_id}/", {"action_type": "delete_image"}


def save(node_id: str, name: str) -> tuple[str, str, Any]:
    return "POST", f"nodes/{node_id}/actions/", {"type": "save_images", "name": name}


LIST = ("GET", "images/saved-images/", None)
