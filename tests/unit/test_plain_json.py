"""Public values are JSON, and come back equal."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioe2e import (
    ActionResult,
    ImageState,
    Node,
    NodeState,
    Plan,
    Reply,
    SaveAction,
    SavedImage,
    UsageError,
)
from aioe2e._plain import as_json
from aioe2e._wire.codec import converter
from aioe2e.models import image_id_of, node_id_of

IST = timezone(timedelta(hours=5, minutes=30), "IST")
IMAGE = SavedImage(
    image_id="2292",
    name="web-disk-0",
    image_state="Ready",
    creation_time=datetime(2019, 10, 31, 11, 59, 58, tzinfo=IST),
    image_size="57 GB",
    template_id=28894,
    running_vms=1,
    vm_info=({"vm_id": 315801, "deep": [{"a": None}]},),
    is_windows=False,
    extra={"unknown": {"key": [1, 2.5, "three", None, True]}},
)
NODE = Node(
    node_id="41207",
    name="app-1",
    status="Saving",
    is_locked=False,
    created_at=datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC),
    vm_id="46055",
    extra={"vcpus": "4"},
)
ACTION = SaveAction(
    action_id="773",
    node_id="41207",
    name="app",
    status="done",
    created_at=datetime(2026, 2, 3, tzinfo=UTC),
)
VALUES: list[Any] = [IMAGE, SavedImage(image_id="1"), NODE, Node(node_id="1"), ACTION, SaveAction(node_id="1", name="x"), ActionResult(), ActionResult(message="Image deleted successfully")]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_equal_through_json(value: Any) -> None:
    told = value.to_dict()
    again = type(value).from_dict(json.loads(json.dumps(told, allow_nan=False)))
    assert again == value
    assert type(again) is type(value)
    assert again.to_dict() == told
    assert msgspec.json.decode(msgspec.json.encode(told)) == told


def test_the_json_of_an_image_contains_derived_fields() -> None:
    told = IMAGE.to_dict()
    assert told["creation_time"] == "2019-10-31T11:59:58+05:30"
    assert (told["state"], told["in_use"], told["size_gb"]) == ("READY", True, 57.0)
    assert told["vm_info"] == [{"vm_id": 315801, "deep": [{"a": None}]}]
    assert told["extra"] == {"unknown": {"key": [1, 2.5, "three", None, True]}}
    assert {field.name for field in attrs.fields(SavedImage)} < set(told)


def test_derived_fields_are_ignored_when_a_value_is_read() -> None:
    told = {**SavedImage(image_id="1").to_dict(), "in_use": True, "state": "ERROR", "size_gb": 5}
    image = SavedImage.from_dict(told)
    assert (image.in_use, image.state, image.size_gb) == (False, ImageState.UNKNOWN, None)


def test_to_dict_shares_nothing_with_the_value() -> None:
    IMAGE.to_dict()["extra"]["unknown"]["key"].append("x")
    IMAGE.to_dict()["vm_info"][0]["deep"].clear()
    assert IMAGE.extra["unknown"]["key"] == [1, 2.5, "three", None, True]
    assert IMAGE.vm_info[0]["deep"] == [{"a": None}]


def test_a_missing_field_gets_its_default() -> None:
    assert SavedImage.from_dict({"image_id": "1", "name": "a"}) == SavedImage(
        image_id="1", name="a"
    )


@pytest.mark.parametrize(
    ("model", "data", "says"),
    [
        (SavedImage, {}, "a stored SavedImage: image_id is missing"),
        (SavedImage, {"image_id": ""}, "image_id: a string that is not empty is needed"),
        (SavedImage, {"image_id": 5}, "image_id: a string that is not empty is needed, not 5"),
        (SavedImage, {"image_id": "1", "nmae": "x"}, "has no field 'nmae'; is 'name' meant?"),
        (SavedImage, {"image_id": "1", 5: "x"}, "has no field 5"),
        (SavedImage, {"image_id": "1", "running_vms": "2"}, "running_vms: a whole number of 0 or more is needed, not '2'"),
        (SavedImage, {"image_id": "1", "running_vms": True}, "running_vms"),
        (SavedImage, {"image_id": "1", "running_vms": -1}, "running_vms"),
        (SavedImage, {"image_id": "1", "creation_time": "yesterday"}, "creation_time: an ISO 8601 date and time"),
        (SavedImage, {"image_id": "1", "creation_time": 5}, "creation_time"),
        (SavedImage, {"image_id": "1", "is_windows": "no"}, "is_windows: true or false is needed"),
        (SavedImage, {"image_id": "1", "vm_info": "x"}, "vm_info: a list is needed"),
        (SavedImage, {"image_id": "1", "extra": []}, "extra: an object is needed"),
        (SavedImage, {"image_id": "1", "name": None}, "name: a string is needed, not None"),
        (SavedImage, [], "an object is needed, not []"),
        (SavedImage, None, "an object is needed"),
        (SaveAction, {"node_id": "1"}, "a stored SaveAction: name is missing"),
        (Node, {"id": "1"}, "has no field 'id'"),
        (ActionResult, {"message": 5}, "message: a string is needed"),
    ],
)  # fmt: skip
def test_an_invalid_field_is_named(model: Any, data: Any, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        model.from_dict(data)
    assert says in str(caught.value)
    assert caught.value.__context__ is None


def test_a_reply_is_json() -> None:
    reply = Reply(status=200, data=[{"id": 1, "at": None}], message="Success", attempts=2)
    assert reply.to_dict()["data"] == [{"id": 1, "at": None}]
    assert json.loads(json.dumps(reply.to_dict()))["attempts"] == 2


def test_numbers_that_json_does_not_have_become_text() -> None:
    image = SavedImage(image_id="1", extra={"a": [math.nan, math.inf, -math.inf, 1.5]})
    assert image.to_dict()["extra"] == {"a": ["nan", "inf", "-inf", 1.5]}
    json.dumps(image.to_dict(), allow_nan=False)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(raw=st.dictionaries(st.sampled_from([field.name for field in attrs.fields(SavedImage)] + ["other", "state"]), _JSON))  # fmt: skip
def test_any_image_a_server_may_send_comes_back_equal_through_json(raw: dict[str, Any]) -> None:
    image = converter().structure({**raw, "image_id": "1"}, SavedImage)
    assert SavedImage.from_dict(json.loads(json.dumps(image.to_dict(), allow_nan=False))) == image


def test_a_value_of_any_type_has_a_json_form() -> None:
    assert as_json(NodeState.RUNNING) == "RUNNING"
    assert as_json({1: (IMAGE,)}) == {"1": [IMAGE.to_dict()]}
    assert isinstance(as_json(object()), str)


# States


@pytest.mark.parametrize(
    ("word", "state", "in_use"),
    [
        ("Ready", "READY", False), ("available", "READY", False), ("Creating", "CREATING", False), ("Error", "ERROR", False), ("Deleted", "DELETED", False),
        ("USED", "READY", True), ("used_pers", "READY", True), (" Clone ", "READY", True), ("LOCKED_USED", "READY", True), ("LOCKED_USED_PERS", "READY", True),
        ("LOCKED", "CREATING", False), ("INIT", "CREATING", False), ("DELETE", "DELETING", False), ("DISABLED", "DISABLED", False), ("", "UNKNOWN", False), ("odd", "UNKNOWN", False),
    ],
)  # fmt: skip
def test_the_words_of_the_system_behind_the_api_are_known(
    word: str, state: str, in_use: bool
) -> None:
    image = SavedImage(image_id="1", image_state=word)
    assert (image.state.value, image.in_use) == (state, in_use)


def test_an_image_whose_state_says_that_it_is_used_is_not_deleted_unless_told_to() -> None:
    used = SavedImage(image_id="1", name="a", image_state="USED")
    with pytest.raises(UsageError, match="in use"):
        Plan.delete([used])
    assert len(Plan.delete([used], force=True)) == 1


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Running", "RUNNING"), ("running", "RUNNING"), (" Creating ", "CREATING"), ("Saving", "SAVING"), ("Powered off", "POWERED_OFF"), ("powered_off", "POWERED_OFF"),
        ("Powering", "CHANGING"), ("Powering Off", "CHANGING"), ("Stopping", "CHANGING"), ("Reinstalling", "CHANGING"), ("Failed", "FAILED"), ("Error", "FAILED"), ("", "UNKNOWN"), ("odd", "UNKNOWN"),
    ],
)  # fmt: skip
def test_the_words_for_a_node_are_known(word: str, state: str) -> None:
    assert Node(node_id="1", status=word).state is NodeState[state]


def test_a_node_is_accepted_in_place_of_its_id_and_not_as_an_image() -> None:
    assert node_id_of(NODE) == "41207"
    with pytest.raises(UsageError, match="image: a SavedImage, a str or an int is needed"):
        image_id_of(NODE)
    assert hash(NODE) == hash(Node(node_id="41207"))
