"""Neither the API key nor the token is ever shown: every fault, every action, every place where a text can stand."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import aioe2e
from aioe2e._text import Redactor
from aioe2e._wire import RawReply, encode, judge
from aioe2e.testing import KINDS, FakeE2E, Fault

#: What follows the special characters would still be there if a secret were hidden in one spelling too few.
KEY_TAIL, TOKEN_TAIL = "key-of-all-keys", "token-of-all-tokens"
KEY = f"k+/=%\"\\ ,&?#<'{KEY_TAIL}".replace(" ", "~")
TOKEN = f"t+/=%\"\\.&?#<'{TOKEN_TAIL}"
QUICK = aioe2e.RetryPolicy(attempts=2, base=0.001, cap=0.001, max_retry_after=0.01, look=0.02)
SHORT = aioe2e.Timeouts(attempt=0.15, total=0.3, connect=0.15)
#: Kinds that would take long or much memory, made small.
_SMALL = {
    "gzip-bomb": 1024 * 1024,
    "deflate-bomb": 1024 * 1024,
    "body-huge": 65_536,
    "body-endless": 262_144,
}


def assert_clean(text: object, where: str) -> None:
    shown = (
        text.decode("latin-1")
        if isinstance(text, bytes)
        else text
        if isinstance(text, str)
        else repr(text)
    )
    for tail in (KEY_TAIL, TOKEN_TAIL):
        place = shown.lower().find(tail)
        assert place < 0, f"{where}: …{shown[max(0, place - 80) : place + 40]}…"


def faces(error: BaseException) -> Iterator[tuple[str, object]]:
    """Everything that can be got out of an error."""
    seen: set[int] = set()
    queue: list[BaseException | None] = [error]
    while queue:
        found = queue.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        name = type(found).__name__
        yield f"str({name})", str(found)
        yield f"repr({name})", repr(found)
        yield f"{name}.args", found.args
        yield f"vars({name})", vars(found)
        yield f"{name}.__notes__", getattr(found, "__notes__", [])
        yield f"traceback of {name}", "".join(traceback.format_exception(found))
        yield f"pickle of {name}", pickle.dumps(found)
        yield f"copy of {name}", repr(copy.copy(found))
        queue += [
            found.__cause__,
            found.__context__,
            getattr(found, "last", None),
            *getattr(found, "exceptions", ()),
        ]
        if (report := getattr(found, "report", None)) is not None:
            yield f"{name}.report", json.dumps(report.to_dict())


def assert_error_clean(error: BaseException, where: str) -> None:
    for name, face in faces(error):
        assert_clean(face, f"{where}: {name}")


def assert_records_clean(records: list[logging.LogRecord]) -> None:
    formatter = logging.Formatter("%(name)s %(message)s")
    for record in records:
        assert_clean(formatter.format(record), f"log of {record.name}")
        assert_clean(record.args, f"log arguments of {record.name}")


def small(kind: str) -> Fault:
    return Fault(kind, seconds=0.2 if KINDS[kind].opt_in else None, value=_SMALL.get(kind))


async def walk(kind: str, folder: Path) -> None:
    """Let every action meet one kind of fault, and look at all that comes of it."""
    events: list[object] = []
    journal = folder / f"{kind}.journal"
    async with FakeE2E(
        images=12, nodes=2, api_key=KEY, auth_token=TOKEN, faults=small(kind)
    ) as fake:
        async with fake.session(retry=QUICK, timeouts=SHORT, hooks=[events.append]) as session:
            images, ids, nodes = session.images, list(fake.images), list(fake.nodes)
            plan = aioe2e.Plan.rename({ids[4]: "b1", ids[5]: "b2"})
            stream = images.stream(plan, journal=journal, wait_for_budget=False)
            calls = {
                "list": images.list(),
                "get": images.get(ids[0]),
                "save": images.save(nodes[0], "s"),
                "rename": images.rename(ids[1], "r"),
                "delete": images.delete(ids[2]),
                "wait": images.wait(ids[3], timeout=0.1, interval=0.02),
                "wait_gone": images.wait_gone(7, timeout=0.1, interval=0.02),
                "request": session.request(
                    "POST", f"images/{ids[6]}/", json={"action_type": "rename", "name": "q"}
                ),
                "bulk_delete": images.bulk_delete(ids[7:9], wait_for_budget=False),
                "stream": stream.drain(),
            }
            ends = dict(
                zip(
                    calls,
                    await asyncio.gather(*calls.values(), return_exceptions=True),
                    strict=True,
                )
            )
            shown = [
                repr(session),
                str(session),
                repr(session.with_options(retry=QUICK)),
                repr(images),
                repr(stream),
            ]
    for action, end in ends.items():
        if isinstance(end, BaseException):
            assert isinstance(end, aioe2e.E2EError), f"{kind}: {end!r}"
            assert_error_clean(end, f"{kind} on {action}")
        elif isinstance(end, aioe2e.ActionResult | aioe2e.SaveAction):
            assert_clean(repr(end), f"{kind} on {action}")
        elif isinstance(end, aioe2e.Reply):
            assert_clean(end.message, f"{kind} on {action}")
    for report in (ends["bulk_delete"], ends["stream"], stream.report):
        assert isinstance(report, aioe2e.Report)
        shown += [repr(report), str(report), json.dumps(report.to_dict()), repr(list(report))]
        shown += [str(report.remaining()), json.dumps(report.remaining().to_dict())]
        for outcome in report:
            if outcome.error is not None:
                assert_error_clean(outcome.error, f"{kind}: an outcome")
        try:
            report.raise_for_errors()
        except aioe2e.BulkError as error:
            assert_error_clean(error, f"{kind}: raise_for_errors")
    for text in (*shown, str(plan), journal.read_bytes(), events):
        assert_clean(text, f"{kind}: a report, a plan, a journal, an event or a session")


#: All kinds, a few at a time.
_BATCH = 12
BATCHES = [list(KINDS)[start : start + _BATCH] for start in range(0, len(KINDS), _BATCH)]


@pytest.mark.parametrize("kinds", BATCHES, ids=lambda kinds: f"{kinds[0]} and more")
async def test_no_fault_brings_a_secret_to_light_in_any_action(
    kinds: list[str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    await asyncio.gather(*(walk(kind, tmp_path) for kind in kinds))
    assert caplog.records
    assert_records_clean(caplog.records)


@pytest.mark.parametrize(
    "kind", ["reset", "hang", "echo-plain-400", "garbage", "gzip-broken", "stray-garbage"]
)
async def test_the_debug_mode_of_asyncio_shows_no_secret(
    kind: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0  # it tells of everything then
    caplog.set_level(logging.DEBUG)
    await walk(kind, tmp_path)
    assert any(record.name == "asyncio" for record in caplog.records)
    assert_records_clean(caplog.records)


def mixed(secret: str) -> str:
    """Percent-encoded where it pleases: what proxies and frameworks make of a URL that they rewrite."""
    return "".join(
        quote(c, safe="") if n % 2 else quote(c, safe="+/=%&?#'<~") for n, c in enumerate(secret)
    )


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent": lambda secret: quote(secret, safe=""),
    "percent, lower case": lambda secret: quote(secret, safe="").replace("%2B", "%2b").replace("%3D", "%3d"),
    "percent, slash kept": quote,
    "percent, here and there": mixed,
    "json": lambda secret: json.dumps(secret),
    "json with slashes escaped": lambda secret: json.dumps(secret).replace("/", "\\/"),
    "json within json": lambda secret: json.dumps(json.dumps(secret)),
    "json as html-safe frameworks write it": lambda secret: json.dumps(secret)
    .replace("&", "\\u0026").replace("<", "\\u003c").replace("'", "\\u0027").replace("+", "\\u002B"),
    "repr": repr,
    "a url": lambda secret: f"https://api.example/?apikey={quote(secret, safe='')}&project_id=1",
    "a header": lambda secret: f"Authorization: Bearer {secret}\r\n",
    "upper case": str.upper,
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_a_server_echoes_is_hidden_in_every_spelling_and_place(spelling: str) -> None:
    redactor = Redactor([KEY, TOKEN])
    text = f"no: {SPELLINGS[spelling](KEY)} and {SPELLINGS[spelling](TOKEN)} end"
    places: list[dict[str, Any]] = [
        {"message": text},
        {"detail": [text]},
        {"errors": {"name": [text]}},
        {"errors": {text: ["is bad"]}},
        {"message": "x" * 460 + text},
    ]
    request = encode(aioe2e.Action.RENAME, "1", "n", aioe2e.Dialect.AUTO)
    for content in places:
        verdict = judge(request, RawReply(400, {}, b""), content, redactor, None)
        assert verdict.error is not None
        assert_error_clean(verdict.error, spelling)


def test_no_piece_of_a_long_token_survives_the_cut() -> None:
    token = "eyJ" + "".join(f"{number:04d}" for number in range(380))
    for times, gap in itertools.product((1, 2, 13, 14, 15, 40, 400), ("", " ")):
        shown = Redactor([token]).clean(gap.join([token] * times))
        assert not any(f"{number:04d}{number + 1:04d}" in shown for number in range(379)), (
            times,
            gap,
        )
        assert len(shown) <= 500


async def test_an_old_and_a_new_token_are_both_hidden() -> None:
    tokens = iter([f"old-{TOKEN}", f"new-{TOKEN}"])

    async def fetch() -> str:
        return next(tokens)

    async with FakeE2E(api_key=KEY, auth_token=f"new-{TOKEN}") as fake:
        secrets = aioe2e.Credentials(api_key=KEY, auth_token=fetch)
        async with fake.session(credentials=secrets, retry=QUICK) as session:
            await session.images.list()
            for kind in ("echo-plain-400", "echo-percent-500", "echo-json-400"):
                fake.faults = kind
                with pytest.raises(aioe2e.E2EError) as caught:
                    await session.images.rename(next(iter(fake.images)), "n")
                assert_error_clean(caught.value, kind)
            assert_clean(
                session._channel.redactor.clean(f"old-{TOKEN} new-{TOKEN} {KEY}"), "redactor"
            )


@pytest.mark.parametrize("where", ["name", "image_state", "os_distribution"])
async def test_an_image_that_holds_a_secret_does_not_bring_it_into_an_error(where: str) -> None:
    async with FakeE2E(api_key=KEY, auth_token=TOKEN) as fake, fake.session(retry=QUICK) as session:
        image = next(iter(fake.images))
        fake.images[image]["image_state"] = "Error"
        if where != "image_state":
            fake.images[image][where] = KEY
        with pytest.raises(aioe2e.ImageFailedError) as caught:
            await session.images.wait(image)
        assert_error_clean(caught.value, where)


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:9", "https://127.0.0.1:9", "https://no-such-host.invalid"]
)
async def test_a_connection_that_fails_shows_no_url(
    target: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = aioe2e.Credentials(api_key=KEY, auth_token=TOKEN)
    async with aioe2e.Session(secrets, base_url=target, retry=QUICK, timeouts=SHORT) as session:
        for call in (
            session.images.list(),
            session.images.save(1, "n"),
            session.request("GET", "nodes/"),
        ):
            with pytest.raises(aioe2e.E2EError) as caught:
                await call
            assert_error_clean(caught.value, target)
            assert "apikey" not in "".join(traceback.format_exception(caught.value))
    assert_records_clean(caplog.records)


def test_settings_show_no_secret_and_credentials_refuse_to_be_pickled() -> None:
    secrets = aioe2e.Credentials(api_key=KEY, auth_token=f"Bearer {TOKEN}")
    session = aioe2e.Session(secrets)
    for value in (
        secrets,
        session,
        session._channel.settings,
        session._channel.redactor,
        session.images,
        copy.copy(secrets),
    ):
        assert_clean(f"{value!r} {value!s}", type(value).__name__)
    for holder in (secrets, {"a": secrets}):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(holder)
    assert copy.deepcopy(secrets) is secrets


WRONG: list[Any] = [f"{KEY} {KEY}", f"{KEY}\n{KEY}", f"{KEY}é", f"k\x00{KEY}", [KEY], KEY.encode()]


@pytest.mark.parametrize("field", ["api_key", "auth_token"])
def test_a_secret_that_is_refused_is_not_shown(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in WRONG:
        given = {"api_key": KEY, "auth_token": TOKEN} | {field: wrong}
        with pytest.raises(aioe2e.ConfigError, match=field) as caught:
            aioe2e.Credentials(**given)
        assert_error_clean(caught.value, field)
        if isinstance(wrong, str) and "\x00" not in wrong:
            monkeypatch.setenv("E2E_API_KEY", given["api_key"])
            monkeypatch.setenv("E2E_AUTH_TOKEN", given["auth_token"])
            with pytest.raises(aioe2e.ConfigError) as caught:
                aioe2e.Session.from_env()
            assert_error_clean(caught.value, "from_env")


async def test_a_failing_callable_or_hook_does_not_show_what_it_held() -> None:
    async def fetch() -> str:
        raise LookupError(KEY, TOKEN)

    async with FakeE2E() as fake:
        secrets = aioe2e.Credentials(api_key=KEY, auth_token=fetch)
        async with fake.session(credentials=secrets) as session:
            with pytest.raises(aioe2e.ConfigError) as caught:
                await session.images.list()
            assert_error_clean(caught.value, "callable")


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "http://example.com/"},
        {"limits": 1},
        {"user_agent": "\n"},
        {"limiter": object()},
        {"guard": object()},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_setting_that_is_refused_leaves_no_secret_in_a_frame(wrong: dict[str, Any]) -> None:
    secrets = aioe2e.Credentials(api_key=KEY, auth_token=TOKEN)
    with pytest.raises(aioe2e.ConfigError) as caught:
        aioe2e.Session(secrets, **wrong)
    assert_locals_clean(caught.value)


async def test_a_token_that_is_refused_leaves_no_secret_in_a_frame() -> None:
    def fetch() -> asyncio.Future[str]:
        found: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        found.set_result(f"\x00{TOKEN_TAIL}")  # short: a future shows no long result whole
        return found

    async with FakeE2E() as fake:
        secrets = aioe2e.Credentials(api_key=KEY, auth_token=fetch)
        async with fake.session(credentials=secrets) as session:
            with pytest.raises(aioe2e.ConfigError) as caught:
                await session.images.list()
            assert_locals_clean(caught.value)


def assert_locals_clean(error: BaseException) -> None:
    """No variable of the library's functions that an error went through shows a secret."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename != __file__:
            for name, value in frame.f_locals.items():
                assert_clean(repr(value), f"{name} of {frame.f_code.co_name}")
