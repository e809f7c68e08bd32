from __future__ import annotations

import doctest
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioe2e import select
from aioe2e.errors import UsageError
from aioe2e.models import ImageState, SavedImage
from aioe2e.select import (
    all_but_newest,
    all_of,
    any_of,
    by_distro,
    by_name,
    by_os_distribution,
    in_use,
    name_matches,
    newer_than,
    newest,
    none_of,
    not_in_use,
    older_than,
    state_is,
    where,
)

NOW = datetime(2026, 3, 31, tzinfo=UTC)


def image(number: int = 1, *, days: float | None = None, **fields: Any) -> SavedImage:
    made = None if days is None else NOW - timedelta(days=days)
    return SavedImage(image_id=str(number), creation_time=made, **fields)


def ids(images: list[SavedImage]) -> list[int]:
    return [int(found.image_id) for found in images]


def test_the_example_in_the_documentation_runs() -> None:
    failed, attempted = doctest.testmod(select)
    assert attempted
    assert not failed


@pytest.mark.parametrize(
    ("age", "days"),
    [("30d", 30), ("2w", 14), ("36h", 1.5), ("1d 12h", 1.5), ("1d12h", 1.5), ("1440m", 1), ("86400s", 1), ("0.5d", 0.5),
     (timedelta(days=3), 3), ("0s", 0)],
)  # fmt: skip
def test_older_than_takes_durations_as_people_write_them(age: str | timedelta, days: float) -> None:
    old = older_than(age, now=NOW)
    assert old(image(days=days + 0.01))
    assert not old(image(days=days))
    assert not old(image(days=days - 0.01))


@pytest.mark.parametrize(
    "age",
    ["", "30", "d", "30 days", "-1d", "1y", "1d,2h", timedelta(days=-1), 30, None, b"1d", "1d\n;"],
)
def test_an_age_that_cannot_be_read_is_refused(age: Any) -> None:
    with pytest.raises(UsageError, match="age: "):
        older_than(age)


def test_an_age_beyond_all_time_selects_nothing() -> None:
    for age in ("99999999w", "9" * 400 + "d", timedelta.max):
        assert not older_than(age)(image(days=10_000))


def test_newer_than_is_the_other_side_of_older_than() -> None:
    new, old = newer_than("30d", now=NOW), older_than("30d", now=NOW)
    for days in (0, 29.9, 30, 30.1, 400):
        assert new(image(days=days)) is not old(image(days=days))
    assert new(image(days=30))
    assert not new(image())  # its age is not known
    assert newer_than("99999999w")(image(days=10_000))
    assert repr(new) == "<images that are newer than 30d>"
    with pytest.raises(UsageError, match="age: "):
        newer_than("soon")


def test_an_image_without_a_readable_date_is_never_old() -> None:
    assert not older_than("0s")(image())
    assert not older_than("0s")(SavedImage(image_id="1", creation_time=datetime(2001, 1, 1)))
    with pytest.raises(UsageError, match="time zone"):
        older_than("1d", now=datetime(2026, 1, 1))


def test_older_than_counts_from_now_and_stays_pure() -> None:
    old = older_than("1h")
    made = datetime.now(UTC)
    assert not old(SavedImage(image_id="1", creation_time=made))
    assert old(SavedImage(image_id="1", creation_time=made - timedelta(hours=2)))


def test_names_match_as_in_a_shell() -> None:
    ci = name_matches("ci-*", "web-?")
    assert [ci(image(name=name)) for name in ("ci-1", "ci-", "web-1", "web-12", "CI-1", "my-ci-1", "")] == [
        True, True, True, False, False, False, False,
    ]  # fmt: skip
    for bad in ((), (7,)):
        with pytest.raises(UsageError, match="patterns"):
            name_matches(*bad)


def test_states_and_use() -> None:
    ready = state_is(ImageState.READY, ImageState.ERROR)
    assert [ready(image(image_state=text)) for text in ("Ready", "available", "Error", "Creating", "?")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    for bad in ((), ("READY",)):
        with pytest.raises(UsageError, match="ImageStates"):
            state_is(*bad)
    busy, idle = image(cloning_ops=1), image()
    assert in_use()(busy)
    assert not in_use()(idle)
    assert not_in_use()(idle)
    assert not not_in_use()(busy)


def test_predicates_join_with_and_or_not_and_with_any_callable() -> None:
    named, idle = name_matches("ci-*"), not_in_use()
    yes, busy, other = image(name="ci-1"), image(name="ci-2", running_vms=1), image(name="x")

    def is_x(found: SavedImage) -> bool:
        return found.name == "x"

    cases = [
        (named & idle, [True, False, False]),
        (named | idle, [True, True, True]),
        (~named, [False, False, True]),
        (named & is_x, [False, False, False]),
        (is_x | named, [True, True, True]),
        (is_x & named, [False, False, False]),
        (all_of(), [True, True, True]),
        (any_of(), [False, False, False]),
        (none_of(is_x, in_use()), [True, False, False]),
    ]
    for predicate, expected in cases:
        assert [predicate(found) for found in (yes, busy, other)] == expected
    assert repr(named & ~idle) == "<images that are (named 'ci-*' and not (not in use))>"


def test_a_predicate_used_as_a_truth_value_is_refused() -> None:
    with pytest.raises(UsageError, match=r"& \| ~"):
        bool(not_in_use())
    with pytest.raises(UsageError, match="a predicate: a plain callable"):
        all_of("ci-*")  # type: ignore[arg-type]  # what is refused


def test_where_keeps_the_order() -> None:
    assert ids(where(lambda found: found.image_id != "2", [image(3), image(2), image(1)])) == [3, 1]


def test_the_newest_of_each_group_stay() -> None:
    images = [
        image(1, days=3, distro="a"),
        image(2, days=1, distro="a"),
        image(3, days=9, distro="b"),
        image(4, days=2, distro="a"),
    ]
    assert ids(newest(2, images, per=by_distro)) == [2, 3, 4]
    assert ids(all_but_newest(2, images, per=by_distro)) == [1]
    assert ids(all_but_newest(1, images)) == [1, 3, 4]
    assert ids(all_but_newest(0, images)) == [1, 2, 3, 4]
    assert newest(0, images) == []
    assert ids(all_but_newest(1, iter(images), per=lambda found: found.distro == "a")) == [1, 4]


def test_of_two_of_the_same_moment_the_first_is_the_newer() -> None:
    assert ids(newest(1, [image(1, days=1), image(2, days=1)])) == [1]


def test_an_image_without_a_date_or_a_group_is_never_surplus() -> None:
    images = [image(1), image(2, days=1), image(3, days=2, distro=""), image(4, days=9, distro="x")]
    assert ids(all_but_newest(0, images)) == [2, 3, 4]
    assert ids(all_but_newest(0, images, per=by_distro)) == [4]


def test_groups_by_the_part_before_a_text_leave_out_what_does_not_have_it() -> None:
    images = [
        image(1, days=1, name="web-nightly-2", os_distribution="DEL-web-nightly-2"),
        image(2, days=2, name="web-nightly-1", os_distribution="DEL-web-nightly-1"),
        image(3, days=90, name="web", os_distribution="DEL-web"),
        image(4, days=90, name="-nightly-1", os_distribution=None),
    ]
    for key in (by_name(until="-nightly"), by_os_distribution(until="-nightly")):
        assert ids(all_but_newest(1, images, per=key)) == [2]
    with pytest.raises(UsageError, match="until: "):
        by_name(until="")


@pytest.mark.parametrize("count", [-1, True, "7", 1.5, None])
def test_a_count_is_a_number_of_images(count: Any) -> None:
    for choose in (newest, all_but_newest):
        with pytest.raises(UsageError, match="count: "):
            choose(count, [image(days=1)])
        with pytest.raises(UsageError, match="count: "):
            choose(count, [])


@given(
    st.lists(st.tuples(st.none() | st.integers(0, 5), st.sampled_from(["a", "b", None]))),
    st.integers(0, 4),
)
def test_newest_and_the_rest_never_overlap_and_the_rest_is_older(
    found: list[tuple[int | None, str | None]], count: int
) -> None:
    images = [
        image(number, days=days, distro=distro) for number, (days, distro) in enumerate(found, 1)
    ]
    kept, rest = newest(count, images, per=by_distro), all_but_newest(count, images, per=by_distro)
    assert not set(ids(kept)) & set(ids(rest))
    assert all(one.creation_time and one.distro for one in kept + rest)
    for gone in rest:
        group = [one for one in kept if one.distro == gone.distro]
        assert len(group) == count
        assert all(
            one.creation_time is not None and gone.creation_time is not None for one in group
        )
        assert all(one.creation_time >= gone.creation_time for one in group)  # type: ignore[operator]  # just asserted


def test_an_image_that_stands_twice_among_the_images_is_one_image() -> None:
    images = [image(number, days=number) for number in range(10)]
    joined = [*images, *images[:4]]
    assert ids(newest(7, joined)) == [0, 1, 2, 3, 4, 5, 6]
    assert ids(all_but_newest(7, joined)) == [7, 8, 9]


@pytest.mark.parametrize("wrong", ["abc", 5, ["1"], [None]])
def test_what_are_no_images_is_refused_in_words(wrong: Any) -> None:
    with pytest.raises(UsageError, match="images: "):
        newest(1, wrong)
    with pytest.raises(UsageError, match="images: "):
        all_but_newest(1, wrong)
    with pytest.raises(UsageError, match="images: "):
        where(not_in_use(), wrong)


def test_a_group_that_cannot_be_one_and_a_moment_that_is_none_are_refused_in_words() -> None:
    with pytest.raises(UsageError, match="per: it gave"):
        newest(1, [image(days=1)], per=lambda _: [1])  # type: ignore[return-value, arg-type]  # users may be untyped
    with pytest.raises(UsageError, match="now: "):
        older_than("1d", now="today")  # type: ignore[arg-type]  # users may be untyped
