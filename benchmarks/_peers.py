"""Who is measured: the library, aiohttp as most people write it, aiohttp as well as it can be
written, and requests.

All of them send the same rename and see to it that the server said yes.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

import aiohttp
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
            _see_to(reply.status, content)
            return content

        yield rename


@contextlib.asynccontextmanager
async def tuned(base: str) -> AsyncIterator[Rename]:
    """aiohttp without what it does twice: an encoded URL, a body of bytes, headers once, no timeout
    object."""
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
            _see_to(reply.status, content)
            return content

        yield rename


@contextlib.contextmanager
def blocking(base: str) -> Iterator[Callable[[str, str], object]]:
    """requests, one call after the other on one kept connection."""
    with requests.Session() as http:

        def rename(image: str, name: str) -> object:
            url = f"{base}images/{image}/"
            body = {"action_type": "rename", "name": name}
            reply = http.post(url, params=QUERY, json=body, headers=HEADERS, timeout=30)
            content = reply.json()
            _see_to(reply.status_code, content)
            return content

        yield rename


def _see_to(status: int, content: Any) -> None:
    if status >= 400 or content["code"] >= 400:
        raise RuntimeError(f"the server said {status}")
