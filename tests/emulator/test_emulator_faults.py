"""Every fault of the emulator does on the wire what its row says, and the ledger knows the truth about it."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket
import time
import zlib
from typing import Any

import pytest
from emulator_client import (
    LIST,
    NotHTTPError,
    ask,
    delete,
    exchange,
    parse,
    rename,
    request_bytes,
    save,
)
from patience import SOON

import aioe2e
from aioe2e.testing import KINDS, Answer, Effect, FakeE2E, Fault, Faults

APPLIED: dict[Effect, Any] = {Effect.NOT: False, Effect.BEFORE: True, Effect.LATE: "late"}
MIB = 1024 * 1024


def short(kind: str, applied: Any = None) -> Fault:
    """A fault that takes a moment and a megabyte at the most."""
    heavy = {"body-huge", "body-endless", "gzip-bomb", "deflate-bomb"}
    return Fault(kind, applied, seconds=0.03, late=0.02, value=MIB if kind in heavy else None)


async def read(fake: FakeE2E, fault: Fault, request: tuple[str, str, Any]) -> bytes:
    fake.faults = Faults.of(fault)
    try:
        return await exchange(fake, request_bytes(fake, *request), patience=2)
    finally:
        fake.faults = None


@pytest.mark.parametrize("kind", KINDS)
async def test_a_fault_answers_and_applies_as_its_row_states(kind: str) -> None:
    row = KINDS[kind]
    async with FakeE2E(images=2, nodes=9, save_seconds=0, unique_names=False) as fake:
        image_id = next(iter(fake.images))
        requests = [rename(image_id, "golden"), save(next(iter(fake.nodes)), "nightly")]
        for effect in row.effects:
            for request in requests:
                before = len(fake.ledger)
                got = await read(fake, short(kind, APPLIED[effect]), request)
                if effect is Effect.LATE:
                    # On a busy machine it may have been applied by now, but not while the client was there.
                    assert all(entry.late for entry in fake.ledger[before:])
                await fake.settle()
                assert len(fake.ledger) - before == (effect is not Effect.NOT)
                assert before == len(fake.ledger) or fake.ledger[-1].late is (effect is Effect.LATE)
                check_answer(row.answers, got, fake.calls[-1].status)
                assert fake.calls[-1].fault == kind
                await back_to_normal(fake, kind)
        got = await read(fake, short(kind), LIST)
        check_answer(row.answers, got, fake.calls[-1].status)
        await back_to_normal(fake, kind)
        assert (await ask(fake, *LIST)).status == 200, "the server is well afterwards"


async def back_to_normal(fake: FakeE2E, kind: str) -> None:
    if kind == "refuse":
        await asyncio.sleep(0.04)
    if kind == "slam":
        for _ in range(2):
            assert await exchange(fake, request_bytes(fake, *LIST)) == b""


def check_answer(answers: Answer, got: bytes, status: int | None) -> None:
    if answers is Answer.NOTHING:
        assert got == b""
        assert status is None
    elif answers is Answer.BROKEN:
        assert got
        assert status is None
        try:
            # What is whole as HTTP must at least have something behind it or half a document in it.
            answer = parse(got)
            assert answer.rest or not is_json(answer.body)
        except NotHTTPError:
            pass
    elif status in (204, 304):
        assert got.startswith(b"HTTP/1.1 %d" % status)
    else:
        assert parse(got).status == status


def is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def test_every_kind_has_a_summary_and_a_lower_case_name() -> None:
    assert len(KINDS) > 200
    for kind, row in KINDS.items():
        assert re.fullmatch(r"[a-z0-9.-]+", kind)
        assert row.summary
        assert row.effects


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Fault("rset"), "no fault 'rset'; did you mean 'reset'.*fault-kinds.md"),
        (lambda: Fault("nonsense"), "no fault 'nonsense'"),
        (lambda: Fault(5), "no fault 5"),  # type: ignore[arg-type]
        (lambda: Fault([]), "no fault"),  # type: ignore[arg-type]
        (lambda: Fault("429-json-seconds", True), "'429-json-seconds' can be False, not True"),
        (lambda: Fault("drip", False), "'drip' can be True, not False"),
        (lambda: Fault("reset", "yes"), "Fault.applied must be True, False or 'late'"),  # type: ignore[arg-type]
        (lambda: Fault("reset", 1), "Fault.applied must be"),  # type: ignore[arg-type]
        (lambda: Fault("hang", seconds="x"), "Fault.seconds must be"),  # type: ignore[arg-type]
        (lambda: Fault("hang", seconds=-1), "Fault.seconds must be"),
        (lambda: Fault("hang", seconds=float("nan")), "Fault.seconds must be"),
        (lambda: Fault("stale-listing", seconds=61), "'stale-listing' must be 60 or less"),
        (lambda: Fault("reset", "late", late=-1), "Fault.late must be"),
        (lambda: Fault("reset", value=5), "'reset' must be left out"),
        (lambda: Fault("gzip-bomb", value="x"), "'gzip-bomb' must be a whole number"),
        (lambda: Fault("slam", value=-1), "'slam' must be a whole number"),
        (lambda: Fault("429-json-seconds", value=[1]), "Fault.value must be"),  # type: ignore[arg-type]
        (lambda: Faults.of(5), "faults must be"),  # type: ignore[arg-type]
        (lambda: Faults.of(True), "faults must be"),  # type: ignore[arg-type]
        (lambda: Faults.of([5]), "a fault must be"),  # type: ignore[list-item]
        (lambda: Faults.of({"reset"}), "faults must be"),
        (lambda: Faults.of({"list": "reset"}), "faults must be"),
        (lambda: Faults() + "rset", "no fault 'rset'"),
        (lambda: Faults.on("renmae", "reset"), "no action 'renmae'; did you mean 'rename'"),
        (lambda: Faults.on([], "reset"), "actions must be"),
        (lambda: Faults.on("list", None), "fault must be"),  # type: ignore[arg-type]
        (lambda: Faults.on("list", "reset", times=0), "times must be"),
        (lambda: Faults.on("list", "reset", skip=-1), "skip must be"),
        (lambda: Faults.on("list", "reset", method=5), "method must be"),  # type: ignore[arg-type]
        (lambda: Faults.on("list", "reset", target=1.5), "target must be"),  # type: ignore[arg-type]
        (lambda: Faults.random(40), "rate must be"),
        (lambda: Faults.random(float("nan")), "rate must be"),
        (lambda: Faults.random("x"), "rate must be"),  # type: ignore[arg-type]
        (lambda: Faults.random(0.1, seed="x"), "seed must be"),  # type: ignore[arg-type]
        (lambda: Faults.random(0.1, kinds=["nonsense"]), "no fault 'nonsense'"),
        (lambda: Faults.random(0.1, kinds="reset"), "kinds must be a collection"),
        (lambda: Faults.random(0.1, kinds=[]), "kinds must be at least one"),
        (lambda: Faults.random(0.1, kinds=[Fault("reset")]), "kinds must be"),  # type: ignore[list-item]
        (lambda: Faults.random(0.1, actions="lst"), "actions must be a collection"),
        (lambda: Faults.random(0.1, actions=["lst"]), "no action 'lst'; did you mean 'list'"),
        (lambda: Faults.random(0.1, seconds=-1), "Fault.seconds must be"),
        (lambda: FakeE2E().inject("rset"), "no fault 'rset'"),
        (lambda: FakeE2E().inject(None), "fault must be"),  # type: ignore[arg-type]
        (lambda: FakeE2E().inject("rename", "reset"), "no fault 'rename'"),
        (lambda: FakeE2E().inject("reset", "renmae"), "no action 'renmae'"),
        (lambda: FakeE2E().inject("reset", times=0), "times must be"),
        (lambda: FakeE2E().inject("reset", times="x"), "times must be"),  # type: ignore[arg-type]
        (lambda: FakeE2E().inject("reset", times=None), "times must be"),  # type: ignore[arg-type]
    ],
)
def test_an_invalid_fault_or_one_that_would_never_happen_is_refused(make: Any, says: str) -> None:
    with pytest.raises(aioe2e.UsageError, match=says) as refused:
        make()
    assert len(str(refused.value)) < 250


async def test_a_script_is_played_in_order_and_then_requests_succeed() -> None:
    async with FakeE2E(faults=["500-json", None, Fault("429-json-seconds")]) as fake:
        assert [(await ask(fake, *LIST)).status for _ in range(5)] == [500, 200, 429, 200, 200]
        assert [call.fault for call in fake.calls] == [
            "500-json",
            None,
            "429-json-seconds",
            None,
            None,
        ]


async def test_one_fault_is_for_every_request_and_a_function_decides_by_the_request() -> None:
    async with FakeE2E(faults="503-html") as fake:
        assert {(await ask(fake, *LIST)).status for _ in range(3)} == {503}
        fake.faults = lambda call: (
            "502-html" if call.action == "rename" and call.name == "bad" else None
        )
        first = next(iter(fake.images))
        assert (await ask(fake, *rename(first, "bad"))).status == 502
        assert (await ask(fake, *rename(first, "good"))).status == 200


async def test_rules_match_actions_targets_methods_and_counts() -> None:
    async with FakeE2E() as fake:
        first, second, *_ = fake.images
        fake.faults = Faults.on("rename", "500-json", target=second, skip=1, times=2)
        assert [(await ask(fake, *rename(first, f"a{n}"))).status for n in range(4)] == [200] * 4
        assert [(await ask(fake, *rename(second, f"b{n}"))).status for n in range(4)] == [
            200,
            500,
            500,
            200,
        ]
        fake.faults = Faults.on(["list", "get"], "500-json", times=None) + Faults.on(
            None, "502-html", method="POST"
        )
        assert [(await ask(fake, *LIST)).status for _ in range(2)] == [500, 500]
        assert (await ask(fake, "GET", f"images/{first}/")).status == 500
        assert [(await ask(fake, *delete(image))).status for image in (first, second)] == [502, 200]


async def test_rules_accept_numeric_ids_and_lower_case_methods() -> None:
    async with FakeE2E(faults=Faults.on(None, "500-json", method="post")) as fake:
        first = next(iter(fake.images))
        fake.inject("502-html", "rename", target=int(first))
        assert [(await ask(fake, *rename(first, f"a{n}"))).status for n in range(3)] == [
            502,
            500,
            200,
        ]


async def test_injected_faults_are_played_first_in_order_and_once() -> None:
    async with FakeE2E(faults=Faults.on("list", "502-html", times=None)) as fake:
        fake.inject("504-html", "list", times=2)
        fake.inject("503-html", ["list", "get"])
        assert [(await ask(fake, *LIST)).status for _ in range(5)] == [504, 504, 503, 502, 502]
        assert fake._service.injected._rules == [], "those that were played are gone"


async def test_setting_faults_removes_injected_ones_unless_they_are_included() -> None:
    async with FakeE2E() as fake:
        fake.inject("504-html", "list")
        fake.faults = fake.faults + Faults.on("list", "502-html")
        assert [(await ask(fake, *LIST)).status for _ in range(3)] == [504, 502, 200]
        fake.inject("504-html", "list")
        fake.faults = None
        assert (await ask(fake, *LIST)).status == 200


async def test_random_faults_repeat_for_a_seed_and_come_at_about_the_given_rate() -> None:
    runs = []
    for _ in range(2):
        async with FakeE2E(
            faults=Faults.random(0.3, seed=5, kinds=["500-json", "html-200"])
        ) as fake:
            for _ in range(200):
                await ask(fake, *LIST)
            runs.append([call.fault for call in fake.calls])
    assert runs[0] == runs[1]
    assert 40 < sum(fault is not None for fault in runs[0]) < 80
    assert {fault for fault in runs[0] if fault} == {"500-json", "html-200"}


async def test_random_faults_leave_out_opt_in_kinds_and_other_actions() -> None:
    faults = Faults.random(1.0, seed=1, actions=["rename"])
    async with FakeE2E() as fake:
        await ask(fake, *LIST)
        await ask(fake, *rename(next(iter(fake.images)), "x"))
        listing, renaming = fake.calls
        assert faults(listing) is None
        seen = {fault.kind for _ in range(3000) if (fault := faults(renaming)) is not None}
        assert len(seen) > 150
        assert not any(KINDS[kind].opt_in for kind in seen)


async def test_random_faults_apply_in_every_way_that_their_kind_can() -> None:
    faults = Faults.random(1.0, kinds=["reset"])
    async with FakeE2E() as fake:
        await ask(fake, *rename(next(iter(fake.images)), "x"))
        assert {fault.applied for _ in range(50) if (fault := faults(fake.calls[0]))} == {
            True,
            False,
            "late",
        }


async def test_a_refusing_server_takes_no_connections_for_a_while_and_keeps_its_port() -> None:
    async with FakeE2E(faults=[Fault("refuse", seconds=0.6)]) as fake:
        url = fake.url
        assert await exchange(fake, request_bytes(fake, *LIST)) == b""
        with pytest.raises(ConnectionRefusedError):
            await ask(fake, *LIST)
        await asyncio.sleep(0.65)
        assert (await ask(fake, *LIST)).status == 200
        assert fake.url == url


async def test_closing_while_refusing_leaves_nothing_behind() -> None:
    async with FakeE2E(faults=[Fault("refuse", seconds=10)]) as fake:
        await exchange(fake, request_bytes(fake, *LIST))
        await fake.close()


def kept(fake: FakeE2E) -> socket.socket:
    return socket.create_connection(("127.0.0.1", fake.port), timeout=SOON)


def say(connection: socket.socket, fake: FakeE2E, request: tuple[str, str, Any]) -> bytes:
    connection.sendall(request_bytes(fake, *request))
    return hear(connection)


def hear(connection: socket.socket) -> bytes:
    got = b""
    while True:
        try:
            parse(got)
        except NotHTTPError:
            piece = connection.recv(65536)
            if not piece:
                return got
            got += piece
        else:
            return got


@pytest.mark.parametrize(
    ("kind", "error"), [("close-on-next", None), ("reset-on-next", ConnectionResetError)]
)
def test_a_kept_connection_can_end_just_as_the_next_request_arrives(kind: str, error: Any) -> None:
    with FakeE2E(faults=[kind]) as fake, kept(fake) as connection:
        first = next(iter(fake.images))
        assert parse(say(connection, fake, LIST)).status == 200
        if error is None:
            assert say(connection, fake, rename(first, "x")) == b""
        else:
            with pytest.raises(error):
                say(connection, fake, rename(first, "x"))
        assert fake.ledger == []
        assert len(fake.calls) == 2
        assert fake.calls[1].fault == "kept connection ended"


@pytest.mark.parametrize("kind", ["close-idle", "reset-idle"])
def test_an_idle_connection_may_end_after_its_reply(kind: str) -> None:
    with FakeE2E(faults=[kind]) as fake, kept(fake) as connection:
        answer = parse(say(connection, fake, LIST))
        assert (answer.status, answer.header("Connection")) == (200, None)
        try:
            assert connection.recv(10) == b""
        except ConnectionResetError:
            assert kind == "reset-idle"


@pytest.mark.parametrize("kind", ["stray-later", "stray-timeout", "stray-garbage"])
def test_stray_bytes_can_arrive_on_an_idle_connection(kind: str) -> None:
    # Later than a busy machine takes to read the reply.
    with FakeE2E(faults=[Fault(kind, seconds=0.3)]) as fake, kept(fake) as connection:
        assert parse(say(connection, fake, LIST)).rest == b""
        stray = connection.recv(65536)
        assert stray
        if kind != "stray-garbage":
            assert parse(stray).status == {"stray-later": 200, "stray-timeout": 408}[kind]


async def test_a_stray_reply_can_arrive_together_with_the_right_one() -> None:
    async with FakeE2E(faults=["stray-at-once"]) as fake:
        assert parse(parse(await exchange(fake, request_bytes(fake, *LIST))).rest).status == 200


async def test_a_slammed_server_resets_the_next_connections_too() -> None:
    async with FakeE2E(faults=[Fault("slam", value=3)]) as fake:
        got = [await exchange(fake, request_bytes(fake, *LIST)) for _ in range(5)]
        assert [bool(data) for data in got] == [False] * 4 + [True]
        assert len(fake.calls) == 2


async def test_a_drip_lasts_as_long_as_given() -> None:
    async with FakeE2E(
        faults=[
            Fault("drip", seconds=0.1),
            Fault("slow", seconds=0.1),
            Fault("slow-head", seconds=0.1),
        ]
    ) as fake:
        for _ in range(3):
            before = time.perf_counter()
            assert (await ask(fake, *LIST)).json["data"]
            assert time.perf_counter() - before >= 0.09


BOMBS = [("gzip-bomb", gzip.decompress), ("deflate-bomb", zlib.decompress)]


@pytest.mark.parametrize(("kind", "unpack"), BOMBS)
@pytest.mark.parametrize("value", [0, 1000, 8 * MIB, 8 * MIB + 5])
async def test_a_bomb_is_small_on_the_wire_and_contains_the_right_reply_after_its_spaces(
    kind: str, unpack: Any, value: int
) -> None:
    async with FakeE2E(images=3, faults=Fault(kind, value=value)) as fake:
        plain = len((await whole_listing(fake)).body)
        answer = await ask(fake, *LIST)
        assert len(answer.body) < 20_000
        body = unpack(answer.body)
        assert len(body) == value + plain
        assert json.loads(body)["data"] == list(fake.images.values())


@pytest.mark.parametrize(("kind", "unpack"), BOMBS)
async def test_a_bomb_contains_a_refusal_unchanged(kind: str, unpack: Any) -> None:
    async with FakeE2E(faults=Fault(kind, value=MIB)) as fake:
        answer = await ask(fake, *delete("1"))
        assert answer.status == 404
        assert "not found" in json.loads(unpack(answer.body))["message"]


async def test_making_a_bomb_does_not_block_the_loop() -> None:
    async with FakeE2E(images=3, faults=Fault("gzip-bomb", value=96 * MIB)) as fake:
        asked = asyncio.create_task(ask(fake, *LIST))
        turns = 0
        while not asked.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > 50, "packed in one piece, it would be ready after a handful"


async def whole_listing(fake: FakeE2E) -> Any:
    faults, fake.faults = fake.faults, None
    try:
        return await ask(fake, *LIST)
    finally:
        fake.faults = faults


async def test_a_huge_body_has_the_given_length() -> None:
    async with FakeE2E(faults=[Fault("body-huge", value=3 * MIB + 5)]) as fake:
        answer = await ask(fake, *LIST)
        assert len(answer.body) > 3 * MIB
        assert answer.json["data"] == list(fake.images.values())


async def test_zero_seconds_and_zero_bytes_are_accepted() -> None:
    async with FakeE2E() as fake:
        for kind in ("hang", "hang-in-body", "drip-forever"):
            fake.inject(Fault(kind, seconds=0), "list")
            before = time.perf_counter()
            await exchange(fake, request_bytes(fake, *LIST))
            assert time.perf_counter() - before < SOON, kind
        fake.inject(Fault("body-huge", value=0), "list")
        assert (await ask(fake, *LIST)).body.startswith(b"{")
        fake.inject(Fault("slam", value=0), "list")
        assert await exchange(fake, request_bytes(fake, *LIST)) == b""
        assert (await ask(fake, *LIST)).status == 200


async def test_a_listing_that_is_stale_by_no_seconds_is_fresh() -> None:
    async with FakeE2E(faults=Fault("stale-listing", seconds=0)) as fake:
        first = next(iter(fake.images))
        await ask(fake, *rename(first, "golden"))
        assert (await ask(fake, *LIST)).json["data"][0]["name"] == "golden"


async def test_a_fault_met_by_a_404_of_the_server_breaks_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kinds = [
        kind for kind, row in KINDS.items() if not row.opt_in and kind not in {"refuse", "slam"}
    ]
    async with FakeE2E(faults=[short(kind) for kind in kinds]) as fake:
        for kind in kinds:
            await exchange(fake, request_bytes(fake, "GET", "nothing/here/"), patience=2)
            assert fake.calls[-1].fault == kind
            assert caplog.records == [], kind


async def test_a_refusal_stays_a_refusal_if_a_fault_changes_its_json() -> None:
    async with FakeE2E(faults=["odd-no-errors", "echo-plain-success", "json-digits"]) as fake:
        for _ in range(4):
            answer = await ask(fake, "GET", "nothing/here/")
            assert (answer.status, json.loads(answer.body, parse_int=str)["code"]) == (404, "404")


async def test_an_endless_body_stops_when_the_client_has_gone() -> None:
    async with FakeE2E(faults="body-endless") as fake:
        _, writer = await asyncio.open_connection("127.0.0.1", fake.port)
        writer.write(request_bytes(fake, *LIST))
        while not fake.in_flight:  # no event tells
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        writer.transport.abort()
        await fake.settle()


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("429-json-seconds", ["1"]),
        ("429-html-twice", ["1", "2"]),
        ("429-json-none", []),
        ("429-json-empty", [""]),
        ("429-html-35-digits", ["9" * 35]),
    ],
)
async def test_retry_after_is_spelled_as_its_kind_states(kind: str, values: list[str]) -> None:
    async with FakeE2E(faults=kind) as fake:
        answer = await ask(fake, *LIST)
        assert [value for name, value in answer.headers if name == "Retry-After"] == values


@pytest.mark.parametrize("form", ["http", "rfc850", "asctime"])
async def test_dates_in_retry_after_are_in_the_future(form: str) -> None:
    formats = {
        "http": "%a, %d %b %Y %H:%M:%S GMT",
        "rfc850": "%A, %d-%b-%y %H:%M:%S GMT",
        "asctime": "%a %b %d %H:%M:%S %Y",
    }
    async with FakeE2E(faults=f"429-json-{form}-date") as fake:
        asked = time.gmtime()
        text = (await ask(fake, *LIST)).header("Retry-After") or ""
        assert time.strptime(text, formats[form]) > asked


async def test_the_value_of_a_header_can_be_given() -> None:
    async with FakeE2E(
        faults=[Fault("429-json-seconds", value=7), Fault("302-loop", value="https://x.example/")]
    ) as fake:
        assert (await ask(fake, *LIST)).header("Retry-After") == "7"
        assert (await ask(fake, *LIST)).header("Location") == "https://x.example/"


async def test_echo_kinds_return_the_secrets_of_the_request() -> None:
    kinds = [kind for kind in KINDS if kind.startswith("echo-") and "percent" not in kind]
    async with FakeE2E(faults=kinds) as fake:
        for kind in kinds:
            assert fake.credentials.api_key.encode() in (await ask(fake, *LIST)).body, kind
        fake.faults = "301-same-host"
        assert fake.credentials.api_key in ((await ask(fake, *LIST)).header("Location") or "")


async def test_a_stale_listing_shows_an_earlier_state() -> None:
    async with FakeE2E(images=2) as fake:
        first = next(iter(fake.images))
        old = (await ask(fake, *LIST)).json["data"]
        await ask(fake, *rename(first, "golden"))
        fake.inject("stale-listing", "list")
        assert (await ask(fake, *LIST)).json["data"] == old
        assert (await ask(fake, *LIST)).json["data"][0]["name"] == "golden"


async def test_a_refused_write_stays_refused_with_every_fault_of_the_reply() -> None:
    async with FakeE2E(faults=["odd-201", "204", "reset", "json-deep"]) as fake:
        assert (await ask(fake, *delete("1"))).status == 404
        assert (await ask(fake, *delete("1"))).status == 404
        assert await exchange(fake, request_bytes(fake, *delete("1"))) == b""
        assert (await ask(fake, *delete("1"))).status == 404
        assert fake.ledger == []
