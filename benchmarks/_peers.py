"""Who is measured against the library.

aiohttp as most people write it and as well as it can be written, httpx, requests, and a protocol of
asyncio that does nothing but this. All of them send the same rename and check that the server said
yes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

import aiohttp
import httpx
import requests
from yarl import URL

import aioe2e

API_KEY: Final = "4f7c9a52-1d0e-4b63-9f38-benchmarks00"
TOKEN: Final = "eyJhbGciOiJSUzI1NiJ9.eyJiZW5jaCI6InllcyJ9.c2lnbmF0dXJl"
PROJECT: Final = 12345
LOCATION: Final = "Delhi"

#: Renames one image.
Rename = Callable[[str, str], Awaitable[object]]

QUERY: Final = {"apikey": API_KEY, "project_id": str(PROJECT), "location": LOCATION}
HEADERS: Final = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


def session(base: str, **options: Any) -> aioe2e.Session:
    """The library's session."""
    credentials = aioe2e.Credentials(api_key=API_KEY, auth_token=TOKEN)
    return aioe2e.Session(
        credentials, project_id=PROJECT, location=LOCATION, base_url=base, **options
    )


@contextlib.asynccontextmanager
async def library(base: str, **options: Any) -> AsyncIterator[Rename]:
    """aioe2e."""
    async with session(base, **options) as opened:
        yield opened.images.rename


@contextlib.asynccontextmanager
async def naive(base: str) -> AsyncIterator[Rename]:
    """aiohttp as its own tutorial writes it."""
    async with aiohttp.ClientSession() as http:

        async def rename(image: str, name: str) -> object:
            url = f"{base}images/{image}/"
            body = {"action_type": "rename", "name": name}
            async with http.post(url, params=QUERY, json=body, headers=HEADERS) as reply:
                content = await reply.json()
            _check(reply.status, content)
            return content

        yield rename


@contextlib.asynccontextmanager
async def tuned(base: str) -> AsyncIterator[Rename]:
    """aiohttp without what it does twice.

    An encoded URL, a body of bytes, headers once, no timeout object.
    """
    query = "&".join(f"{key}={value}" for key, value in QUERY.items())
    async with aiohttp.ClientSession(
        headers=HEADERS,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        connector=aiohttp.TCPConnector(limit=0),
    ) as http:

        async def rename(image: str, name: str) -> object:
            url = URL(f"{base}images/{image}/?{query}", encoded=True)
            body = b'{"action_type": "rename", "name": "%s"}' % name.encode()
            reply = await http.request("POST", url, data=body)
            content = await reply.json(content_type=None)
            _check(reply.status, content)
            return content

        yield rename


@contextlib.asynccontextmanager
async def with_httpx(base: str) -> AsyncIterator[Rename]:
    """httpx as its own tutorial writes it."""
    limits = httpx.Limits(max_connections=256, max_keepalive_connections=256)
    async with httpx.AsyncClient(limits=limits, timeout=30) as http:

        async def rename(image: str, name: str) -> object:
            url = f"{base}images/{image}/"
            body = {"action_type": "rename", "name": name}
            reply = await http.post(url, params=QUERY, json=body, headers=HEADERS)
            content = reply.json()
            _check(reply.status_code, content)
            return content

        yield rename


class _Line(asyncio.Protocol):
    """A connection that knows nothing but a head with a Content-Length."""

    def __init__(self) -> None:
        self._received = b""
        self.reply: asyncio.Future[bytes]
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if found:
            length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
            if len(body) >= length:
                self._received = b""
                self.reply.set_result(body)


@contextlib.asynccontextmanager
async def raw(base: str) -> AsyncIterator[Rename]:
    """A protocol of asyncio, to show what nothing can be below: no limits, errors or timeouts."""
    loop = asyncio.get_running_loop()
    url = URL(base)
    host, port = url.host or "", url.port or 0
    query = "&".join(f"{key}={value}" for key, value in QUERY.items())
    headers = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    idle: list[_Line] = []

    async def rename(image: str, name: str) -> object:
        if idle:
            line = idle.pop()
        else:
            _, line = await loop.create_connection(_Line, host, port)
        body = f'{{"action_type": "rename", "name": "{name}"}}'
        target = f"{url.raw_path}images/{image}/?{query}"
        head = f"POST {target} HTTP/1.1\r\nHost: {host}\r\n{headers}"
        line.reply = loop.create_future()
        line.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        content = json.loads(await line.reply)
        idle.append(line)
        _check(200, content)
        return content

    try:
        yield rename
    finally:
        for line in idle:
            line.transport.close()


def behind_a_semaphore(rename: Rename, limit: int) -> Rename:
    """The limit that most people write."""
    semaphore = asyncio.Semaphore(limit)

    async def limited(image: str, name: str) -> object:
        async with semaphore:
            return await rename(image, name)

    return limited


@contextlib.contextmanager
def blocking(base: str) -> Iterator[Callable[[str, str], object]]:
    """requests, one call after the other on one kept connection."""
    with requests.Session() as http:

        def rename(image: str, name: str) -> object:
            url = f"{base}images/{image}/"
            body = {"action_type": "rename", "name": name}
            reply = http.post(url, params=QUERY, json=body, headers=HEADERS, timeout=30)
            content = reply.json()
            _check(reply.status_code, content)
            return content

        yield rename


def _check(status: int, content: Any) -> None:
    if status >= 400 or content["code"] >= 400:
        raise RuntimeError(f"the server said {status}")
