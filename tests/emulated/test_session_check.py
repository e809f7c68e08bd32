"""`Session.check` says what is set up right and what to do about the rest; it does not raise."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from odd_server import Asked, Says, odd_server

from aioe2e import Check, Credentials, RetryPolicy, Session, SessionError
from aioe2e.testing import FakeE2E


def image(number: int) -> dict[str, Any]:
    return {"image_id": str(number), "name": f"secret-name-{number}"}


def shown(check: Check) -> str:
    """What is printed of it; it must be JSON, too, and hold no credential."""
    texts = f"{check} {json.dumps(check.to_dict())} {check!r}"
    assert "the-api-key" not in texts
    assert "the-auth-token" not in texts
    return str(check)


async def test_a_session_that_is_set_up_right() -> None:
    async with FakeE2E(images=3) as fake, fake.session() as session:
        check = await session.check()
        assert check.ok
        assert (check.credentials_accepted, check.place_accepted, check.images) == (True, True, 3)
        assert check.seconds is not None
        assert check.clock_skew is not None
        assert abs(check.clock_skew) < 5
        assert (
            "The API key and the auth token are accepted; the listing shows 3 saved images."
            in shown(check)
        )
        assert fake.url in str(check)
        assert len(fake.calls) == 1


@pytest.mark.parametrize(("count", "says"), [(0, "may also mean a wrong project or location"), (1, "shows 1 saved image.")])  # fmt: skip
async def test_an_empty_listing_is_no_proof(count: int, says: str) -> None:
    async with odd_server(lambda _: Says([image(n) for n in range(count)])) as (session, _):
        check = await session.check()
    assert check.ok
    assert check.images == count
    assert says in shown(check)


async def test_what_is_not_set_is_named() -> None:
    async with odd_server(lambda _: Says([]), project_id=None, location=None) as (session, _):
        text = shown(await session.check())
    assert "set E2E_PROJECT_ID" in text
    assert "set E2E_LOCATION" in text
    assert "for no project and no location" in text


def refusing(listing: Says, account: Says) -> Any:
    def answer(asked: Asked) -> Says:
        if asked.path == "iam/multi-crn/":
            assert "project_id" not in asked.query
            assert "location" not in asked.query
            return account
        return listing

    return answer


DENIED = Says(whole={"detail": "Authentication credentials were not provided."}, status=401)
FORBIDDEN = Says(status=403, whole={"detail": "You do not have permission."})
ABSENT = Says(status=404, whole={"code": 404, "message": "Project not found", "errors": {}})


@pytest.mark.parametrize(
    ("listing", "account", "accepted", "says"),
    [
        (DENIED, DENIED, (False, None), "refuses the API key or the auth token"),
        (FORBIDDEN, FORBIDDEN, (False, None), "refuses the API key or the auth token"),
        (FORBIDDEN, Says({}), (True, False), "The API key and the auth token are accepted, but the images cannot be listed"),
        (ABSENT, Says({}), (True, False), "project 12345 and location Delhi"),
        (ABSENT, ABSENT, (None, None), "Check base_url, the project and the location"),
        (Says(status=400), Says([]), (True, False), "Check the project and the location"),
        (Says(status=500), Says({}), (None, None), "The server failed"),
        (Says(status=429, headers={"Retry-After": "300"}), Says({}), (None, None), "Wait 300 s before you send more"),
        (Says({}), Says({}), (None, None), "does not look like the API"),
        (Says([{"id": 5, "os": "CentOS"}]), Says({}), (None, None), "does not look like the API"),
        (Says(whole="no envelope"), Says({}), (None, None), "does not look like the API"),
    ],
)  # fmt: skip
async def test_a_refusal_is_explained_with_what_to_do(
    listing: Says, account: Says, accepted: tuple[bool | None, bool | None], says: str
) -> None:
    async with odd_server(refusing(listing, account)) as (session, asked):
        check = await session.check()
    assert not check.ok
    assert (check.credentials_accepted, check.place_accepted) == accepted
    assert says in shown(check)
    assert check.images is None
    assert len(asked) <= 5


async def test_a_missing_server_is_explained() -> None:
    credentials = Credentials(api_key="the-api-key", auth_token="the-auth-token")
    async with Session(
        credentials, base_url="http://127.0.0.1:1/", retry=RetryPolicy.none()
    ) as session:
        check = await session.check()
    assert not check.ok
    assert "No connection could be made" in shown(check)


async def test_a_token_that_cannot_be_fetched_is_explained() -> None:
    async def no_token() -> str:
        raise RuntimeError("the-auth-token is of no use")

    credentials = Credentials(api_key="the-api-key", auth_token=no_token)
    async with odd_server(lambda _: Says([]), credentials=credentials) as (session, asked):
        check = await session.check()
    assert "No auth token could be fetched" in shown(check)
    assert not asked


@pytest.mark.parametrize(("hours", "says"), [(2, "s behind the server's"), (-2, "s ahead of the server's")])  # fmt: skip
async def test_a_wrong_clock_is_reported(hours: int, says: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
    async with odd_server(lambda _: Says([], headers={"Date": date})) as (session, _):
        check = await session.check()
    assert check.clock_skew == pytest.approx(hours * 3600, abs=5)
    assert says in shown(check)


@pytest.mark.parametrize("family", ["RateLimit-", "X-RateLimit-"])
async def test_the_request_budget_is_reported(family: str) -> None:
    headers = {f"{family}Limit": "5000", f"{family}Remaining": "4982", f"{family}Reset": "60"}
    async with odd_server(lambda _: Says([], headers=headers)) as (session, _):
        check = await session.check()
    assert check.rate_limit is not None
    assert check.rate_limit.remaining == 4982
    assert "4982 of 5000 requests are left until " in shown(check)


async def test_a_session_that_is_closed_cannot_be_checked() -> None:
    async with FakeE2E() as fake:
        session = fake.session()
        await session.close()
        with pytest.raises(SessionError):
            await session.check()


async def test_a_check_of_a_view_uses_its_project_and_location() -> None:
    async with odd_server(lambda _: Says([])) as (session, asked):
        check = await session.at(location="Chennai").check()
    assert "location Chennai" in str(check)
    assert asked[0].query["location"] == "Chennai"
