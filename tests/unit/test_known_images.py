"""How far a late listing is believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aioe2e.images.listing import KnownImages, Listing, name_proven_from
from aioe2e.models import SavedImage

#: The wall time at the loop time 0.
START = datetime(2026, 3, 12, 10, 0, 0, tzinfo=UTC)
LAG = 2.0


def image(name: str = "a", *, made: float | None = -1000.0, state: str = "Ready") -> SavedImage:
    created = None if made is None else START + timedelta(seconds=made)
    return SavedImage(image_id="1", name=name, creation_time=created, image_state=state)


def listing(
    *images: SavedImage, asked: float, partial: bool = False, dated: bool = True
) -> Listing:
    date = START + timedelta(seconds=asked) if dated else None
    return Listing(list(images), asked, asked, date, partial=partial)


def after(*listings: Listing) -> KnownImages:
    known = KnownImages()
    for each in listings:
        for _ in known.take_in(each):
            pass
    return known


@pytest.mark.parametrize(
    ("seen", "proven_from"),
    [
        (
            [listing(image(), asked=9.0)],
            -1000.0 + 1.0,
        ),  # made long ago, by the server's clock of whole seconds
        ([listing(image(made=8.0), asked=9.0)], 9.0),
        ([listing(image(made=8.9), asked=9.0)], 9.0),  # a moment ago
        ([listing(image(made=None), asked=9.0)], 9.0),  # nobody says when, but it was seen
        ([listing(image(made=None), asked=4.0), listing(image(made=None), asked=9.0)], 4.0),
        ([listing(image(), asked=9.0, dated=False)], 9.0),  # no clock to compare with
        ([listing(image(made=5000.0), asked=9.0)], 9.0),  # a date that cannot be
        ([listing(image(), asked=12.0)], -1000.0 + 1.0),
        (
            [listing(image(made=11.0), asked=12.0)],
            10.0,
        ),  # it was there when the write began: somebody knew its id
        ([], 10.0),
    ],
)
def test_absence_proves_a_delete_only_if_the_image_was_there_before(
    seen: list[Listing], proven_from: float
) -> None:
    assert after(*seen).absence_proven_from("1", began=10.0, lag=LAG) == proven_from + LAG


def test_an_image_is_old_when_a_late_listing_would_show_it() -> None:
    known = after(listing(image(made=8.5), asked=9.0))
    assert not known.is_old("1", listing(asked=10.5), LAG)
    assert known.is_old("1", listing(asked=11.1), LAG)
    assert known.is_old("2", listing(asked=10.5), LAG)


@pytest.mark.parametrize(
    ("before", "proven_from"),
    [
        (("b", 1.0), 1.0),  # it had another name for long, so the new name is new
        (
            ("b", 9.5),
            9.5,
        ),  # for a moment only: a listing from before that shows what it was called until then
        (("a", 1.0), 10.0),  # it had that very name
        (None, 10.0),  # nobody knows what it was called
    ],
)
def test_a_name_proves_a_rename_only_if_the_image_did_not_have_it_a_moment_before(
    before: tuple[str, float] | None, proven_from: float
) -> None:
    assert name_proven_from("a", before, began=10.0, lag=LAG) == proven_from + LAG


def test_a_name_is_known_from_when_it_was_first_seen_or_given() -> None:
    known = after(listing(image("a"), asked=1.0), listing(image("a"), asked=2.0))
    assert known.name("1") == ("a", 1.0)
    known.renamed("1", "b", 3.0)
    assert known.name("1") == ("b", 3.0)
    for _ in known.take_in(listing(image("c"), asked=4.0)):
        pass
    assert known.name("1") == ("c", 4.0)
    known.renamed("2", "b", 3.0)
    assert known.name("2") is None
