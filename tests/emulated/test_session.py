"""The session over a real socket: how it is built, bound, shared, closed, forgotten, and what it puts on the wire."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import hdrs
from multidict import CIMultiDict
from patience import SOON

import aioe2e
from aioe2e.errors import is_passing
from aioe2e.session import SessionOptions
from aioe2e.testing import FakeE2E, Fault, Faults

FAST = aioe2e.RetryPolicy(base=0.01, cap=0.02, look=0.05)
#: Characters that have a meaning in URLs, in JSON and in percent escapes.
KEY = 'k+/=%"\\&?#~key'
TOKEN = "t+/=%.-_~token"


def ids(fake: FakeE2E) -> list[str]:
    return list(fake.images)


def credentials(fake: FakeE2E, token: Callable[[], Awaitable[str]]) -> aioe2e.Credentials:
    return aioe2e.Credentials(api_key=fake.credentials.api_key, auth_token=token)


async def outcome(task: asyncio.Task[Any]) -> Any:
    """What a task returned or raised; a task that has not ended by then is a failure."""
    done, _ = await asyncio.wait([task], timeout=SOON)
    if not done:
        task.cancel()
        await asyncio.wait([task])
        pytest.fail("the call did not end")
    return task.exception() or task.result()


async def arrived(fake: FakeE2E, count: int) -> None:
    async with asyncio.timeout(SOON):
        while len(fake.calls) < count:
            await asyncio.sleep(0.002)


# Building


def test_building_a_session_needs_no_loop_and_opens_nothing() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        session = aioe2e.Session(aioe2e.Credentials(api_key="abcdefgh", auth_token="abcdefgh"))
        view = session.with_options(timeouts=aioe2e.Timeouts(total=1))
        assert view.images is not session.images
        assert not session.closed
        assert "abcdefgh" not in repr(session) + repr(view)
        del session, view
        gc.collect()
    assert not [warning for warning in seen if warning.category is ResourceWarning]


def test_a_session_that_was_never_used_closes_without_a_loop_of_its_own() -> None:
    session = aioe2e.Session(aioe2e.Credentials(api_key="abcdefgh", auth_token="abcdefgh"))
    asyncio.run(session.close())
    assert session.closed


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "http://example.com"},
        {"base_url": "https://user:pw@example.com"},
        {"base_url": "https://example.com/?apikey=1"},
        {"project_id": 0},
        {"project_id": "12a"},
        {"location": ""},
        {"timeouts": 3},
        {"retry": 3},
        {"limits": {}},
        {"dialect": "auto"},
        {"hooks": [1]},
        {"user_agent": "a\r\nb"},
        {"user_agent": ""},
        {"trust_env": 1},
        {"http": object()},
        {"credentials": ("k", "t")},
    ],
)
def test_a_wrong_setting_is_a_config_error_that_names_it(wrong: dict[str, Any]) -> None:
    given: dict[str, Any] = {
        "credentials": aioe2e.Credentials(api_key="abcdefgh", auth_token="abcdefgh")
    } | wrong
    with pytest.raises(aioe2e.ConfigError, match=next(iter(wrong))):
        aioe2e.Session(**given)


async def test_from_env_takes_all_four_variables_and_an_override_stands_above(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with FakeE2E() as fake:
        monkeypatch.setenv("E2E_API_KEY", f" {fake.credentials.api_key} ")
        monkeypatch.setenv("E2E_AUTH_TOKEN", f"Bearer {fake.credentials.auth_token}")
        monkeypatch.setenv("E2E_PROJECT_ID", "77")
        monkeypatch.setenv("E2E_LOCATION", "Chennai")
        async with aioe2e.Session.from_env(base_url=fake.url, location="Delhi") as session:
            await session.images.list()
        assert {key: fake.calls[0].query[key] for key in ("project_id", "location")} == {
            "project_id": "77",
            "location": "Delhi",
        }


def test_from_env_names_the_variables_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("E2E_API_KEY", raising=False)
    monkeypatch.setenv("E2E_AUTH_TOKEN", "")
    with pytest.raises(aioe2e.ConfigError, match="E2E_API_KEY and E2E_AUTH_TOKEN"):
        aioe2e.Session.from_env()


def _home(
    monkeypatch: pytest.MonkeyPatch, home: Path, name: str, content: object, mode: int = 0o600
) -> None:
    monkeypatch.setattr(Path, "home", lambda: home)
    file = home / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    file.chmod(mode)


async def test_from_profile_reads_the_file_of_e2ectl(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with FakeE2E() as fake:
        secrets = {"api_key": fake.credentials.api_key, "auth_token": fake.credentials.auth_token}
        profiles = {
            "one": {**secrets, "default_project_id": "5", "default_location": "Chennai"},
            "two": {},
        }
        _home(monkeypatch, tmp_path, ".e2e/config.json", {"profiles": profiles, "default": "one"})
        async with aioe2e.Session.from_profile(base_url=fake.url) as session:
            await session.images.list()
        assert fake.calls[0].query["project_id"] == "5"
        assert fake.calls[0].query["location"] == "Chennai"
    with pytest.raises(aioe2e.ConfigError, match="no profile 'three'"):
        aioe2e.Session.from_profile("three")


async def test_from_profile_reads_the_file_of_e2e_cli(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with FakeE2E() as fake:
        token = {"api_key": fake.credentials.api_key, "api_auth_token": fake.credentials.auth_token}
        default = {
            "api_key": "mine",
            "api_auth_token": "mine",
            "project_id": "6",
            "location": "Delhi",
        }
        _home(monkeypatch, tmp_path, ".E2E_CLI/config.json", {"mine": token, "default": default})
        async with aioe2e.Session.from_profile(base_url=fake.url) as session:
            await session.images.list()
        assert fake.calls[0].query["project_id"] == "6"


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        ('{"profiles"', 0o600, "not JSON"),
        ("[]", 0o600, "not a JSON object"),
        ({"profiles": {}}, 0o600, "no default profile"),
        pytest.param(
            {"profiles": {}}, 0o644, "can be read by others",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX"),
        ),
    ],
)  # fmt: skip
def test_a_profile_that_cannot_be_used_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: object, mode: int, why: str
) -> None:
    _home(monkeypatch, tmp_path, ".e2e/config.json", content, mode)
    with pytest.raises(aioe2e.ConfigError, match=why):
        aioe2e.Session.from_profile()


def test_without_any_profile_the_error_names_both_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    with pytest.raises(aioe2e.ConfigError, match=r"\.e2e/config\.json.*\.E2E_CLI/config\.json"):
        aioe2e.Session.from_profile()


# What stands on the wire


async def test_every_request_carries_key_context_and_token_exactly_once() -> None:
    async with (
        FakeE2E(api_key=KEY, auth_token=TOKEN, projects=["42"], locations=["New Delhi"]) as fake,
        fake.session(project_id="0042", location="New Delhi") as s,
    ):
        await s.images.list()
        await s.images.rename(ids(fake)[0], "renamed")
        await s.request("GET", "nodes/", query={"per_page": 5, "q": "a b&c=d"})
        for call in fake.calls:
            text = call.url.partition("?")[2]
            assert [text.count(f"{key}=") for key in ("apikey", "project_id", "location")] == [
                1,
                1,
                1,
            ]
            assert call.query["apikey"] == KEY
            assert call.query["project_id"] == "42"
            assert call.query["location"] == "New Delhi"
            assert call.headers["Authorization"] == f"Bearer {TOKEN}"
            assert not set(' "\\#') & set(call.url)
        assert fake.calls[-1].query["per_page"] == "5"
        assert fake.calls[-1].query["q"] == "a b&c=d"


async def test_without_context_neither_project_nor_location_is_sent() -> None:
    async with FakeE2E() as fake, fake.session(project_id=None, location=None) as session:
        await session.images.list()
        assert set(fake.calls[0].query) == {"apikey"}


@pytest.mark.parametrize("base", ["", "/", "/api/v1", "/api/v1/"])
async def test_a_base_url_is_taken_with_and_without_version_and_slash(base: str) -> None:
    async with FakeE2E() as fake:
        url = fake.url.removesuffix("/api/v1/") + base
        async with fake.session(base_url=url) as session:
            await session.images.list()
        assert fake.calls[0].path == "/myaccount/api/v1/images/saved-images/"


@pytest.mark.parametrize(
    ("dialect", "methods", "delete_body"),
    [
        (aioe2e.Dialect.DOCUMENTED, ["POST", "POST", "POST"], {"action_type": "delete_image"}),
        (aioe2e.Dialect.CURRENT, ["PUT", "PUT", "DELETE"], None),
    ],
)
async def test_the_bodies_are_exactly_the_documented_ones(
    dialect: aioe2e.Dialect, methods: list[str], delete_body: object
) -> None:
    async with FakeE2E(dialects=dialect) as fake, fake.session(dialect=dialect) as session:
        image, node = ids(fake)[0], next(iter(fake.nodes))
        await session.images.save(node, 'na"me é')
        await session.images.rename(image, "näme")
        await session.images.delete(image)
        assert [call.method for call in fake.calls] == methods
        assert [call.json for call in fake.calls] == [
            {"type": "save_images", "name": 'na"me é'},
            {"action_type": "rename", "name": "näme"},
            delete_body,
        ]
        assert [call.path.removeprefix("/myaccount/api/v1/") for call in fake.calls] == [
            f"nodes/{node}/actions/",
            f"images/{image}/",
            f"images/{image}/",
        ]
        assert all(
            call.headers["Content-Type"] == "application/json" for call in fake.calls if call.body
        )


async def test_a_listing_has_no_body() -> None:
    async with FakeE2E() as fake, fake.session() as session:
        await session.images.list()
        assert fake.calls[0].method == "GET"
        assert fake.calls[0].body == b""


async def test_the_user_agent_names_the_caller_and_the_library() -> None:
    async with (
        FakeE2E() as fake,
        fake.session(user_agent="bot/1.2 (ops)") as one,
        fake.session() as two,
    ):
        await one.images.list()
        await two.images.list()
        own = f"aioe2e/{aioe2e.__version__}"
        assert [call.headers["User-Agent"] for call in fake.calls] == [f"bot/1.2 (ops) {own}", own]


# A borrowed aiohttp session


async def test_of_a_borrowed_session_only_pool_and_traces_are_used() -> None:
    seen: list[str] = []

    async def middleware(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        seen.append("middleware")
        return await handler(request)

    async def on_start(*_: Any) -> None:
        seen.append("trace")

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(on_start)
    jar = aiohttp.CookieJar(unsafe=True)
    async with (
        FakeE2E(latency=0.05) as fake,
        aiohttp.ClientSession(
            cookie_jar=jar,
            headers=CIMultiDict({"X-Own": "1", "User-Agent": "own"}),
            cookies={"own": "1"},
            proxy="http://127.0.0.1:9",
            timeout=aiohttp.ClientTimeout(total=0.001),
            middlewares=[middleware],
            trace_configs=[trace],
        ) as http,
    ):
        jar.update_cookies({"mine": "1"})
        fake.inject("set-cookie", "list")
        async with fake.session(http=http) as session:
            await session.images.list()
            await session.images.list()
        assert seen == ["trace", "trace"]
        for call in fake.calls:
            assert "X-Own" not in call.headers
            assert hdrs.COOKIE not in call.headers
            assert call.headers["User-Agent"].startswith("aioe2e/")
        assert {cookie.key for cookie in jar} == {"own", "mine"}
        assert not http.closed
        assert http.connector is not None
        assert not http.connector.closed


async def test_the_auth_of_a_borrowed_session_is_not_used() -> None:
    async with (
        FakeE2E() as fake,
        aiohttp.ClientSession(headers={"Authorization": "Basic dTpw"}) as http,
    ):
        async with fake.session(http=http) as session:
            await session.images.list()
        assert fake.calls[0].headers["Authorization"].startswith("Bearer ")


async def test_a_borrowed_session_serves_its_owner_after_ours_is_closed() -> None:
    async with FakeE2E() as fake, aiohttp.ClientSession() as http:
        session = fake.session(http=http)
        await session.images.list()
        await session.close()
        async with http.get(fake.url) as response:
            assert response.status == 401


async def test_a_closed_borrowed_session_is_a_session_error() -> None:
    http = aiohttp.ClientSession()
    await http.close()
    async with FakeE2E() as fake, fake.session(http=http) as session:
        with pytest.raises(aioe2e.SessionError, match="closed"):
            await session.images.list()


def test_a_borrowed_session_of_another_loop_is_a_session_error() -> None:
    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    async def use(http: aiohttp.ClientSession) -> None:
        async with FakeE2E() as fake, fake.session(http=http) as session:
            with pytest.raises(aioe2e.SessionError, match="loop"):
                await session.images.list()

    other = asyncio.new_event_loop()
    try:
        http = other.run_until_complete(make())
        asyncio.run(use(http))
        other.run_until_complete(http.close())
    finally:
        other.close()


# Loops and processes


def test_use_from_a_second_loop_says_so() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ResourceWarning
        )  # the first loop went away under the connection
        session = aioe2e.Session(
            aioe2e.Credentials(api_key="abcdefgh", auth_token="abcdefgh"),
            base_url="http://127.0.0.1:9",
            retry=FAST,
        )

        async def first() -> None:
            with pytest.raises(aioe2e.ConnectError):
                await session.images.list()

        async def second() -> None:
            for coroutine in (
                session.images.list(),
                session.images.rename(1, "a"),
                session.images.wait(1),
            ):
                with pytest.raises(aioe2e.SessionError, match="another event loop"):
                    await coroutine
            await session.close()

        asyncio.run(first())
        asyncio.run(second())
        assert session.closed
        gc.collect()


_FORK = """
import asyncio, os, sys
import aioe2e
from aioe2e.testing import FakeE2E

async def child(session, unused, fake):
    try:
        await session.images.list()
    except aioe2e.SessionError as error:
        print("child:", error)
    print("unused:", len(await unused.images.list()))
    await unused.close()
    await session.close()

async def parent(fake):
    session = fake.session(timeouts=aioe2e.Timeouts(attempt=2.0), retry=aioe2e.RetryPolicy.none())
    unused = fake.session()
    await session.images.list()
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(child(session, unused, fake))
        finally:
            sys.stdout.flush()
            os._exit(0)
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        await asyncio.sleep(0.01)
    print("parent:", len(await session.images.list()))
    await session.close()

fake = FakeE2E(images=7)
fake.__enter__()
asyncio.run(parent(fake))
sys.stdout.flush()
os._exit(0)
"""


def script(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, every warning an error."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(aioe2e.__file__).parent.parent),
        **environment,
    }
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_is_told_so_and_its_close_leaves_the_parent_alone() -> None:
    done = script(_FORK)
    lines = dict(line.partition(": ")[::2] for line in done.stdout.splitlines())
    assert "forked" in lines.get("child", ""), done
    assert lines.get("unused") == "7", done
    assert lines.get("parent") == "7", done


# Closing


async def test_closing_is_idempotent_and_everything_after_it_is_a_session_error() -> None:
    async with FakeE2E() as fake:
        session = fake.session()
        await session.images.list()
        await asyncio.gather(session.close(), session.close())
        await session.close()
        assert session.closed
        assert "closed" in repr(session)
        calls: list[Callable[[], Awaitable[Any]]] = [
            session.images.list,
            lambda: session.images.get(1),
            lambda: session.images.save(1, "a"),
            lambda: session.images.rename(1, "a"),
            lambda: session.images.delete(1, missing_ok=True),
            lambda: session.images.wait(1),
            lambda: session.images.wait_gone(1),
            lambda: session.request("GET", "nodes/"),
            session.__aenter__,
            session.with_options().images.list,
        ]
        for call in calls:
            with pytest.raises(aioe2e.SessionError, match="closed"):
                await call()
        assert len(fake.calls) == 1


async def test_closing_ends_reads_in_flight_at_once() -> None:
    async with FakeE2E(faults=Fault("hang")) as fake:
        session = fake.session()
        task = asyncio.create_task(session.images.list())
        await arrived(fake, 1)
        began = time.perf_counter()
        await session.close()
        assert isinstance(await outcome(task), aioe2e.SessionError)
        assert time.perf_counter() - began < SOON


@pytest.mark.parametrize("action", ["save", "rename", "delete"])
async def test_closing_leaves_a_write_in_flight_unknown(action: str) -> None:
    async with FakeE2E(faults=Fault("hang", True)) as fake:
        session = fake.session()
        images, image, node = session.images, ids(fake)[0], next(iter(fake.nodes))
        calls = {
            "save": images.save(node, "n"),
            "rename": images.rename(image, "n"),
            "delete": images.delete(image),
        }
        task = asyncio.create_task(calls.pop(action))
        for other in calls.values():
            other.close()
        await arrived(fake, 1)
        await session.close()
        error = await outcome(task)
        assert isinstance(error, aioe2e.OutcomeUnknownError)
        assert error.attempts == 1
        assert "sent once" in str(error)
        assert [applied.action for applied in fake.ledger] == [action]


async def test_closing_during_a_back_off_tells_what_was_known() -> None:
    slow = aioe2e.RetryPolicy(base=20.0, cap=20.0)
    async with FakeE2E() as fake:
        fake.faults = Faults.on("rename", Fault("close", True)) + Faults.on("list", "reset")
        session = fake.session(retry=slow)
        rename = asyncio.create_task(session.images.rename(ids(fake)[0], "n"))
        listing = asyncio.create_task(session.images.list())
        await arrived(fake, 2)
        await asyncio.sleep(0.05)
        await session.close()
        error = await outcome(rename)
        assert isinstance(error, aioe2e.OutcomeUnknownError)
        assert error.attempts == len([call for call in fake.calls if call.action == "rename"]) == 1
        assert isinstance(await outcome(listing), aioe2e.SessionError)


async def test_closing_sends_those_away_who_wait_in_line() -> None:
    async with FakeE2E(faults=Fault("hang")) as fake:
        session = fake.session(limits=aioe2e.Limits(in_flight=1))
        image = ids(fake)[0]
        tasks = [asyncio.create_task(session.images.list()) for _ in range(3)]
        locked = [asyncio.create_task(session.images.rename(image, f"n{n}")) for n in range(3)]
        await arrived(fake, 1)
        await session.close()
        for task in tasks + locked:
            assert isinstance(await outcome(task), aioe2e.SessionError)
        assert len(fake.calls) == 1


async def test_closing_sends_those_away_who_wait_out_a_pause() -> None:
    async with FakeE2E() as fake:
        fake.inject(Fault("429-json-seconds", value=60))
        session = fake.session()
        tasks = [asyncio.create_task(session.images.list())]
        await arrived(fake, 1)
        await asyncio.sleep(0.02)
        tasks.append(asyncio.create_task(session.images.list()))
        await asyncio.sleep(0.02)
        await session.close()
        for task in tasks:
            assert isinstance(await outcome(task), aioe2e.SessionError)


async def test_closing_ends_every_wait() -> None:
    async with FakeE2E(save_seconds=60) as fake:
        session = fake.session()
        action = await session.images.save(next(iter(fake.nodes)), "slow")
        waits = [
            session.images.wait(ids(fake)[-1], interval=30),
            session.images.wait_gone(ids(fake)[0], interval=0.05),
            session.images.wait_saved(action, interval=30),
        ]
        tasks = [asyncio.create_task(wait) for wait in waits]
        await asyncio.sleep(0.1)
        await session.close()
        for task in tasks:
            assert isinstance(await outcome(task), aioe2e.SessionError)


async def test_closing_ends_calls_that_wait_for_a_token() -> None:
    async def never() -> str:
        await asyncio.sleep(60)
        return "never"

    async with FakeE2E() as fake:
        session = fake.session(credentials=credentials(fake, never))
        tasks = [asyncio.create_task(session.images.list()) for _ in range(2)]
        await asyncio.sleep(0.02)
        await session.close()
        for task in tasks:
            assert isinstance(await outcome(task), aioe2e.SessionError)


async def test_closing_under_a_bulk_run_ends_it_with_true_words() -> None:
    async with FakeE2E(images=30) as fake:
        fake.faults = Fault("hang", True)
        session = fake.session(limits=aioe2e.Limits(in_flight=4))
        run = asyncio.create_task(session.images.bulk_delete(ids(fake)))
        await arrived(fake, 4)
        await session.close()
        report = await outcome(run)
        counts = report.counts()
        assert counts[aioe2e.Status.UNKNOWN] == 4
        assert counts[aioe2e.Status.SKIPPED] == 26


async def test_closing_under_a_bulk_run_in_an_outage_ends_it_soon() -> None:
    async with FakeE2E(images=30, faults="close-unread") as fake:
        session = fake.session(retry=aioe2e.RetryPolicy.none())
        run = asyncio.create_task(session.images.bulk_delete(ids(fake), limit=4))
        await arrived(fake, 4)
        await asyncio.sleep(0.05)
        await session.close()
        report = await outcome(run)
        assert sum(report.counts().values()) == 30
        assert report.counts()[aioe2e.Status.SKIPPED] >= 20


# Views


async def test_a_view_shares_pool_and_gate_and_closing_it_does_nothing() -> None:
    async with (
        FakeE2E(latency=0.01) as fake,
        fake.session(limits=aioe2e.Limits(in_flight=2)) as session,
    ):
        async with session.with_options(timeouts=aioe2e.Timeouts(total=5)) as view:
            await asyncio.gather(*(images.list() for images in [session.images, view.images] * 10))
        await view.close()
        assert not view.closed
        assert not session.closed
        assert "view" in repr(view)
        await view.images.list()
        await session.images.list()
        assert fake.max_in_flight == 2
        assert len({call.connection for call in fake.calls}) == 2


async def test_a_view_keeps_what_it_is_not_told_to_change() -> None:
    async with (
        FakeE2E(faults="reset") as fake,
        fake.session(retry=aioe2e.RetryPolicy(attempts=2, base=0.01)) as session,
    ):
        view = session.with_options(timeouts=aioe2e.Timeouts(total=9))
        once = view.with_options(retry=aioe2e.RetryPolicy.none())
        for images, count in ((view.images, 2), (once.images, 1), (session.images, 2)):
            fake.calls.clear()
            with pytest.raises(aioe2e.ConnectionLostError):
                await images.list()
            assert len(fake.calls) == count
        with pytest.raises(aioe2e.ConfigError):
            session.with_options(retry=3)  # type: ignore[arg-type]  # what callers without types may do


# Forgetting to close

_FORGET = """
import asyncio, gc, sys, warnings
from aioe2e.testing import FakeE2E

shown = []
warnings.simplefilter("always")
warnings.showwarning = lambda message, category, *_: shown.append((category.__name__, str(message)))

async def inside(fake):
    session = fake.session()
    if MODE != "unused":
        await asyncio.gather(*(session.images.list() for _ in range(3)))
    if MODE == "closed":
        await session.close()
    if MODE == "kept":
        globals()["kept"] = session

with FakeE2E(latency=0.01) as fake:
    asyncio.run(inside(fake))
    gc.collect()
    globals().pop("kept", None)
    gc.collect()
for category, text in shown:
    print(category, text)
"""


@pytest.mark.parametrize(
    ("mode", "count"), [("unused", 0), ("closed", 0), ("dropped", 1), ("kept", 1)]
)
def test_a_session_that_sent_something_and_is_forgotten_gives_one_warning_of_ours(
    mode: str, count: int
) -> None:
    done = script(f"MODE = {mode!r}\n{_FORGET}")
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == count
    for line in lines:
        assert line.startswith("ResourceWarning")
        assert "async with aioe2e.Session" in line


async def test_a_session_forgotten_in_a_running_loop_lets_go_of_its_sockets() -> None:
    async with FakeE2E() as fake:
        session = fake.session(timeouts=aioe2e.Timeouts(attempt=0.2))
        await session.images.list()
        await asyncio.sleep(0.25)
        with pytest.warns(ResourceWarning, match="never closed") as seen:
            del session
            gc.collect()
        assert len(seen) == 1
        await asyncio.sleep(0.01)
        gc.collect()


async def test_a_session_whose_calls_never_sent_anything_may_be_forgotten() -> None:
    async def broken() -> str:
        raise LookupError("no token today")

    async with FakeE2E() as fake:
        session = fake.session(credentials=credentials(fake, broken))
        with pytest.raises(aioe2e.ConfigError):
            await session.images.list()
        assert not fake.calls
        del session
        gc.collect()  # any warning would be an error here


# The escape hatch


async def test_request_reaches_any_route_with_everything_a_call_has() -> None:
    async with FakeE2E(nodes=3) as fake, fake.session(retry=FAST) as session:
        fake.inject("reset")
        reply = await session.request("get", "nodes/", query={"page_no": 1, "per_page": 2})
        assert (reply.status, reply.attempts, len(reply.data)) == (200, 2, 2)
        image = ids(fake)[0]
        reply = await session.request(
            "POST", f"images/{image}/", json={"action_type": "rename", "name": "by hand"}
        )
        assert "changed" in reply.message
        assert fake.images[image]["name"] == "by hand"
        with pytest.raises(aioe2e.NotFoundError) as caught:
            await session.request("GET", "images/1/")
        assert (caught.value.status, caught.value.action, caught.value.attempts) == (
            404,
            "request",
            1,
        )


async def test_request_never_repeats_a_write_after_a_maybe_unless_told_that_it_may() -> None:
    async with FakeE2E() as fake, fake.session(retry=FAST) as session:
        image = ids(fake)[0]
        body = {"action_type": "rename", "name": "once"}
        fake.faults = Fault("close", True)
        with pytest.raises(aioe2e.OutcomeUnknownError) as caught:
            await session.request("POST", f"images/{image}/", json=body)
        assert (caught.value.action, caught.value.target, caught.value.attempts) == (
            "request",
            f"images/{image}/",
            1,
        )
        assert len(fake.calls) == 1
        fake.faults = Faults.script(Fault("close", True))
        reply = await session.request("POST", f"images/{image}/", json=body, repeatable=True)
        assert reply.attempts == 2
        fake.faults = Faults.script("429-json-zero")
        assert (await session.request("POST", f"images/{image}/", json=body)).attempts == 2


async def test_request_head_is_a_yes_without_a_body() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (await reader.readuntil(b"\r\n\r\n")).startswith(b"HEAD"):
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9000000\r\n\r\n"
            )

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    secrets = aioe2e.Credentials(api_key="abcdefgh", auth_token="abcdefgh")
    async with aioe2e.Session(secrets, base_url=f"http://127.0.0.1:{port}", retry=FAST) as session:
        try:
            reply = await session.request("HEAD", "nodes/")
        finally:
            server.close()
        assert (reply.status, reply.data, reply.attempts) == (200, None, 1)
    await asyncio.sleep(0.01)


NOT_MEANT: list[tuple[Any, Any, dict[str, Any]]] = [
    ("BREW", "nodes/", {}),
    ("", "nodes/", {}),
    (None, "nodes/", {}),
    ("GET", "", {}),
    ("GET", "/nodes/", {}),
    ("GET", "../nodes/", {}),
    ("GET", "nodes/../images/", {}),
    ("GET", "nodes/./", {}),
    ("GET", "nodes//1", {}),
    ("GET", "nodes/?a=1", {}),
    ("GET", "nodes/#a", {}),
    ("GET", "nodes/%2e%2e/", {}),
    ("GET", "http://127.0.0.1/", {}),
    ("GET", "nodes/ 1", {}),
    ("GET", "nodes/\n", {}),
    ("GET", 7, {}),
    ("POST", "nodes/", {"json": object()}),
    ("POST", "nodes/", {"json": float("nan")}),
    ("GET", "nodes/", {"query": [("a", "b")]}),
    ("GET", "nodes/", {"query": {"a": None}}),
    ("GET", "nodes/", {"query": {"a": "\ud800"}}),
    ("GET", "nodes/", {"query": {"apikey": "another"}}),
]


async def test_request_refuses_what_cannot_be_meant_before_anything_is_sent() -> None:
    async with FakeE2E() as fake, fake.session() as session:
        for method, path, more in NOT_MEANT:
            with pytest.raises(aioe2e.UsageError):
                await session.request(method, path, **more)
        assert not fake.calls


async def test_request_can_look_at_another_location_without_sending_two() -> None:
    async with FakeE2E() as fake, fake.session() as session:
        await session.request("GET", "nodes/", query={"location": "Chennai"})
        assert fake.calls[0].url.count("location=") == 1
        assert fake.calls[0].query["location"] == "Chennai"


# Tokens that expire


async def test_a_token_is_fetched_once_for_all_who_wait_and_kept() -> None:
    fetched = 0

    async with FakeE2E() as fake:

        async def fetch() -> str:
            nonlocal fetched
            fetched += 1
            await asyncio.sleep(0.02)
            return str(fake.credentials.auth_token)

        async with fake.session(credentials=credentials(fake, fetch)) as session:
            await asyncio.gather(*(session.images.list() for _ in range(20)))
            await session.with_options().images.list()
        assert fetched == 1
        assert len(fake.calls) == 21


async def test_a_401_renews_the_token_once_for_all_and_is_no_attempt() -> None:
    tokens = iter(["expired-token", "Bearer fresh-token", "never"])

    async def fetch() -> str:
        while 0 < len(fake.calls) < 8:  # all eight have been refused
            await asyncio.sleep(0.005)
        return next(tokens)

    async with FakeE2E(auth_token="fresh-token") as fake:
        limits = aioe2e.Limits(retry_budget=0)
        retry = aioe2e.RetryPolicy.none()
        async with fake.session(
            credentials=credentials(fake, fetch), limits=limits, retry=retry
        ) as session:
            replies = await asyncio.gather(*(session.request("GET", "nodes/") for _ in range(8)))
            assert {reply.attempts for reply in replies} == {1}
            await session.images.list()
        assert next(tokens) == "never"
        assert {call.status for call in fake.calls[:8]} == {401}


async def test_a_second_401_in_a_row_is_the_answer() -> None:
    fetched = 0

    async def fetch() -> str:
        nonlocal fetched
        fetched += 1
        return f"wrong-token-{fetched}"

    async with (
        FakeE2E() as fake,
        fake.session(credentials=credentials(fake, fetch), retry=FAST) as session,
    ):
        with pytest.raises(aioe2e.AuthenticationError) as caught:
            await session.images.list()
        assert (fetched, len(fake.calls), caught.value.attempts) == (2, 2, 1)


async def test_a_fixed_token_is_not_tried_twice_after_a_401() -> None:
    async with FakeE2E(faults="401-json") as fake, fake.session(retry=FAST) as session:
        with pytest.raises(aioe2e.AuthenticationError):
            await session.images.list()
        assert len(fake.calls) == 1


@pytest.mark.parametrize(
    "bad", ["", "short", "with space inside", "líne", "two\nlines-in-it", 7, None]
)
async def test_a_bad_token_is_a_config_error_and_nothing_is_sent(bad: Any) -> None:
    async def fetch() -> str:
        return bad  # type: ignore[no-any-return]  # that is the point

    async with FakeE2E() as fake, fake.session(credentials=credentials(fake, fetch)) as session:
        with pytest.raises(aioe2e.ConfigError, match="token") as caught:
            await session.images.rename(ids(fake)[0], "n")
        assert not fake.calls
        assert caught.value.attempts == 0
        if isinstance(bad, str) and len(bad) > 5:
            assert bad not in repr(caught.value)


async def test_a_failing_callable_is_a_config_error_that_hides_its_text_and_is_asked_again() -> (
    None
):
    failures = 2

    async with FakeE2E() as fake:

        async def fetch() -> str:
            nonlocal failures
            failures -= 1
            if failures >= 0:
                raise LookupError("secret-inside")
            return str(fake.credentials.auth_token)

        async with fake.session(credentials=credentials(fake, fetch)) as session:
            for _ in range(2):
                with pytest.raises(aioe2e.ConfigError, match="LookupError") as caught:
                    await session.images.list()
                error = caught.value
                assert "secret-inside" not in repr((error, error.__cause__, error.__context__))
            assert await session.images.list()


async def test_a_slow_callable_has_as_long_as_the_call_may_take() -> None:
    async def fetch() -> str:
        await asyncio.sleep(60)
        return "never-there"

    async with FakeE2E() as fake:
        timeouts = aioe2e.Timeouts(total=0.1)
        async with fake.session(credentials=credentials(fake, fetch), timeouts=timeouts) as session:
            began = time.perf_counter()
            with pytest.raises(aioe2e.DeadlineExceededError):
                await session.images.list()
            assert time.perf_counter() - began < SOON
        assert not fake.calls


async def test_renewing_a_token_does_not_stretch_the_deadline() -> None:
    fetched = 0

    async def fetch() -> str:
        nonlocal fetched
        fetched += 1
        await asyncio.sleep(0 if fetched == 1 else 60)
        return "expired-token"

    async with FakeE2E(latency=0.3) as fake:
        timeouts = aioe2e.Timeouts(total=0.4)
        async with fake.session(credentials=credentials(fake, fetch), timeouts=timeouts) as session:
            began = time.perf_counter()
            with pytest.raises(aioe2e.E2EError):
                await session.images.list()
            assert time.perf_counter() - began < SOON


async def test_a_cancelled_waiter_leaves_the_token_to_the_next() -> None:
    async with FakeE2E() as fake:

        async def fetch() -> str:
            await asyncio.sleep(0.02)
            return str(fake.credentials.auth_token)

        async with fake.session(credentials=credentials(fake, fetch)) as session:
            first = asyncio.create_task(session.images.list())
            second = asyncio.create_task(session.images.list())
            await asyncio.sleep(0)
            first.cancel()
            assert await second
            assert first.cancelled()


@pytest.mark.parametrize("applied", [True, False])
async def test_a_token_that_cannot_be_renewed_after_a_maybe_is_no_failure(applied: bool) -> None:
    tokens = iter(["good-token"])

    async def fetch() -> str:
        return next(tokens)

    async with FakeE2E(auth_token="good-token") as fake:
        fake.faults = Faults.on("rename", Fault("close", applied)) + Faults.on(
            "rename", "401-json", times=None
        )
        async with fake.session(credentials=credentials(fake, fetch), retry=FAST) as session:
            renaming = session.images.rename(ids(fake)[0], "n")
            if applied:  # the listing shows it
                await renaming
            else:
                with pytest.raises(aioe2e.OutcomeUnknownError):
                    await renaming


# Hooks


async def test_hooks_hear_of_every_attempt_and_pause_and_may_fail(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[object] = []

    def broken(_: object) -> None:
        raise LookupError("a bad hook")

    async with FakeE2E() as fake:
        fake.faults = Faults.script("reset", Fault("429-json-seconds", value="0.05"))
        with caplog.at_level(logging.ERROR, logger="aioe2e"):
            async with fake.session(hooks=[broken, events.append], retry=FAST) as session:
                await session.images.list()
    attempts = [event for event in events if isinstance(event, aioe2e.AttemptEvent)]
    assert [(event.attempt, event.status, event.fate) for event in attempts] == [
        (1, None, "maybe"),
        (2, 429, "wait"),
        (3, 200, "done"),
    ]
    assert {(event.action, event.method, event.path) for event in attempts} == {
        ("list", "GET", "images/saved-images/")
    }
    pauses = [event for event in events if isinstance(event, aioe2e.PauseEvent)]
    assert [(round(event.seconds, 2), event.limit) for event in pauses] == [(0.05, 8)]
    assert sum("a hook failed" in record.message for record in caplog.records) == 4
    assert all(KEY not in repr(event) for event in events)


async def test_two_sessions_of_one_loop_share_nothing() -> None:
    async with FakeE2E() as fake, FakeE2E() as other, fake.session() as one, other.session() as two:
        await one.close()
        await two.images.list()
        assert not fake.calls
        assert len(other.calls) == 1


def test_a_session_error_is_no_passing_fault() -> None:
    assert not is_passing(aioe2e.SessionError("closed"))


def test_the_options_that_are_passed_on_are_the_arguments_of_a_session() -> None:
    arguments = list(inspect.signature(aioe2e.Session).parameters)
    assert [*SessionOptions.__annotations__] == [
        name for name in arguments if not name.startswith("_")
    ]
