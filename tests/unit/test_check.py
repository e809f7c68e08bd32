from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioe2e import _check
from aioe2e.errors import UsageError
from aioe2e.models import SavedImage, image_id_of, node_id_of


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2292", "2292"),
        ("img-1_A", "img-1_A"),
        (2292, "2292"),
        ("x" * 128, "x" * 128),
        (10**127, "1" + "0" * 127),
    ],
)
def test_ids_may_be_text_or_numbers(value: object, expected: str) -> None:
    assert image_id_of(value) == expected
    assert node_id_of(value) == expected


def test_an_image_is_accepted_in_place_of_its_id() -> None:
    assert image_id_of(SavedImage(image_id="7", template_id=9)) == "7"


@pytest.mark.parametrize(
    "value",
    ["", " 1", "1\n", "a b", "a/b", "..", "a.b", "é", "x" * 129, "٣", 0, -1, 10**128, True,
     False, None, 1.0, b"1", [], ("1",), {}, object(), Unprintable()],
)  # fmt: skip
def test_an_invalid_id_is_refused(value: object) -> None:
    for check, argument in ((image_id_of, "image: "), (node_id_of, "node: ")):
        with pytest.raises(UsageError) as caught:
            check(value)
        assert str(caught.value).startswith(argument)
        assert len(str(caught.value)) < 250


def test_a_number_too_long_to_print_is_refused_like_any_other() -> None:
    for number in (10**5000, -(10**5000)):
        with pytest.raises(UsageError, match="image: <int> is not an id"):
            image_id_of(number)


def test_an_image_is_refused_as_a_node() -> None:
    with pytest.raises(UsageError, match="node: a Node, a str or an int is needed"):
        node_id_of(SavedImage(image_id="7"))


def test_an_image_whose_own_id_cannot_be_sent_is_refused() -> None:
    with pytest.raises(UsageError, match="image: 'a/b' is not an id"):
        image_id_of(SavedImage(image_id="a/b"))


@pytest.mark.parametrize(
    "value", ["a", "web 1", "näme", "名前", "x" * 255, "a\u00a0b", "🙂", "-", "."]
)
def test_names_are_taken_as_they_are(value: str) -> None:
    assert _check.checked_name(value) is value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "empty"),
        ("x" * 256, "has 256 characters; at most 255 are allowed"),
        (" a", "white space at an end"),
        ("a ", "white space at an end"),
        ("a\u3000", "white space at an end"),
        ("a\n", "white space at an end"),
        ("a\tb", r"\\t at position 1"),
        ("a\x00b", r"\\x00 at position 1"),
        ("a\x7fb", r"\\x7f"),
        ("a\x9bb", r"\\x9b"),
        ("a\ud800b", r"\\ud800"),
        (None, "a str is needed, not None"),
        (7, "a str is needed"),
        (b"a", "a str is needed"),
    ],
)
def test_names_that_cannot_be_sent_say_why(value: object, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        _check.checked_name(value)
    assert str(caught.value).startswith("name: ")
    assert str(caught.value).isprintable()


@given(st.text(max_size=300))
def test_a_name_that_passes_can_be_encoded_and_printed_in_one_line(text: str) -> None:
    try:
        name = _check.checked_name(text)
    except UsageError:
        return
    assert name == text
    assert name.encode()
    assert len(name.splitlines()) == 1


def test_what_is_shown_is_short_and_printable() -> None:
    assert len(_check.quoted("x" * 10_000_000)) <= 80
    assert _check.quoted("a\x1b[31m") == "'a\\x1b[31m'"
    assert _check.quoted(Unprintable()) == "<Unprintable>"
