"""A field report says how the API behaves, and nothing of whose account it is."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_server import Asked, Says, odd_server

from aioe2e import FieldReport, SessionError, UsageError
from aioe2e.diagnosis.shapes import (
    Vocabulary,
    form_of_date,
    form_of_size,
    kind,
    masked_sentence,
    shape_of_objects,
)
from aioe2e.testing import FakeE2E

IMAGE = {
    "image_id": "918273", "name": "acme-payroll-disk-0", "os_distribution": "DEL-acme-payroll", "image_state": "Ready",
    "creation_time": "31-10-2019 11:59:58", "image_size": "57 GB", "template_id": 28894, "running_vms": "1",
    "vm_info": [{"vm_id": 315801, "vm_name": "acme-db", "acme-db": {"acme": 1}}], "project_name": "acme-project",
    "owner_mail": "root@acme.example", "isEncryptionEnbaled": False, "addr": "203.0.113.9", "acme": "x",
}  # fmt: skip
NODE = {
    "id": 410207, "name": "acme", "status": "Running", "public_ip_address": "203.0.113.77", "private_ip_address": "10.77.0.7", "is_locked": False,
    "label": "acme-secret-label", "created_at": "2026-02-03T04:05:06Z", "location": "Delhi", "vcpus": "4", "memory": "8 GB",
}  # fmt: skip
#: What stands in the replies and may identify the account.
IDENTIFYING = ["918273", "acme", "315801", "410207", "203.0.113", "10.77", "28894", "payroll", "12345", "the-api-key", "the-auth-token", "root@", "04:05", "11:59", "2019", "2026-02"]  # fmt: skip


def answer(asked: Asked) -> Says:
    if asked.path == "images/saved-images/":
        headers = {"X-Owner": "acme", "Set-Cookie": "sid=acme", "X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "4982"}  # fmt: skip
        return Says([IMAGE, {**IMAGE, "image_state": "USED"}], headers=headers)
    if asked.path == "nodes/":
        return Says([NODE], envelope={"total_count": 1})
    if asked.path == "nodes/410207/":
        return Says(NODE)
    return Says(status=404, whole={"detail": "acme is not found"})


async def test_a_report_shows_the_shape_of_replies() -> None:
    async with odd_server(answer) as (session, asked):
        report = await session.field_report()
    assert [each.path for each in asked] == ["images/saved-images/", "nodes/", "images/918273/", "nodes/410207/"]  # fmt: skip
    assert {each.method for each in asked} == {"GET"}
    listing = report.routes["images/saved-images/"]
    assert (listing["status"], listing["elements"]) == (200, 2)
    assert listing["headers"]["x-ratelimit-limit"] == "5000"
    assert listing["headers"]["x-owner"] == "[text]"
    fields = listing["fields"]
    assert fields["image_state"]["words"] == {"Ready": 1, "USED": 1}
    assert fields["creation_time"]["forms"] == {"99-99-9999 99:99:99": 2}
    assert fields["image_size"]["forms"] == {"9 GB": 2}
    assert fields["running_vms"] == {"known": True, "kinds": {"text of digits": 2}}
    assert fields["isEncryptionEnbaled"] == {"known": False, "kinds": {"bool": 2}}
    assert fields["vm_info"]["fields"]["vm_id"]["kinds"] == {"int": 2}
    assert listing["envelope"]["keys"]["data"] == "list"
    assert listing["envelope"]["code"] == 200
    assert report.routes["nodes/{id}/"]["fields"]["created_at"]["forms"] == {"9999-99-99T99:99:99Z": 1}  # fmt: skip
    assert report.routes["images/{id}/"]["status"] == 404
    assert report.routes["images/{id}/"]["error"] == "NotFoundError"
    assert report.images["ends"] == {"-disk-9": 2}
    assert report.images["os_distribution"] == {"a prefix and the name": 2}
    assert report.setup["project_set"] is True
    assert report.answers == {}


async def test_nothing_in_a_report_identifies_the_account() -> None:
    async with odd_server(answer) as (session, _):
        report = await session.field_report()
    text = f"{report} {report!r} {json.dumps(report.to_dict())}".lower()
    for word in IDENTIFYING:
        assert word.lower() not in text, word


async def test_a_report_is_json_and_comes_back_equal() -> None:
    async with odd_server(answer) as (session, _):
        report = await session.field_report()
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert FieldReport.from_dict(told) == report
    assert str(report).startswith("## Field report of aioe2e ")
    body = re.search(r"```json\n(.*)\n```", str(report), re.DOTALL)
    assert body is not None
    assert json.loads(body[1]) == told


@pytest.mark.parametrize(
    ("data", "says"),
    [({}, "a field report has form 1"), ({"form": 2}, "this one has 2"), ([], "form 1"), ({"form": 1, "routes": []}, "routes: an object is needed"), ({"form": 1, "rotes": {}}, "is 'routes' meant?")],
)  # fmt: skip
def test_a_damaged_report_is_refused(data: Any, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        FieldReport.from_dict(data)


async def test_the_emulator_s_account_is_reported_on() -> None:
    async with FakeE2E(images=20, nodes=3) as fake, fake.session() as session:
        report = await session.field_report()
        assert all(call.method == "GET" for call in fake.calls)
        text = str(report)
        for image in fake.images.values():
            assert image["name"] not in text
            assert str(image["image_id"]) not in text
    assert report.routes["images/saved-images/"]["elements"] == 20
    assert report.clock_skew is not None


@pytest.mark.parametrize("says", [Says(status=500), Says(status=401), Says(whole="x"), Says({}), Says([{"a": 1}, 5, None]), Says(whole={"data": [[[]]], "code": "x"})])  # fmt: skip
async def test_what_fails_is_in_the_report(says: Says) -> None:
    async with odd_server(lambda _: says) as (session, _):
        report = await session.field_report()
    assert "error" in report.routes["images/saved-images/"]
    assert json.dumps(report.to_dict())


async def test_a_missing_server_is_in_the_report() -> None:
    async with FakeE2E() as fake:
        session = fake.session()
    report = await session.field_report()
    assert report.routes["images/saved-images/"]["status"] is None
    await session.close()
    with pytest.raises(SessionError):
        await session.field_report()


# The trial


async def test_a_trial_answers_what_only_a_write_can_show_and_leaves_nothing_behind() -> None:
    told: list[str] = []
    async with FakeE2E(images=5, nodes=2, save_seconds=0.05) as fake, fake.session() as session:
        before = {image_id: dict(image) for image_id, image in fake.images.items()}
        node = next(iter(fake.nodes))
        report = await session.field_report(node, writes=True, tell=told.append, interval=0.01)
        after = {image_id: dict(image) for image_id, image in fake.images.items()}
        assert after == before
    answers = report.answers
    assert "Why did the trial stop?" not in answers
    assert answers["Is anything left behind?"] == "no"
    assert answers["Does POST work for a save?"] == "yes"
    assert answers["Does POST work for a delete?"] == "yes"
    assert answers["What does a save answer?"].startswith("HTTP 20")
    assert "READY" in answers["Which states does it go through?"].upper()
    assert re.match(
        r"name: <name>(-disk-9|_9{10})?; os_distribution: ", answers["How is it named?"]
    )
    assert answers["Does a rename change os_distribution?"] in ("yes", "no")
    assert answers["What is answered to the delete of an image that is gone?"].startswith(
        "HTTP 404"
    )
    assert [line.split()[0] for line in told] == ["saving", "renaming", "deleting", "deleting"]
    text = str(report)
    assert node not in text
    assert "aioe2e-trial" not in text


async def test_a_trial_finds_the_dialect_that_works() -> None:
    options: dict[str, Any] = {
        "images": 1,
        "nodes": 1,
        "save_seconds": 0.0,
        "dialects": ["current"],
    }
    async with FakeE2E(**options) as fake, fake.session() as session:
        node = next(iter(fake.nodes))
        report = await session.field_report(node, writes=True, interval=0.01)
    assert report.answers["Does POST work for a save?"].startswith("no, but")
    assert report.answers["Does POST work for a delete?"].startswith("no, but")


async def test_the_steps_of_a_trial_are_logged_by_default(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeE2E(images=0, nodes=1, save_seconds=0.0) as fake, fake.session() as session:
        await session.field_report(next(iter(fake.nodes)), writes=True, interval=0.01)
    assert "field report: saving an image of node" in caplog.text


async def test_a_trial_of_a_missing_node_stops_before_any_write() -> None:
    async with FakeE2E(images=1, nodes=1) as fake, fake.session() as session:
        report = await session.field_report(99999, writes=True, interval=0.01)
        assert all(call.method == "GET" for call in fake.calls)
    assert report.answers["Why did the trial stop?"] == "NotFoundError, HTTP 404"
    assert "Is anything left behind?" not in report.answers


@pytest.mark.parametrize("fault", ["403-json", "500-json", "409-json"])
@pytest.mark.parametrize("action", ["save", "rename", "delete"])
async def test_a_trial_that_stops_half_way_leaves_nothing_behind(action: str, fault: str) -> None:
    async with FakeE2E(images=3, nodes=1, save_seconds=0.02) as fake, fake.session() as session:
        before = set(fake.images)
        node = next(iter(fake.nodes))
        fake.inject(fault, action=action)
        report = await session.field_report(node, writes=True, interval=0.01)
        if fault != "500-json":
            assert "Why did the trial stop?" in report.answers
        left = set(fake.images) - before
        assert not left or report.answers["Is anything left behind?"] != "no"
        assert set(fake.images) >= before
        if action != "delete":
            assert not left


async def test_a_trial_reports_the_image_of_a_save_that_took_too_long() -> None:
    async with FakeE2E(images=0, nodes=1, save_seconds=60) as fake, fake.session() as session:
        node = next(iter(fake.nodes))
        report = await session.field_report(node, writes=True, interval=0.01, timeout=0.05)
    assert "not ready within 0.05 s" in report.answers["Why did the trial stop?"]
    assert "Is anything left behind?" in report.answers


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"writes": True}, "node: writes=True needs the node"),
        ({"node": 5}, "node: it is for writes=True"),
        ({"node": "a/b", "writes": True}, "node: 'a/b' is not an id"),
        ({"writes": "yes"}, "writes: True or False is needed"),
        ({"node": 5, "writes": True, "tell": 5}, "tell: a plain callable is needed"),
        ({"node": 5, "writes": True, "timeout": None}, "timeout must be"),
        ({"node": 5, "writes": True, "timeout": 0}, "timeout must be"),
        ({"node": 5, "writes": True, "interval": 0}, "interval must be"),
    ],
)
async def test_invalid_arguments_of_a_field_report_are_refused(
    arguments: dict[str, Any], says: str
) -> None:
    async with FakeE2E() as fake, fake.session() as session:
        with pytest.raises(UsageError, match=says):
            await session.field_report(**arguments)
        assert not fake.calls


# Shapes


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("31-10-2019 11:59:58", "99-99-9999 99:99:99"), ("01-Jan-2025 10:00:00", "99-Mon-9999 99:99:99"), ("2026-03-12T10:00:00Z", "9999-99-99T99:99:99Z"),
        ("2026-03-12T10:00:00.123+05:30", "9999-99-99T99:99:99.999+99:99"), ("yesterday", "another form"), ("acme 5", "another form"), ("", ""),
    ],
)  # fmt: skip
def test_the_form_of_a_date(text: str, form: str) -> None:
    assert form_of_date(text) == form


@pytest.mark.parametrize(
    ("text", "form"),
    [("57 GB", "9 GB"), ("95.368 GB", "9.9 GB"), ("20GB", "9GB"), ("20", "9"), ("5 acme", "another form"), ("big", "another form")],
)  # fmt: skip
def test_the_form_of_a_size(text: str, form: str) -> None:
    assert form_of_size(text) == form


@pytest.mark.parametrize(
    ("value", "name"),
    [(None, "null"), (True, "bool"), (5, "int"), (5.5, "float"), ("", "empty text"), ("55", "text of digits"), ("5.5", "text of a number"),
     ("10.0.0.1", "text of an address"), ("0f3c9a4e-7b21-4d5f-9c11-2a6b8e7d4c30", "text of a UUID"), ("acme", "text"), ([], "empty list"), ([1], "list"), ({}, "empty object"), ({"a": 1}, "object")],
)  # fmt: skip
def test_the_kind_of_a_value(value: Any, name: str) -> None:
    assert kind(value) == name


def test_a_sentence_is_masked_where_it_may_identify_the_account() -> None:
    said = "Image 'acme' of root@acme.example with id 918273 (img-9) named ours-1 not found"
    assert masked_sentence(said, ["ours-1"]) == "Image [quoted] of [mail] with id [9] [9] named [ours] not found"  # fmt: skip


_NAMES = st.text("abcdefghij", min_size=4, max_size=12)


@given(name=_NAMES, others=st.lists(_NAMES, max_size=4), number=st.integers(10**6, 10**9))
def test_the_shape_of_objects_contains_no_value(name: str, others: list[str], number: int) -> None:
    objects = [
        {"n": name, "i": number, "d": {name: {"x": str(number)}}, "status": name, "l": others},
        {str(number): 1, "deep": [[[{name: name}]]]},
    ]
    shape = json.dumps(shape_of_objects(objects, Vocabulary([objects], ())))
    assert str(number) not in shape
    assert f'"{name}"' not in shape


def test_keys_that_are_names_of_the_account_are_not_shown() -> None:
    objects = [
        {"vm_info": {"acmeprod": {"vm_id": 5, "acme_db": 1}}, "os_info": {"version": "7"}}
    ] * 3
    shape = shape_of_objects(objects, Vocabulary(objects, ()))
    assert "acme" not in json.dumps(shape)
    assert set(shape["vm_info"]["fields"]["[key]"]["fields"]) == {"vm_id", "[key]"}
    assert set(shape["os_info"]["fields"]) == {"version"}


async def test_the_reason_why_a_trial_stopped_identifies_nothing_of_the_account() -> None:
    refused = {"code": 403, "message": "acme has no rights in payroll", "errors": {}}

    def deny(asked: Asked) -> Says:
        return Says(status=403, whole=refused) if asked.path == "nodes/5/" else answer(asked)

    async with odd_server(deny) as (session, _):
        report = await session.field_report(5, writes=True, interval=0.01)
    assert report.answers["Why did the trial stop?"] == "PermissionDeniedError, HTTP 403"
    assert "acme" not in str(report)


def test_the_keys_of_a_very_large_object_are_not_shown() -> None:
    keys = {f"{a}{b}": 1 for a in "abcdefghij" for b in "abcdefghij"}
    assert list(shape_of_objects([keys], Vocabulary([], ()))) == ["[key]"]
