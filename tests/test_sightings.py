"""How far a late listing is believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aioe2e._listing import Listing
from aioe2e._sightings import Sightings
from aioe2e.models import SavedImage

#: The wall time at the loop time 0.
START = datetime(2026, 3, 12, 10, 0, 0, tzinfo=UTC)
LAG = 2.0


def image(name: str = "a", *, made: float | None = -1000.0, state: str = "Ready") -> SavedImage:
    created = None if made is None else START + timedelta(seconds=made)
    return SavedImage(image_id="1", name=name, creation_time=created, image_state=state)


def listing(*images: SavedImage, asked: float, partial: bool = False, dated: bool = True) -> Listing:
    date = START + timedelta(seconds=asked) if dated else None
    return Listing(list(images), asked, asked, date, partial=partial)


def after(*listings: Listing) -> Sightings:
    sightings = Sightings()
    for each in listings:
        for _ in sightings.saw(each):
            pass
    return sightings


@pytest.mark.parametrize(
    ("seen", "now", "gone"),
    [
        ([listing(image(), asked=9.0)], listing(asked=10.5), True),  # made long ago, by the server's clock
        ([listing(image(made=8.0), asked=9.0)], listing(asked=10.5), True),
        ([listing(image(made=8.9), asked=9.0)], listing(asked=10.5), False),  # made a moment ago
        ([listing(image(made=None), asked=9.0)], listing(asked=10.5), False),  # nobody says when
        ([listing(image(made=None), asked=8.0)], listing(asked=10.5), True),  # seen long enough before
        ([listing(image(), asked=9.0, dated=False)], listing(asked=10.5), False),  # no clock to compare with
        ([listing(image(made=5000.0), asked=9.0)], listing(asked=10.5), False),  # a date that cannot be
        ([], listing(asked=10.5), False),  # never seen: it was there when the write began, and may be new
        ([], listing(asked=12.0), True),
        ([listing(image(), asked=9.0)], listing(image(), asked=10.5), False),  # it is there
        ([listing(image(), asked=9.0)], listing(image(state="Deleted"), asked=10.5), True),
        ([listing(image(), asked=9.0)], listing(asked=20.0, partial=True), False),  # somewhere else in the listing
    ],
)
def test_absence_proves_a_delete_only_if_the_image_was_there_before(
    seen: list[Listing], now: Listing, gone: bool
) -> None:
    sightings = after(*seen)
    assert sightings.shows_gone("1", now, began=10.0, lag=LAG) is gone


@pytest.mark.parametrize(
    ("seen", "renamed", "previous", "asked", "proven"),
    [
        ("b", None, "b", 10.5, True),  # it was called otherwise, so the new name is new
        ("a", None, "a", 10.5, False),  # it had that name before, and the listing may show that moment
        ("a", None, "a", 12.0, True),
        (None, None, None, 10.5, False),  # nobody knows what it was called
        (None, None, None, 12.0, True),
        ("b", 9.5, "b", 10.5, False),  # this session renamed it a moment ago: that may have been from this name
        ("b", 9.5, "b", 11.6, True),
    ],
)
def test_a_name_proves_a_rename_only_if_the_image_did_not_have_it_a_moment_before(
    seen: str | None, renamed: float | None, previous: str | None, asked: float, proven: bool
) -> None:
    sightings = after(*([] if seen is None else [listing(image(seen), asked=1.0)]))
    if renamed is not None:
        sightings.renamed("1", "b", renamed)
    shown = listing(image("a"), asked=asked)
    assert sightings.shows_name("1", "a", previous, shown, began=10.0, lag=LAG) is proven
    assert not sightings.shows_name("1", "c", previous, shown, began=10.0, lag=LAG)
    assert not sightings.shows_name("2", "a", previous, shown, began=10.0, lag=LAG)


def test_a_name_that_was_given_counts_as_seen() -> None:
    sightings = after(listing(image("a"), asked=1.0))
    sightings.renamed("1", "b", 2.0)
    assert sightings.name("1") == "b"
    assert sightings.name("2") is None
