"""The values that stand for what the server said."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioe2e.models import (
    NO_EXTRA,
    Action,
    ActionResult,
    Extra,
    ImageState,
    Reply,
    SaveAction,
    SavedImage,
)

IMAGE = SavedImage(
    image_id="7",
    name="web",
    image_state="Ready",
    creation_time=datetime(2026, 3, 12, tzinfo=UTC),
    vm_info=({"name": "vm"},),
    extra=Extra({"unknown": [1, {"a": None}]}),
)


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("Ready", ImageState.READY),
        ("READY", ImageState.READY),
        (" ready\n", ImageState.READY),
        ("available", ImageState.READY),
        ("AVAILABLE", ImageState.READY),
        ("Creating", ImageState.CREATING),
        ("error", ImageState.ERROR),
        ("Deleted", ImageState.DELETED),
        ("", ImageState.UNKNOWN),
        ("Saving", ImageState.UNKNOWN),
        ("unknown", ImageState.UNKNOWN),
        ("ready!", ImageState.UNKNOWN),
    ],
)
def test_a_state_is_read_without_regard_to_case_and_space(text: str, state: ImageState) -> None:
    assert ImageState.of(text) is state
    assert SavedImage(image_id="1", image_state=text).state is state


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("57 GB", 57.0),
        ("95.368 GB", 95.368),
        ("20GB", 20.0),
        ("20", 20.0),
        ("20 G", 20.0),
        ("20 gib", 20.0),
        ("500 MB", 0.5),
        ("2 TB", 2000.0),
        ("1000000 KB", 1.0),
        (" 57  gb ", 57.0),
        ("GB", None),
        ("", None),
        ("1,024 GB", None),
        ("57 PB", None),
        ("-5 GB", None),
        ("57 GB free", None),
        ("nan", None),
        (None, None),
    ],
)
def test_a_size_is_a_number_of_gigabytes_or_unknown(text: str | None, size: float | None) -> None:
    found = SavedImage(image_id="1", image_size=text).size_gb
    assert found == (None if size is None else pytest.approx(size))


@pytest.mark.parametrize(
    ("field", "value", "used"),
    [
        ("running_vms", 0, False),
        ("running_vms", 1, True),
        ("cloning_ops", 2, True),
        ("scaler_group_count", 1, True),
    ],
)
def test_an_image_is_in_use_by_vms_clones_and_scaler_groups(
    field: str, value: int, used: bool
) -> None:
    assert SavedImage(image_id="1", **{field: value}).in_use is used  # type: ignore[arg-type]  # one of the counters


def test_images_are_hashed_by_their_id_and_compared_by_everything() -> None:
    renamed = attrs.evolve(IMAGE, name="other")
    assert hash(IMAGE) == hash(renamed) == hash(SavedImage(image_id="7"))
    assert renamed != IMAGE
    assert len({IMAGE, renamed, attrs.evolve(IMAGE)}) == 2


VALUES: list[Any] = [
    IMAGE,
    SaveAction(action_id="1", node_id="2", name="n", extra=Extra({"a": 1})),
    SaveAction(node_id="2", name="n"),
    ActionResult(message="x"),
    Reply(status=200, data={"a": [1]}),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_survives_pickle_and_copies(value: Any) -> None:
    for again in (
        pickle.loads(pickle.dumps(value)),
        copy.copy(value),
        copy.deepcopy(value),
        attrs.evolve(value),
    ):
        assert again == value
        assert hash(again) == hash(value)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_cannot_be_changed(value: Any) -> None:
    name = attrs.fields(type(value))[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, name, "x")


@pytest.mark.parametrize("model", [SavedImage, SaveAction, ActionResult, Reply])
def test_models_take_keywords_only(model: type[Any]) -> None:
    with pytest.raises(TypeError):
        model("1")


def test_extra_reads_like_a_dict_and_cannot_be_written() -> None:
    extra = Extra({"a": 1})
    assert extra == {"a": 1} == dict(extra)
    assert (extra["a"], extra.get("b"), len(extra), list(extra), repr(extra)) == (
        1,
        None,
        1,
        ["a"],
        "{'a': 1}",
    )
    with pytest.raises(TypeError):
        extra["b"] = 2  # type: ignore[index]  # that is the point
    with pytest.raises(KeyError):
        extra["b"]


def test_extra_keeps_what_it_was_given_when_that_changes() -> None:
    given_ = {"a": 1}
    extra = Extra(given_)
    given_["b"] = 2
    assert extra == {"a": 1}


def test_no_extra_is_empty_and_stays_so() -> None:
    assert dict(NO_EXTRA) == {}
    assert SavedImage(image_id="1").extra is NO_EXTRA


@given(items=st.dictionaries(st.text(), st.integers() | st.lists(st.text())))
def test_any_extra_survives_pickle(items: dict[str, Any]) -> None:
    assert pickle.loads(pickle.dumps(Extra(items))) == items


def test_actions_are_the_words_of_the_library() -> None:
    assert [action.value for action in Action] == ["rename", "delete", "save"]
    assert f"{Action.SAVE}" == "save"


@pytest.mark.parametrize(
    "text", ["9" * 400 + " GB", "9" * 100_000, " " * 100_000 + "x"], ids=["inf", "long", "space"]
)
def test_an_absurd_size_is_unknown(text: str) -> None:
    assert SavedImage(image_id="1", image_size=text).size_gb is None
