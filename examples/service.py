"""A web service over one shared session: list, save, rename and delete images by HTTP.

Set E2E_API_KEY, E2E_AUTH_TOKEN, E2E_PROJECT_ID and E2E_LOCATION, run ``python
examples/service.py``, and send requests (the ids are those of the emulator):

    curl 'localhost:8080/images?name=web-*'
    curl localhost:8080/images/26318
    curl -X POST localhost:8080/nodes/32203/images -d '{"name": "before-upgrade"}'
    curl -X PUT localhost:8080/images/26318 -d '{"name": "golden"}'
    curl -X DELETE localhost:8080/images/26318
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web

import aioe2e
from aioe2e.select import name_matches

SESSION = web.AppKey("SESSION", aioe2e.Session)

#: The HTTP status for each class of errors; 502 for all others.
STATUSES: dict[type[aioe2e.E2EError], int] = {
    aioe2e.UsageError: 400,
    aioe2e.NotFoundError: 404,
    aioe2e.ConflictError: 409,
    aioe2e.RateLimitedError: 429,
    aioe2e.OutcomeUnknownError: 504,
    aioe2e.DeadlineExceededError: 504,
}


def make_app(
    open_session: Callable[[], aioe2e.Session] = aioe2e.Session.from_env,
) -> web.Application:
    async def session_for_all_requests(app: web.Application) -> AsyncIterator[None]:
        async with open_session() as session:
            app[SESSION] = session
            yield

    app = web.Application(middlewares=[explain_errors])
    app.cleanup_ctx.append(session_for_all_requests)
    app.add_routes(
        [
            web.get("/images", list_images),
            web.get("/images/{image}", show_image),
            web.put("/images/{image}", rename_image),
            web.delete("/images/{image}", delete_image),
            web.post("/nodes/{node}/images", save_image),
        ]
    )
    return app


async def list_images(request: web.Request) -> web.Response:
    match = name_matches(request.query.get("name", "*"))
    images = await request.app[SESSION].images.list(match)
    shown = [
        {"id": i.image_id, "name": i.name, "state": i.state.value, "in_use": i.in_use}
        for i in images
    ]
    return web.json_response(shown)


async def show_image(request: web.Request) -> web.Response:
    image = await request.app[SESSION].images.get(request.match_info["image"])
    return web.json_response(image.to_dict())


async def rename_image(request: web.Request) -> web.Response:
    result = await request.app[SESSION].images.rename(
        request.match_info["image"], await new_name(request)
    )
    return web.json_response({"message": result.message})


async def delete_image(request: web.Request) -> web.Response:
    await request.app[SESSION].images.delete(request.match_info["image"], missing_ok=True)
    return web.Response(status=204)


async def save_image(request: web.Request) -> web.Response:
    action = await request.app[SESSION].images.save(
        request.match_info["node"], await new_name(request)
    )
    return web.json_response({"action": action.action_id, "status": action.status}, status=202)


async def new_name(request: web.Request) -> Any:
    try:
        return (await request.json())["name"]
    except (ValueError, KeyError, TypeError):
        raise web.HTTPBadRequest(text='the body must be {"name": "..."}') from None


@web.middleware
async def explain_errors(
    request: web.Request, handler: Callable[[web.Request], Any]
) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except aioe2e.E2EError as error:
        status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 502)
        headers: dict[str, str] = {}
        if isinstance(error, aioe2e.APIError) and error.retry_after is not None:
            headers["Retry-After"] = str(math.ceil(error.retry_after))
        return web.json_response({"error": str(error)}, status=status, headers=headers)
    return response


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8080)
