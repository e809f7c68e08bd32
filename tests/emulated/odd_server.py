"""A server of a test's own making: what the emulator would never answer, over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
from aiohttp import web

from aioe2e import Credentials, RetryPolicy, Session


@attrs.frozen
class Asked:
    """A request as the test's function sees it."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@attrs.frozen
class Says:
    """A reply."""

    data: Any = None
    status: int = 200
    headers: Mapping[str, str] = attrs.Factory(dict)
    #: More keys of the envelope.
    envelope: Mapping[str, Any] = attrs.Factory(dict)
    #: In the place of the envelope.
    whole: Any = None


Answer = Callable[[Asked], Says]


@asynccontextmanager
async def odd_server(answer: Answer, **options: Any) -> AsyncIterator[tuple[Session, list[Asked]]]:
    """A session whose server answers with `answer`, and the requests that came."""
    asked: list[Asked] = []

    async def serve(request: web.Request) -> web.Response:
        path = request.path.removeprefix("/myaccount/api/v1/")
        asked.append(Asked(request.method, path, dict(request.query), dict(request.headers)))
        says = answer(asked[-1])
        envelope = {"code": 200, "data": says.data, "errors": {}, "message": "Success"}
        body = {**envelope, **says.envelope} if says.whole is None else says.whole
        return web.json_response(body, status=says.status, headers=says.headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        [(_, port)] = runner.addresses
        options = {
            "credentials": Credentials(api_key="the-api-key", auth_token="the-auth-token"),
            "base_url": f"http://127.0.0.1:{port}/myaccount",
            "project_id": 12345,
            "location": "Delhi",
            "retry": RetryPolicy(base=0.001, cap=0.002, look=0.05),
            **options,
        }
        async with Session(**options) as session:
            yield session, asked
    finally:
        await runner.cleanup()
