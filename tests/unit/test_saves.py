"""Which image belongs to which save: only what can be nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aioe2e.images import listing as listings
from aioe2e.images import saves
from aioe2e.images.listing import KnownImages, Listing
from aioe2e.images.naming import fits
from aioe2e.images.saves import PendingSave, SaveClaims
from aioe2e.models import SaveAction, SavedImage

#: The wall time at the loop time 0.
START = datetime(2026, 3, 12, 10, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def image(
    identity: str, name: str = "nightly", made: float | None = 10.0, **fields: Any
) -> SavedImage:
    return SavedImage(
        image_id=identity, name=name, creation_time=None if made is None else at(made), **fields
    )


def listing(*images: SavedImage, moment: float = 20.0, dated: bool = True) -> Listing:
    """A listing asked for a second before that moment; the server's clock writes whole seconds."""
    return Listing(list(images), moment - 1, moment, at(int(moment)) if dated else None)


class Book(SaveClaims):
    """A book that sees listings by itself."""

    def __init__(self) -> None:
        self.known = KnownImages()
        super().__init__(self.known)

    def saw(self, listing: Listing) -> None:
        for _ in self.known.take_in(listing):
            pass

    def accept(self, pending: PendingSave, action: SaveAction) -> None:
        self.accepted(pending, action, pending.sent_at + 0.5)


def book_with(name: str = "nightly", sent_at: float = 10.0) -> tuple[Book, PendingSave]:
    book = Book()
    return book, book.begin(name, sent_at)


@pytest.mark.parametrize(
    ("fields", "fit"),
    [
        ({"name": "web"}, True),
        ({"name": "web-disk-0"}, True),
        ({"name": "web-disk-1"}, True),
        ({"name": "web_1726058019"}, True),
        ({"name": "x", "os_distribution": "web"}, True),
        ({"name": "x", "os_distribution": "DEL-web"}, True),
        ({"name": "web_1726058019_1726058019", "os_distribution": "DEL-web_1726058019"}, False),
        ({"name": "web_"}, False),
        ({"name": "web_12a"}, False),
        ({"name": "web-2"}, False),
        ({"name": "web2"}, False),
        ({"name": "Web"}, False),
        ({"name": "my-web"}, False),
        ({"name": ""}, False),
        ({"name": "we"}, False),
        ({"name": "x", "os_distribution": "DELweb"}, False),
        ({"name": "x", "os_distribution": "web-DEL"}, False),
    ],
)
def test_an_image_fits_a_name_as_the_server_is_known_to_change_names(
    fields: dict[str, str], fit: bool
) -> None:
    assert fits(SavedImage(image_id="1", **fields), "web") is fit  # type: ignore[arg-type]  # names only


# After a lost reply


def test_the_one_new_image_under_the_name_is_the_product() -> None:
    book, ticket = book_with()
    product = image("7")
    assert book.product(ticket, listing(image("1", "other"), product)) is product


@pytest.mark.parametrize(
    ("why", "images", "dated"),
    [
        ("nothing fits", [image("1", "other")], True),
        ("two fit", [image("1"), image("2", "nightly-disk-0")], True),
        ("made long before the save", [image("1", made=7.0)], True),
        ("no date", [image("1", made=None)], True),
        ("the server does not tell its time", [image("1")], False),
        ("nothing at all", [], True),
    ],
)
def test_nothing_is_taken_for_the_product_on_weaker_grounds(
    why: str, images: list[SavedImage], dated: bool
) -> None:
    book, ticket = book_with()
    assert book.product(ticket, listing(*images, dated=dated)) is None, why


@pytest.mark.parametrize(("made", "taken"), [(7.9, False), (8.1, True), (9.0, True), (15.0, True)])
def test_an_image_may_seem_two_seconds_older_than_its_save(made: float, taken: bool) -> None:
    book, ticket = book_with(sent_at=10.0)
    assert (book.product(ticket, listing(image("7", made=made))) is not None) is taken


def test_the_servers_clock_counts_and_not_the_local_one() -> None:
    book, ticket = book_with(sent_at=10.0)
    ahead = Listing([image("7", made=3610.0)], 19.0, 20.0, at(3620.0))
    assert book.product(ticket, ahead) is not None
    old = Listing([image("7", made=3600.0)], 19.0, 20.0, at(3620.0))
    assert book.product(ticket, old) is None


def test_an_image_that_a_listing_showed_before_the_save_is_not_its_product() -> None:
    book = Book()
    book.saw(listing(image("7"), moment=5.0))
    ticket = book.begin("nightly", 10.0)
    assert book.product(ticket, listing(image("7"))) is None


def test_an_image_that_a_listing_showed_since_the_save_may_be_its_product() -> None:
    book, ticket = book_with(sent_at=10.0)
    book.saw(listing(image("7"), moment=12.0))
    assert book.product(ticket, listing(image("7"))) is not None


def test_an_image_belongs_to_one_save_only() -> None:
    book, ticket = book_with()
    book.claim(None, "7")
    assert book.product(ticket, listing(image("7"))) is None


@pytest.mark.parametrize("rival", ["nightly", "nightly-disk"])
def test_two_saves_in_doubt_that_may_both_have_made_it_prove_nothing(rival: str) -> None:
    book, ticket = book_with()
    book.begin(rival, 11.0)
    assert book.product(ticket, listing(image("7", "nightly-disk-disk-0"))) is None


def test_a_rival_whose_name_does_not_fit_is_none() -> None:
    book, ticket = book_with()
    book.begin("weekly", 10.0)
    assert book.product(ticket, listing(image("7"))) is not None


def test_an_accepted_save_whose_image_is_not_known_is_a_rival_for_a_while() -> None:
    book = Book()
    accepted = book.begin("nightly", 9.0)
    book.accept(accepted, SaveAction(action_id="1", node_id="5", name="nightly"))
    near, far = book.begin("nightly", 12.0), book.begin("nightly", 12.0)
    book.refused(far)
    assert book.product(near, listing(image("7", made=12.0))) is None
    late = PendingSave("nightly", 500.0)
    assert late.in_doubt
    book.refused(near)
    ticket = book.begin("nightly", 500.0)
    assert book.product(ticket, listing(image("8", made=500.0), moment=510.0)) is not None


def test_an_accepted_save_whose_image_is_known_is_no_rival() -> None:
    book = Book()
    book.accept(
        book.begin("nightly", 9.0),
        SaveAction(action_id="1", node_id="5", name="nightly", image_id="6"),
    )
    ticket = book.begin("nightly", 10.0)
    assert book.product(ticket, listing(image("6"), image("7"))) == image("7")


def test_a_save_that_was_accepted_without_a_word_can_be_waited_for_by_its_name() -> None:
    book = Book()
    action = SaveAction(node_id="5", name="nightly")
    book.accept(book.begin("nightly", 10.0), action)
    assert book.pending_of(action) is not None
    assert book.pending_of(SaveAction(node_id="5", name="nightly")) is None
    assert book.awaited(action, listing(image("7"))) == image("7")


def test_a_save_that_was_refused_is_no_rival() -> None:
    book, refused = book_with()
    ticket = book.begin("nightly", 11.0)
    book.refused(refused)
    book.refused(refused)
    assert book.product(ticket, listing(image("7", made=11.0))) is not None


# Reconciling


def test_a_save_in_doubt_is_settled_once() -> None:
    book, _ = book_with()
    found = listing(image("7"))
    assert book.settle("nightly", found) == image("7")
    assert book.settle("nightly", found) is None


def test_nothing_is_settled_without_exactly_one_save_in_doubt_under_that_name() -> None:
    found = listing(image("7"))
    assert Book().settle("nightly", found) is None
    book, _ = book_with()
    book.begin("nightly", 11.0)
    assert book.settle("nightly", found) is None


def test_a_save_in_doubt_without_an_image_stays_so() -> None:
    book, ticket = book_with()
    assert book.settle("nightly", listing()) is None
    assert ticket.in_doubt
    assert book.settle("nightly", listing(image("7"))) == image("7")


# Waiting for an accepted save


def accepted(
    book: Book, name: str = "nightly", sent_at: float = 10.0, action: str = "1"
) -> SaveAction:
    made = SaveAction(action_id=action, node_id="5", name=name)
    book.accept(book.begin(name, sent_at), made)
    return made


def test_the_image_of_an_accepted_save_is_found_by_its_name() -> None:
    book = Book()
    action = accepted(book)
    assert book.awaited(action, listing(image("1", "other"))) is None
    assert book.awaited(action, listing(image("7", "nightly-disk-0", made=None))) == image(
        "7", "nightly-disk-0", made=None
    )


def test_the_exact_name_goes_before_one_that_only_fits() -> None:
    book = Book()
    found = book.awaited(accepted(book), listing(image("6", "nightly-disk-0"), image("7")))
    assert found == image("7")


def test_two_images_that_may_be_it_are_none() -> None:
    book = Book()
    assert book.awaited(accepted(book), listing(image("6"), image("7"))) is None


def test_an_older_image_of_the_same_name_is_not_the_new_one() -> None:
    book = Book()
    book.saw(listing(image("6"), moment=5.0))
    assert book.awaited(accepted(book), listing(image("6"), image("7"))) == image("7")


def test_an_image_made_before_the_action_is_not_its_image() -> None:
    book = Book()
    foreign = SaveAction(node_id="5", name="nightly", created_at=at(10.0))
    assert book.awaited(foreign, listing(image("6", made=7.0), image("7", made=9.0))) == image(
        "7", made=9.0
    )


def test_the_action_of_another_session_needs_no_ticket() -> None:
    foreign = SaveAction(action_id="99", node_id="5", name="nightly")
    assert Book().awaited(foreign, listing(image("7"))) == image("7")


def test_two_accepted_saves_do_not_wait_for_one_image() -> None:
    book = Book()
    first, second = accepted(book, action="1"), accepted(book, action="2")
    assert book.awaited(first, listing(image("7"))) == image("7")
    assert book.awaited(second, listing(image("7"))) is None
    assert book.awaited(second, listing(image("7"), image("8"))) == image("8")


def test_a_deleted_image_is_not_waited_for() -> None:
    book = Book()
    assert book.awaited(accepted(book), listing(image("7", image_state="Deleted"))) is None


# Memory


def test_an_hour_later_a_save_may_claim_nothing_any_more() -> None:
    book, _ = book_with(sent_at=10.0)
    book.begin("other", 3700.0)
    assert book.settle("nightly", listing(image("7"))) is None


def test_months_of_saves_and_listings_do_not_grow_the_book(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saves, "_MOST", 100)
    monkeypatch.setattr(listings, "_MOST", 100)
    book = Book()
    for number in range(3000):
        ticket = book.begin(f"n{number}", float(number))
        if number % 3 == 0:
            book.accept(ticket, SaveAction(action_id=str(number), node_id="5", name=f"n{number}"))
        elif number % 3 == 1:
            book.claim(ticket, str(number))
        book.saw(
            listing(*(image(str(number + offset)) for offset in range(5)), moment=float(number))
        )
    for kept in (book._pending, book._by_id, book._claimed, book._image_of, book._images_of):
        assert len(kept) <= 101
    assert len(book.known._seen) <= 2 * 5 + 100
    assert not book._by_action
