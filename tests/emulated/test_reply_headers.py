"""Headers of a reply, and the id of a request, reach those who ask the server's support."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from odd_server import Says, odd_server

from aioe2e import APIError, NotFoundError, Reply, ResponseError, RetryPolicy, ServerError

HEADERS = {
    "X-Request-Id": "req-7",
    "X-RateLimit-Limit": "5000",
    "X-RateLimit-Remaining": "4982",
    "X-Anything": "else the-api-key",
    "Set-Cookie": "sid=5",
}


async def test_a_reply_has_its_headers_and_no_secret_or_cookie() -> None:
    async with odd_server(lambda _: Says({"a": 1}, headers=HEADERS)) as (session, _):
        for method in ("GET", "POST"):
            reply = await session.request(method, "x/")
            assert reply.request_id == "req-7"
            assert reply.headers["x-ratelimit-remaining"] == "4982"
            assert reply.headers["content-type"] == "application/json; charset=utf-8"
            assert reply.headers["x-anything"] == "else [hidden]"
            assert "set-cookie" not in reply.headers
            assert reply.to_dict()["headers"]["x-request-id"] == "req-7"
    assert Reply(status=200).request_id is None


@pytest.mark.parametrize(
    ("says", "error"),
    [
        (Says(status=404, headers=HEADERS), NotFoundError),
        (Says(status=500, headers=HEADERS), ServerError),
        (Says({}, headers=HEADERS), ResponseError),
        (Says(status=400, whole="x", headers=HEADERS), APIError),
    ],
)
async def test_an_error_has_the_headers_of_interest(says: Says, error: Any) -> None:
    async with odd_server(lambda _: says, retry=RetryPolicy.none()) as (session, _):
        with pytest.raises(error) as caught:
            await session.images.list()
    assert caught.value.request_id == "req-7"
    assert caught.value.headers["x-ratelimit-limit"] == "5000"
    assert "date" in caught.value.headers
    assert {"x-anything", "set-cookie"}.isdisjoint(caught.value.headers)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.headers == caught.value.headers
    assert again.request_id == "req-7"


async def test_an_error_of_a_write_has_them_too() -> None:
    says = Says(
        status=409, whole={"message": "taken"}, headers={"X-Request-Id": "r the-auth-token"}
    )
    async with odd_server(lambda _: says) as (session, _):
        with pytest.raises(APIError) as caught:
            await session.images.rename(5, "taken")
    assert caught.value.request_id == "r [hidden]"


def test_an_error_without_a_reply_has_none() -> None:
    assert ResponseError("x").headers == {}
    assert ResponseError("x").request_id is None
    assert NotFoundError("x", status=404).request_id is None
