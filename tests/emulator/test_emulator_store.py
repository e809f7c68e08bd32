"""The emulated account without a socket: made-up data, the store's rules, time, and the rate limit."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import attrs
import pytest

from aioe2e import UsageError
from aioe2e.testing import Rules, made_images, made_nodes
from aioe2e.testing.account import RuleOptions
from aioe2e.testing.account.records import Records
from aioe2e.testing.account.seed import objects_of
from aioe2e.testing.account.store import Cause, Refused, Store
from aioe2e.testing.account.throttle import Throttle


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def store(images: int = 3, nodes: int = 2, *, time: Time | None = None, **rules: Any) -> Store:
    return Store(
        made_images(images),
        made_nodes(nodes),
        Rules(**rules),
        clock=time or Time(),
        wall=lambda: 1726058019.0,
    )


def listed(of: Store, lag: float = 0.0) -> list[dict[str, Any]]:
    images: list[dict[str, Any]] = json.loads(of.listing(lag))
    return images


def test_a_seed_makes_up_the_same_images_every_time_and_another_seed_others() -> None:
    assert made_images(50, seed=7) == made_images(50, seed=7) != made_images(50, seed=8)
    assert made_nodes(50, seed=7) == made_nodes(50, seed=7) != made_nodes(50, seed=8)


def test_made_up_ids_and_names_are_unique() -> None:
    images = made_images(5000)
    assert (
        len({image["image_id"] for image in images})
        == len({image["name"] for image in images})
        == 5000
    )
    assert len({node["id"] for node in made_nodes(500)}) == 500


def test_generated_images_can_be_in_use_and_have_varied_spellings() -> None:
    assert any(image["running_vms"] != "0" for image in made_images(100, in_use=0.3))
    assert not any(image["running_vms"] != "0" for image in made_images(100))
    assert len({str(image["image_state"]) for image in made_images(100, wobbles=True)}) > 2


def test_an_image_in_use_is_recognizable_in_any_spelling() -> None:
    images = made_images(500, in_use=0.5, wobbles=True)
    used = [image for image in images if image["vm_info"]]
    assert len(used) > 100
    assert all(int(image["running_vms"]) == len(image["vm_info"]) for image in used)
    assert not any(float(image["running_vms"]) for image in images if not image["vm_info"])


def objects(source: Any) -> Any:
    return objects_of("images", "image_id", source, made_images)


def test_objects_come_from_a_list_or_from_a_file_with_or_without_an_envelope(
    tmp_path: Path,
) -> None:
    images = [{"image_id": "1", "name": "a"}]
    (tmp_path / "list.json").write_text(json.dumps(images))
    (tmp_path / "reply.json").write_text(
        json.dumps({"code": 200, "data": images}), encoding="utf-8-sig"
    )
    for source in (
        images,
        tmp_path / "list.json",
        str(tmp_path / "reply.json"),
        (image for image in images),
    ):
        assert objects(source) == images
    assert objects(3) == made_images(3)


@pytest.mark.parametrize("wrong", [{"image_id": "1"}, 7.5, -1, True, None, b"x"])
def test_another_source_of_objects_is_refused(wrong: Any) -> None:
    with pytest.raises(
        UsageError, match="images must be a number of 0 or more, a list of objects or a JSON file"
    ):
        objects(wrong)


def test_more_than_a_million_are_not_made_up() -> None:
    with pytest.raises(UsageError, match="images must be a number from 0 to 1000000"):
        objects(10**9)


def test_an_entry_that_is_no_object_is_named() -> None:
    with pytest.raises(UsageError, match=r"images\[1\] must be an object"):
        objects([{"image_id": "1"}, 5])


@pytest.mark.parametrize("text", ["{", '"abc"', '{"code": 1}', "[1, 2]", "\xff\xfe", "[" * 100_000])
def test_a_file_that_holds_no_list_of_objects_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "wrong.json").write_text(text, encoding="latin-1")
    with pytest.raises(UsageError, match=r"wrong\.json"):
        objects(tmp_path / "wrong.json")
    with pytest.raises(FileNotFoundError, match=r"missing\.json"):
        objects(tmp_path / "missing.json")


def test_two_objects_with_one_id_are_refused() -> None:
    with pytest.raises(UsageError, match="image_id"):
        Records([{"image_id": "1"}, {"image_id": 1}], "image_id")


def test_an_object_without_an_id_is_served_as_it_is() -> None:
    assert json.loads(Records([{"name": "a"}], "image_id").wire()) == [{"name": "a"}]


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images["1"].__setitem__("name", "b"),
        lambda images: images["1"].__delitem__("name"),
        lambda images: images["1"].update(name="b"),
        lambda images: images["1"].__ior__({"name": "b"}),
        lambda images: images["1"].pop("name"),
        lambda images: images["1"].setdefault("distro", "x"),
        lambda images: images["1"].popitem(),
        lambda images: images["1"].clear(),
        lambda images: (images["1"]["vm_info"].append(1), images["1"].touch()),
        lambda images: images.__setitem__("3", {"image_id": "3"}),
        lambda images: images.__delitem__("1"),
        lambda images: images.update({"3": {"image_id": "3"}}),
        lambda images: images.__ior__({"3": {"image_id": "3"}}),
        lambda images: images.setdefault("3", {"image_id": "3"}),
        lambda images: images.pop("1"),
        lambda images: images.popitem(),
        lambda images: images.clear(),
    ],
)
def test_a_change_by_the_test_shows_in_the_next_listing(change: Any) -> None:
    images = Records([{"image_id": "1", "name": "a", "vm_info": []}, {"image_id": "2"}], "image_id")
    before = images.wire()
    assert images.wire() is before, "a listing that did not change is not encoded again"
    change(images)
    assert json.loads(images.wire()) == list(images.values()) != json.loads(before)


def test_records_pickle_and_copy_as_plain_dicts() -> None:
    record = Records([{"image_id": "1"}], "image_id")["1"]
    assert type(pickle.loads(pickle.dumps(record))) is dict
    assert record.setdefault("image_id", "2") == "1"


def test_renaming_keeps_names_unique() -> None:
    account = store()
    first, second, _ = account.images
    account.rename(first, "golden")
    account.rename(first, "golden")
    with pytest.raises(Refused, match="already exists") as refused:
        account.rename(second, "golden")
    assert refused.value.status == 412
    account.rename(first, "other")
    account.rename(second, "golden")
    assert [(entry.action, entry.target, entry.previous) for entry in account.ledger][-1] == (
        "rename",
        second,
        account.ledger[-1].previous,
    )
    assert [image["name"] for image in listed(account)][:2] == ["other", "golden"]


def test_a_name_is_free_once_the_test_has_renamed_its_image() -> None:
    account = store()
    first, second, _ = account.images
    account.rename(first, "golden")
    account.images[first]["name"] = "by somebody else"
    account.rename(second, "golden")


def test_names_need_not_be_unique() -> None:
    account = store(unique_names=False)
    for image_id in account.images:
        account.rename(image_id, "same")


def test_a_delete_removes_the_image_and_frees_its_name() -> None:
    account = store()
    first, second, _ = account.images
    account.rename(first, "golden")
    account.delete(first, Cause(7))
    assert account.ledger[-1].call == 7
    assert first not in account.images
    with pytest.raises(Refused, match="not found") as refused:
        account.delete(first)
    assert refused.value.status == 404
    account.rename(second, "golden")


@pytest.mark.parametrize("field", ["running_vms", "cloning_ops", "scaler_group_count"])
@pytest.mark.parametrize("value", ["2", 2, 2.0])
def test_an_image_in_use_is_not_deleted(field: str, value: Any) -> None:
    account = store(conflict_status=409)
    first = next(iter(account.images))
    account.images[first][field] = value
    with pytest.raises(Refused, match="in use") as refused:
        account.delete(first)
    assert refused.value.status == 409
    account.images[first][field] = "nonsense"
    account.delete(first)


def test_a_save_goes_from_creating_to_ready_while_its_node_is_saving() -> None:
    time = Time()
    account = store(time=time, save_seconds=10)
    node = next(iter(account.nodes))
    _, image_id = account.save(node, "nightly")
    assert account.image(image_id)["image_state"] == "Creating"
    assert account.image(image_id)["creation_time"] == "11-09-2024 18:03:39"
    assert account.node(node)["status"] == "Saving"
    with pytest.raises(Refused, match="Saving"):
        account.save(node, "again")
    time.now += 9.9
    assert account.image(image_id)["image_state"] == "Creating"
    time.now += 0.2
    assert account.image(image_id)["image_state"] == "Ready"
    assert account.node(node)["status"] == "Running"
    account.save(node, "again")


def test_a_save_can_fail() -> None:
    account = store(save_seconds=0, save_result="Error")
    _, image_id = account.save(next(iter(account.nodes)), "nightly")
    assert account.image(image_id)["image_state"] == "Error"


def test_a_saved_image_can_be_listed_late_and_under_another_name() -> None:
    time = Time()
    account = store(time=time, visible_after=5, disk_suffix=True)
    _, image_id = account.save(next(iter(account.nodes)), "nightly")
    assert image_id not in [image["image_id"] for image in listed(account)]
    time.now += 6
    shown = {image["image_id"]: image for image in listed(account)}[image_id]
    assert (shown["name"], shown["os_distribution"]) == ("nightly-disk-0", "nightly")


def test_a_hidden_image_can_be_deleted_before_it_shows() -> None:
    time = Time()
    account = store(time=time, visible_after=5, save_seconds=9)
    _, image_id = account.save(next(iter(account.nodes)), "nightly")
    account.delete(image_id)
    time.now += 10
    assert len(listed(account)) == 3


def test_saves_are_refused_for_unknown_nodes_and_taken_names() -> None:
    account = store()
    first = next(iter(account.images))
    with pytest.raises(Refused, match="Node not found"):
        account.save("nope", "x")
    with pytest.raises(Refused, match="already exists"):
        account.save(next(iter(account.nodes)), account.images[first]["name"])


def test_a_rule_allows_saving_a_busy_node() -> None:
    account = store(refuse_busy_node=False, unique_names=False)
    node = next(iter(account.nodes))
    assert account.save(node, "a")[1] != account.save(node, "a")[1]
    assert len(account.ledger) == 2


def test_a_new_image_never_gets_an_id_that_the_test_has_used() -> None:
    account = store()
    _, image_id = account.save("32203", "a")
    account.images[str(int(image_id) + 1)] = {"image_id": str(int(image_id) + 1)}
    assert account.save("32211", "b")[1] == str(int(image_id) + 2)


def test_a_lagging_listing_shows_exactly_the_earlier_state() -> None:
    time = Time()
    account = store(time=time, save_seconds=100)
    first, second, _ = account.images
    old = listed(account)
    time.now += 10
    account.rename(first, "golden")
    account.rename(first, "platinum")
    account.delete(second)
    account.save(next(iter(account.nodes)), "nightly")
    key = lambda image: image["image_id"]  # noqa: E731
    assert sorted(listed(account, lag=5), key=key) == sorted(old, key=key)
    time.now += 6
    assert listed(account, lag=5) == listed(account)
    assert [image["name"] for image in listed(account)][::2] == ["platinum", "nightly"]


def test_a_lagging_listing_remembers_any_number_of_changes() -> None:
    time = Time()
    account = store(images=6000, time=time, listing_lag=60)
    time.now += 100
    for image_id in list(account.images)[:5000]:
        account.delete(image_id)
    time.now += 59
    assert len(listed(account, lag=60)) == 6000
    time.now += 2
    assert len(listed(account, lag=60)) == 1000


def test_a_lagging_listing_discards_changes_older_than_it_can_lag() -> None:
    time = Time()
    account = store(time=time, listing_lag=30)
    first = next(iter(account.images))
    for number in range(500):
        time.now += 1
        account.rename(first, f"n{number}")
    assert len(account._past._changes) <= 92


def test_a_save_that_shows_up_late_shows_up_later_in_a_lagging_listing() -> None:
    time = Time()
    account = store(time=time, visible_after=10, save_seconds=0)
    time.now += 100
    _, image_id = account.save(next(iter(account.nodes)), "nightly")
    seen = {}
    for seconds in (9, 11, 29, 31):
        time.now = 200 + seconds
        seen[seconds] = image_id in [image["image_id"] for image in listed(account, lag=20)]
    assert seen == {9: False, 11: False, 29: False, 31: True}


def test_changes_by_the_test_are_shown_at_once_even_by_a_lagging_listing() -> None:
    account = store()
    first, second, _ = account.images
    account.images[first]["name"] = "by somebody else"
    del account.images[second]
    assert next(image["name"] for image in listed(account, lag=5)) == "by somebody else"
    assert len(listed(account, lag=5)) == 2


def test_a_saved_image_has_the_system_and_the_plan_of_its_node() -> None:
    account = store()
    node_id, node = next(iter(account.nodes.items()))
    image = account.images[account.save(node_id, "nightly")[1]]
    assert (image["distro"], image["sku_type"]) == (node["os_info"]["full_name"], node["plan"])
    account.nodes["1"] = {"id": 1}
    assert account.images[account.save("1", "bare")[1]]["distro"] == "Ubuntu-22.04"


def test_a_node_has_its_former_status_again_once_all_its_saves_have_ended() -> None:
    time = Time()
    account = store(time=time, save_seconds=10, refuse_busy_node=False)
    node_id, node = next(iter(account.nodes.items()))
    node["status"] = "Powered off"
    account.save(node_id, "a")
    time.now += 6
    account.save(node_id, "b")
    time.now += 6
    assert account.node(node_id)["status"] == "Saving"
    time.now += 6
    assert account.node(node_id)["status"] == "Powered off"


def test_the_end_of_a_save_keeps_a_status_that_the_test_has_set() -> None:
    time = Time()
    account = store(time=time, save_seconds=10)
    first, second = account.nodes
    account.save(first, "a")
    account.save(second, "b")
    account.nodes[first]["status"] = "Powered off"
    del account.nodes[second]
    time.now += 11
    assert account.node(first)["status"] == "Powered off"
    assert len(listed(account)) == 5


def test_records_may_change_while_they_are_iterated() -> None:
    images = Records([{"image_id": str(number)} for number in range(5)], "image_id")
    for key in images:
        del images[key]
        images[f"new-{key}"] = {"image_id": key}
    for record, other in zip(images.values(), images.items(), strict=True):
        images.pop(f"new-{record['image_id']}")
        assert other[1] is record
    for view in (images, images.keys(), images.values(), images.items()):
        assert list(view) == []


def test_every_rule_is_a_keyword_of_the_emulator() -> None:
    assert set(RuleOptions.__annotations__) == {field.name for field in attrs.fields(Rules)}


def test_the_throttle_lets_a_burst_in_and_then_the_rate() -> None:
    time = Time()
    throttle = Throttle(10, clock=time)
    assert [throttle.admit() for _ in range(10)] == [None] * 10
    assert throttle.admit() == 1
    assert throttle.refused == 1
    time.now += 0.11
    assert throttle.admit() is None
    assert throttle.admit() == 1


def test_a_request_is_admitted_after_the_given_retry_after() -> None:
    time = Time()
    throttle = Throttle(0.2, clock=time)
    assert throttle.admit() is None
    wait = throttle.admit()
    assert wait == 5
    time.now += wait
    assert throttle.admit() is None


def test_requests_within_a_retry_after_are_counted_except_those_on_their_way() -> None:
    time = Time()
    throttle = Throttle(1, clock=time, grace=0.1)
    assert throttle.since_retry_after() is None
    throttle.note_retry_after(2)
    time.now += 0.05
    assert throttle.since_retry_after() == pytest.approx(0.05)
    assert throttle.ignored == 0
    time.now += 1
    assert throttle.since_retry_after() == pytest.approx(1.05)
    assert throttle.ignored == 1
    time.now += 1
    assert throttle.since_retry_after() is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("unique_names", 1),
        ("read_only", "no"),
        ("conflict_status", "x"),
        ("conflict_status", 200),
        ("refuse_dialect_with", 999),
        ("save_seconds", -1),
        ("save_seconds", "x"),
        ("save_seconds", float("nan")),
        ("save_seconds", float("inf")),
        ("save_result", "Bogus"),
        ("visible_after", "x"),
        ("listing_lag", -1),
        ("required_query", "project_id"),
        ("required_query", [5]),
        ("projects", "12345"),
        ("projects", [12345]),
        ("burst", -5),
        ("burst", 0),
    ],
)
def test_an_invalid_rule_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"Rules.{field} must be"):
        Rules(**{field: value})


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), "5", True])
def test_a_rate_has_to_be_above_zero(rate: Any) -> None:
    with pytest.raises(UsageError, match="requests_per_second"):
        Throttle(rate)
