"""From JSON to models: every wobble of the API's types, and nothing of what the server said is lost."""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioe2e._wire.codec import IST, _tolerant_hook, converter, images_in_slices, save_action
from aioe2e.errors import ResponseError
from aioe2e.models import NO_EXTRA, ImageState, SaveAction, SavedImage


def listed(data: list[Any]) -> list[SavedImage]:
    work: Generator[None, None, list[SavedImage]] = images_in_slices(data, 100_000)
    while True:
        try:
            next(work)
        except StopIteration as stop:
            images: list[SavedImage] = stop.value
            return images


def image(**fields: Any) -> SavedImage:
    return listed([{"image_id": "1", **fields}])[0]


#: The element that the vendor's save-image document shows.
DOCUMENTED = {
    "image_state": "Ready",
    "os_distribution": "test",
    "distro": "CentOS-7.5",
    "running_vms": "0",
    "image_size": "57 GB",
    "creation_time": "31-10-2019 11:59:58",
    "template_id": 28894,
    "vm_info": None,
    "image_id": "2292",
    "name": "test-disk-0",
}


def test_the_documented_element_is_read_field_by_field() -> None:
    assert listed([DOCUMENTED]) == [
        SavedImage(
            image_id="2292",
            name="test-disk-0",
            image_state="Ready",
            creation_time=datetime(2019, 10, 31, 11, 59, 58, tzinfo=IST),
            image_size="57 GB",
            os_distribution="test",
            distro="CentOS-7.5",
            template_id=28894,
        )
    ]


def test_an_id_alone_makes_an_image_with_defaults() -> None:
    only = image()
    assert only == SavedImage(image_id="1")
    assert only.extra is NO_EXTRA
    assert (only.state, only.size_gb, only.in_use) == (ImageState.UNKNOWN, None, False)


@pytest.mark.parametrize(
    ("raw", "expected"), [("2292", "2292"), ("img-123", "img-123"), (2292, "2292"), (" 7 ", "7")]
)
def test_an_id_may_be_a_number_or_text(raw: Any, expected: str) -> None:
    assert listed([{"image_id": raw}])[0].image_id == expected


@pytest.mark.parametrize(
    "raw", [True, False, None, "", "  ", 1.0, 2292.5, [], ["1"], {}, {"id": 1}, -1, 10**128]
)
def test_nothing_else_is_an_id(raw: Any) -> None:
    with pytest.raises(ResponseError) as caught:
        listed([{"image_id": "1"}, {"image_id": raw, "name": "x"}])
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith("$.data[1].image_id: ")


READINGS: list[tuple[str, Any, Any]] = [
    ("name", "web", "web"),
    ("name", 5, "5"),
    ("name", 5.5, "5.5"),
    ("image_state", "READY", "READY"),
    ("os_distribution", "DEL-web", "DEL-web"),
    ("distro", "ubuntu", "ubuntu"),
    ("image_type", "E2E Image", "E2E Image"),
    ("sku_type", "C3VPS", "C3VPS"),
    ("project_name", "default-project", "default-project"),
    ("image_size", "95.368 GB", "95.368 GB"),
    ("image_size", 57, "57"),
    ("image_size", 57.5, "57.5"),
    ("template_id", 28894, 28894),
    ("template_id", "3638", 3638),
    ("template_id", 3638.0, 3638),
    ("template_id", "3638.0", 3638),
    ("template_id", " 12 ", 12),
    *((counter, raw, number) for counter in ("running_vms", "cloning_ops", "scaler_group_count")
      for raw, number in (("0", 0), (0, 0), (2, 2), ("2", 2), (2.0, 2), ("2.", 2), (" 7 ", 7), (10**30, 10**30))),
    ("is_windows", True, True),
    ("is_windows", False, False),
    ("is_windows", "true", True),
    ("is_windows", " False ", False),
    ("is_windows", 1, True),
    ("is_windows", 0, False),
    ("is_windows", "1", True),
    ("vm_info", [], ()),
    ("vm_info", [{"name": "vm"}], ({"name": "vm"},)),
    ("vm_info", {"name": "vm"}, ({"name": "vm"},)),
    ("vm_info", "vm-1", ("vm-1",)),
]  # fmt: skip


@pytest.mark.parametrize(("field", "raw", "value"), READINGS)
def test_a_field_is_read_from_every_type_that_the_server_uses(
    field: str, raw: Any, value: Any
) -> None:
    read = image(**{field: raw})
    assert getattr(read, field) == value
    assert type(getattr(read, field)) is type(value)
    assert dict(read.extra) == {}


NO_TEXTS: list[Any] = [True, [], ["x"], {}, {"x": 1}, float("nan"), float("inf")]
NO_NUMBERS: list[Any] = [
    True, -1, "-1", "x", 1.5, "1.5", "1e3", [], {}, float("inf"), float("nan"), "9" * 40, "٣", "0x1",
]  # fmt: skip
NO_DATES: list[Any] = [
    5, True, [], {}, "yesterday", "31-13-2019 00:00:00", "32-10-2019 00:00:00", "31-Okt-2019 00:00:00",
    "31-10-2019 25:00:00", "9" * 100, "1726058019", "00-00-0000 00:00:00", "31-10-2019 11:59:58 PM", "x" * 10_000,
]  # fmt: skip
UNREADABLE: dict[str, list[Any]] = {
    **dict.fromkeys(("name", "distro", "image_state", "image_size"), NO_TEXTS),
    **dict.fromkeys(
        ("template_id", "running_vms", "cloning_ops", "scaler_group_count"), NO_NUMBERS
    ),
    "is_windows": ["yes", 2, -1, 1.0, [], {}, "2"],
    "vm_info": [5, True, 1.5],
    "creation_time": NO_DATES,
}


@pytest.mark.parametrize(
    ("field", "raw"),
    [(field, raw) for field, values in UNREADABLE.items() for raw in values],
    ids=lambda value: repr(value)[:30],
)
def test_what_cannot_be_read_has_its_default_and_stays_in_extra(field: str, raw: Any) -> None:
    read = image(**{field: raw})
    assert getattr(read, field) == getattr(SavedImage(image_id="1"), field)
    assert read.extra[field] is raw


@pytest.mark.parametrize(
    "field", [f.name for f in attrs.fields(SavedImage) if f.name not in ("image_id", "extra")]
)
@pytest.mark.parametrize("raw", [None, ""])
def test_null_and_empty_are_absent_and_not_unreadable(field: str, raw: Any) -> None:
    assert image(**{field: raw}) == SavedImage(image_id="1")
    assert dict(image(**{field: raw}).extra) == {}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("31-10-2019 11:59:58", datetime(2019, 10, 31, 11, 59, 58, tzinfo=IST)),
        ("1-2-2019 1:02:03", datetime(2019, 2, 1, 1, 2, 3, tzinfo=IST)),
        ("11-09-2024T18:03:37", datetime(2024, 9, 11, 18, 3, 37, tzinfo=IST)),
        ("01-Jan-2025 10:00:00", datetime(2025, 1, 1, 10, tzinfo=IST)),
        ("01-DEC-2025 10:00:00", datetime(2025, 12, 1, 10, tzinfo=IST)),
        (" 01-may-2025 10:00:00 ", datetime(2025, 5, 1, 10, tzinfo=IST)),
        ("2026-03-12T10:00:00Z", datetime(2026, 3, 12, 10, tzinfo=UTC)),
        ("2019-10-31T06:13:47.613831Z", datetime(2019, 10, 31, 6, 13, 47, 613831, tzinfo=UTC)),
        ("2026-03-12T10:00:00+02:00", datetime(2026, 3, 12, 8, tzinfo=UTC)),
        ("2026-03-12 10:00:00", datetime(2026, 3, 12, 10, tzinfo=IST)),
        ("2026-03-12", datetime(2026, 3, 12, tzinfo=IST)),
    ],
)  # fmt: skip
def test_a_date_is_day_first_or_iso_and_indian_where_no_zone_is_named(
    text: str, moment: datetime
) -> None:
    made = image(creation_time=text).creation_time
    assert made == moment
    assert made is not None
    assert made.utcoffset() == moment.utcoffset() or text.endswith("+02:00")


def test_the_epoch_in_a_name_agrees_with_indian_time() -> None:
    made = image(creation_time="11-09-2024 18:03:37").creation_time
    assert made is not None
    assert made.timestamp() == 1726058019 - 2


@given(moment=st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)))
def test_any_documented_date_is_read_back(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    text = f"{moment.day:02}-{moment.month:02}-{moment.year:04} {moment:%H:%M:%S}"
    assert image(creation_time=text).creation_time == moment.replace(tzinfo=IST)


@pytest.mark.parametrize(
    ("raw", "name", "extra"),
    [
        ({"name": "a"}, "a", {}),
        ({"image_name": "b"}, "b", {}),
        ({"name": "a", "image_name": "b"}, "a", {"image_name": "b"}),
        ({"name": "", "image_name": "b"}, "b", {}),
        ({"name": None, "image_name": "b"}, "b", {}),
        ({"name": None, "image_name": None}, "", {}),
        ({}, "", {}),
    ],
)
def test_image_name_serves_as_the_name_when_that_is_missing(
    raw: Any, name: str, extra: Any
) -> None:
    read = image(**raw)
    assert read.name == name
    assert dict(read.extra) == extra


def test_unknown_keys_stay_as_they_came() -> None:
    raw = {
        "node_plans_available": True,
        "auto_scale_template": False,
        "timestamp": "1",
        "nested": {"a": [1, None]},
    }
    assert dict(image(**raw).extra) == raw


@pytest.mark.parametrize("key", ["extra", "state", "size_gb", "in_use", "__class__", "self", ""])
def test_a_key_that_looks_like_our_own_is_an_unknown_key(key: str) -> None:
    assert image(**{key: "x"}).extra[key] == "x"


CATALOGUE = {"name": "Ubuntu", "plan": "C3.8GB", "location": "Delhi", "specs": {"cpu": 4}}


def test_the_catalogue_of_plans_is_no_list_of_images_and_the_error_names_the_place() -> None:
    with pytest.raises(ResponseError) as caught:
        listed([DOCUMENTED, CATALOGUE])
    assert caught.value.problems == ("$.data[1].image_id: missing",)
    assert "$.data[1].image_id" in str(caught.value)


@pytest.mark.parametrize("element", [None, 5, "x", [], [DOCUMENTED], True])
def test_an_element_that_is_no_object_is_named_by_its_place(element: Any) -> None:
    with pytest.raises(ResponseError) as caught:
        listed([element])
    assert caught.value.problems[0].startswith("$.data[0]: an object was expected")


def test_many_faults_are_told_and_not_all_of_them() -> None:
    with pytest.raises(ResponseError) as caught:
        listed([CATALOGUE] * 5000)
    assert len(caught.value.problems) == 20
    assert len(str(caught.value)) < 300


def test_no_elements_are_no_images() -> None:
    assert listed([]) == []


def test_a_large_listing_gives_the_loop_turns_and_keeps_its_order() -> None:
    work = images_in_slices([{"image_id": number} for number in range(1000)], 1000)
    turns = 0
    images: list[SavedImage] = []
    while True:
        try:
            next(work)
            turns += 1
        except StopIteration as stop:
            images = stop.value
            break
    assert [int(one.image_id) for one in images] == list(range(1000))
    assert turns >= 5


_scalars = (
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | st.text(max_size=30)
)
_anything = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
_known = [
    field.name for field in attrs.fields(SavedImage) if field.name not in ("image_id", "extra")
]
_wobbling = st.sampled_from(
    [
        "0",
        "57 GB",
        "31-10-2019 11:59:58",
        "true",
        "Ready",
        "12.0",
        "-1",
        "2026-03-12T10:00:00Z",
        " 5 ",
    ]
)
_ids = st.integers(0, 10**20) | st.from_regex(r"[A-Za-z0-9_.-]{1,40}", fullmatch=True)
_objects = st.dictionaries(
    st.sampled_from([*_known, "image_name"]) | st.text(max_size=10),
    _anything | _wobbling,
    max_size=12,
)


@given(raw=_objects, identity=_ids)
def test_any_object_with_an_id_becomes_an_image_and_loses_nothing(
    raw: dict[str, Any], identity: int | str
) -> None:
    raw = {**raw, "image_id": identity}
    before = json.dumps(raw)
    (read,) = listed([raw])
    assert json.dumps(raw) == before  # and what was handed in is left alone
    assert read.image_id == str(identity).strip()
    for key, value in raw.items():
        if key == "image_id" or value is None or value == "":
            continue
        if key == "image_name" and raw.get("name") in (None, ""):
            kept = read.name or read.extra.get("image_name", read.extra.get("name"))
            assert kept is value or kept in (str(value), repr(value))
        elif key in _known:
            assert (key in read.extra and read.extra[key] is value) or getattr(
                read, key
            ) is not None
            assert key in read.extra or _same(getattr(read, key), value)
        else:
            assert read.extra[key] is value
    assert isinstance(hash(read), int)
    assert read.size_gb is None or read.size_gb >= 0
    assert isinstance(read.state, ImageState)


def _same(read: Any, raw: Any) -> bool:
    """Whether a field still says what the server said."""
    if isinstance(read, tuple):
        return list(read) == raw or list(read) == [raw] or repr(list(read)) == repr(raw)
    if isinstance(read, bool):
        return str(raw).strip().lower() in {True: ("true", "1"), False: ("false", "0")}[read]
    if isinstance(read, int):
        return float(raw) == float(read)
    return isinstance(read, datetime) or read in (raw, str(raw), repr(raw))


# The accepted save


def test_the_documented_reply_of_a_save_is_read() -> None:
    data = {
        "id": 773,
        "created_at": "2019-10-31T06:13:47.613831Z",
        "status": "done",
        "action_type": "save_images",
        "resource_id": "34339",
    }
    assert save_action(data, "34339", "n") == SaveAction(
        action_id="773",
        node_id="34339",
        name="n",
        status="done",
        created_at=datetime(2019, 10, 31, 6, 13, 47, 613831, tzinfo=UTC),
        extra={"action_type": "save_images", "resource_id": "34339"},
    )


def test_the_image_id_is_taken_where_the_server_gives_one() -> None:
    assert (
        save_action({"id": 703, "image_id": "img-455", "status": "In Progress"}, "1", "n").image_id
        == "img-455"
    )
    assert save_action({"image_id": 455}, "1", "n").image_id == "455"


@pytest.mark.parametrize("data", [None, {}, {"id": None, "image_id": ""}])
def test_a_save_may_be_accepted_without_a_word(data: Any) -> None:
    assert save_action(data, "1", "n") == SaveAction(node_id="1", name="n")


@pytest.mark.parametrize("data", ["accepted", ["x"], 5, True, [], ""])
def test_data_that_is_no_object_stays_in_extra(data: Any) -> None:
    action = save_action(data, "1", "n")
    assert (action.node_id, action.name, action.action_id) == ("1", "n", None)
    assert dict(action.extra) == {"data": data}


@pytest.mark.parametrize("raw", [True, False, 455.0, 1.5, [], ["1"], {}, "  ", -1])
@pytest.mark.parametrize("key", ["image_id", "id"])
def test_what_is_no_id_is_not_taken_for_that_of_a_save(key: str, raw: Any) -> None:
    action = save_action({key: raw}, "1", "n")
    assert (action.image_id, action.action_id) == (None, None)
    assert raw in action.extra.values()


def test_the_node_and_the_name_are_those_that_were_asked_for() -> None:
    action = save_action({"name": "other", "node_id": 99}, "1", "n")
    assert (action.node_id, action.name) == ("1", "n")


@given(
    data=_anything | _objects,
    name=st.text(min_size=1, max_size=20).filter(lambda name: name == name.strip()),
)
def test_any_data_of_a_save_makes_an_action(data: Any, name: str) -> None:
    action = save_action(data, "34339", name)
    assert (action.node_id, action.name) == ("34339", name)


def test_times_without_a_zone_are_five_and_a_half_hours_ahead() -> None:
    assert IST.utcoffset(None) == timedelta(hours=5, minutes=30)


def test_a_field_of_a_type_without_a_reader_is_refused_when_the_model_is_made() -> None:
    @attrs.frozen(kw_only=True)
    class Priced:
        image_id: str
        price: float | None = None

    with pytest.raises(TypeError, match=r"price .* no reader"):
        _tolerant_hook(Priced, converter())
