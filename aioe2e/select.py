"""Says which images are meant, in words that read like the sentence.

Predicates are made by functions such as `older_than` and put together with ``&``, ``|`` and ``~``.
`newest` and `all_but_newest` look at many images at once, a group at a time. All of it is pure: no
clock is read after a predicate is made, and no request is sent.

The nightly rotation, "keep the newest 7 of each server, delete the rest that are unused and older
than 30 days":

>>> from datetime import UTC, datetime, timedelta
>>> from aioe2e import Plan, SavedImage
>>> from aioe2e.select import all_but_newest, by_name, not_in_use, older_than, where
>>> now = datetime(2026, 3, 31, tzinfo=UTC)
>>> images = [
...     SavedImage(image_id=str(n), name=f"web-nightly-{n}", creation_time=now - timedelta(days=n))
...     for n in range(1, 41)
... ]

>>> surplus = all_but_newest(7, images, per=by_name(until="-nightly"))
>>> doomed = where(not_in_use() & older_than("30d", now=now), surplus)
>>> plan = Plan.delete(doomed)

>>> len(surplus), [step.target for step in plan][:3], len(plan)
(33, ['31', '32', '33'], 10)

What is not known never counts against an image: one without a readable date is not older than
anything, and neither that one nor one without a group is ever surplus.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Hashable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, cast

import attrs

from . import _check
from .errors import UsageError
from .models import ImageState, SavedImage

__all__ = [
    "Predicate",
    "all_but_newest",
    "all_of",
    "any_of",
    "by_distro",
    "by_name",
    "by_os_distribution",
    "in_use",
    "name_matches",
    "newer_than",
    "newest",
    "none_of",
    "not_in_use",
    "older_than",
    "state_is",
    "where",
]

#: Says which group an image belongs to; None for none.
Key = Callable[[SavedImage], Hashable]

_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)

_UNITS: Final = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION: Final = re.compile(r"(?:\s*\d+(?:\.\d+)?\s*[wdhms])+\s*")
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([wdhms])")


@attrs.frozen(repr=False)
class Predicate:
    """A question about an image, to be called with one.

    ``&`` asks both, ``|`` asks either, ``~`` asks the opposite; any callable will do on the other
    side. Its repr is the sentence.
    """

    test: Callable[[SavedImage], bool]
    sentence: str = "a test of your own"

    def __call__(self, image: SavedImage) -> bool:
        """Whether the image passes."""
        return self.test(image)

    def __and__(self, other: Callable[[SavedImage], bool]) -> Predicate:
        return all_of(self, other)

    def __rand__(self, other: Callable[[SavedImage], bool]) -> Predicate:
        return all_of(other, self)

    def __or__(self, other: Callable[[SavedImage], bool]) -> Predicate:
        return any_of(self, other)

    def __ror__(self, other: Callable[[SavedImage], bool]) -> Predicate:
        return any_of(other, self)

    def __invert__(self) -> Predicate:
        return none_of(self)

    def __bool__(self) -> bool:
        # `a and b`, `not a` and `if a` would quietly mean something else.
        raise UsageError(
            "a predicate is neither true nor false: join with & | ~, and call it with an image"
        )

    def __repr__(self) -> str:
        return f"<images that are {self.sentence}>"


def _predicate(test: Callable[[SavedImage], bool]) -> Predicate:
    if isinstance(test, Predicate):
        return test
    _check.require_callable("a predicate", test, "lambda image: image.is_windows")
    return Predicate(test)


def _joined(word: str, tests: Iterable[Predicate]) -> str:
    return "(" + f" {word} ".join(test.sentence for test in tests) + ")"


def all_of(*tests: Callable[[SavedImage], bool]) -> Predicate:
    """Images that pass every test; without a test, all images."""
    parts = tuple(map(_predicate, tests))
    return Predicate(lambda image: all(part(image) for part in parts), _joined("and", parts))


def any_of(*tests: Callable[[SavedImage], bool]) -> Predicate:
    """Images that pass at least one test; without a test, no image."""
    parts = tuple(map(_predicate, tests))
    return Predicate(lambda image: any(part(image) for part in parts), _joined("or", parts))


def none_of(*tests: Callable[[SavedImage], bool]) -> Predicate:
    """Images that pass none of the tests."""
    parts = tuple(map(_predicate, tests))
    return Predicate(
        lambda image: not any(part(image) for part in parts), "not " + _joined("or", parts)
    )


def older_than(age: timedelta | str, *, now: datetime | None = None) -> Predicate:
    """Images made longer ago than that. One without a readable date is not: its age is not known.

    Args:
        age: A `timedelta`, or a text such as ``"30d"``, ``"12h"``, ``"2w"`` or ``"1d 12h"`` (weeks,
            days, hours, minutes, seconds).
        now: What to count from, with a time zone; the moment of this call by default. It is fixed
            here, so the predicate says the same of an image whenever it is asked.

    Raises:
        UsageError: The age cannot be read or is below 0, or `now` has no time zone.
    """
    limit = _moment(age, now)

    def is_older(image: SavedImage) -> bool:
        made = _aware(image.creation_time)
        return made is not None and made < limit

    return Predicate(is_older, f"older than {age}")


def newer_than(age: timedelta | str, *, now: datetime | None = None) -> Predicate:
    """Images made at that time or since. One without a readable date is not: its age is not known.

    Args:
        age: As for `older_than`.
        now: As for `older_than`.

    Raises:
        UsageError: The age cannot be read or is below 0, or `now` has no time zone.
    """
    limit = _moment(age, now)

    def is_newer(image: SavedImage) -> bool:
        made = _aware(image.creation_time)
        return made is not None and made >= limit

    return Predicate(is_newer, f"newer than {age}")


def _moment(age: object, now: datetime | None) -> datetime:
    """The moment that so much time before `now` is; the earliest of all if that is too long ago.

    Raises:
        UsageError: The age cannot be read or is below 0, or `now` has no time zone.
    """
    span = _span(age)
    if now is None:
        now = datetime.now(UTC)
    elif _aware(now) is None:
        raise UsageError(f"now: a datetime with a time zone is needed, not {_check.quoted(now)}")
    try:
        return now - span
    except OverflowError:
        return _EARLIEST


def _span(age: object) -> timedelta:
    span = age
    if isinstance(age, str) and _DURATION.fullmatch(age):
        try:
            span = sum(
                (timedelta(**{_UNITS[unit]: float(n)}) for n, unit in _PART.findall(age)),
                timedelta(),
            )
        except OverflowError:
            span = timedelta.max
    if not isinstance(span, timedelta) or span < timedelta():
        raise UsageError(
            "age: a timedelta of 0 or more, or a text such as '30d', is needed,"
            f" not {_check.quoted(age)}"
        )
    return span


def _aware(moment: datetime | None) -> datetime | None:
    """A moment that can be compared; one without a zone is as good as unknown."""
    return moment if isinstance(moment, datetime) and moment.utcoffset() is not None else None


def name_matches(*globs: str) -> Predicate:
    """Images whose whole name matches one of the patterns.

    They are as in a shell: ``ci-*``, ``web-?``, ``[ab]*``. Upper and lower case differ.

    Raises:
        UsageError: A pattern is no string, or there is none.
    """
    if not globs or not all(isinstance(glob, str) for glob in globs):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(
            "name_matches: one or more patterns such as 'ci-*' are needed,"
            f" not {_check.quoted(globs)}"
        )
    pattern = re.compile("|".join(map(fnmatch.translate, globs)))
    return Predicate(
        lambda image: pattern.match(image.name) is not None,
        f"named {' or '.join(map(repr, globs))}",
    )


def state_is(*states: ImageState) -> Predicate:
    """Images in one of these states.

    Raises:
        UsageError: One is no `ImageState`, or there is none.
    """
    if not states or not all(isinstance(state, ImageState) for state in states):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(
            f"state_is: one or more ImageStates are needed, not {_check.quoted(states)}"
        )
    return Predicate(
        lambda image: image.state in states, " or ".join(state.name for state in states)
    )


def in_use() -> Predicate:
    """Images that VMs run from, that are being cloned, or that autoscaling groups need."""
    return Predicate(lambda image: image.in_use, "in use")


def not_in_use() -> Predicate:
    """Images that nothing uses, as far as the listing says."""
    return Predicate(lambda image: not image.in_use, "not in use")


def where(test: Callable[[SavedImage], bool], images: Iterable[SavedImage]) -> list[SavedImage]:
    """Those of the images that pass the test, in their order."""
    test = _predicate(test)
    return [image for image in _images(images) if test(image)]


def by_distro(image: SavedImage) -> str | None:
    """Groups images by their operating system (`SavedImage.distro`)."""
    return image.distro or None


def by_name(*, until: str) -> Key:
    """Groups images by what stands in their name before a text, such as ``"-nightly"``.

    An image without that text belongs to no group: a ``web`` made by hand is none of the
    ``web-nightly-…``.
    """
    return _until(until, lambda image: image.name)


def by_os_distribution(*, until: str) -> Key:
    """Groups images by what stands before a text in `os_distribution`.

    On the wire, that is the name that the save asked for. It survives a rename. An image without
    that text belongs to no group.
    """
    return _until(until, lambda image: image.os_distribution or "")


def _until(marker: str, read: Callable[[SavedImage], str]) -> Key:
    if not marker or not isinstance(marker, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(f"until: a text such as '-nightly' is needed, not {_check.quoted(marker)}")

    def key(image: SavedImage) -> str | None:
        before, found, _ = read(image).partition(marker)
        return before if found and before else None

    return key


def newest(count: int, images: Iterable[SavedImage], *, per: Key | None = None) -> list[SavedImage]:
    """The newest of each group, in the order given.

    Args:
        count: How many of each group; 0 or more.
        images: The images.
        per: Says which group an image belongs to; without it, all are one group.

    Raises:
        UsageError: The count is no number of 0 or more.
    """
    images = _distinct(images)
    count = _check.require_whole("count", count, 0)
    chosen = {image.image_id for ranked in _ranked(images, per) for image in ranked[:count]}
    return [image for image in images if image.image_id in chosen]


def all_but_newest(
    count: int, images: Iterable[SavedImage], *, per: Key | None = None
) -> list[SavedImage]:
    """The rest of each group, in the order given: what `newest` leaves.

    Images that have no readable date, or that `per` gives no group (None), are never among them.

    Args:
        count: How many of each group are kept; 0 or more.
        images: The images.
        per: Says which group an image belongs to; without it, all are one group.

    Raises:
        UsageError: The count is no number of 0 or more.
    """
    images = _distinct(images)
    count = _check.require_whole("count", count, 0)
    surplus = {image.image_id for ranked in _ranked(images, per) for image in ranked[count:]}
    return [image for image in images if image.image_id in surplus]


def _images(images: object) -> list[SavedImage]:
    if not _check.is_collection(images):
        raise UsageError(f"images: SavedImages are needed, not {_check.quoted(images)}")
    found = list(images)
    for place, image in enumerate(found, 1):
        if not isinstance(image, SavedImage):
            raise UsageError(
                f"images: item {place} must be a SavedImage, not {_check.quoted(image)}"
            )
    return cast("list[SavedImage]", found)


def _distinct(images: object) -> list[SavedImage]:
    """Each image once, at its first place, as it was seen last, as two listings may be joined."""
    return list({image.image_id: image for image in _images(images)}.values())


def _ranked(images: Iterable[SavedImage], per: Key | None) -> list[list[SavedImage]]:
    """The dated images of each group, the newest first.

    Of two images of one moment, the one that came first stands first.
    """
    if per is not None:
        _check.require_callable("per", per, "select.by_name(until='-nightly')")
    groups: dict[Hashable, list[tuple[datetime, SavedImage]]] = {}
    for image in images:
        group = "" if per is None else per(image)
        made = _aware(image.creation_time)
        if not isinstance(group, Hashable):  # pyright: ignore[reportUnnecessaryIsInstance]  # users may be untyped
            raise UsageError(
                f"per: it gave {_check.quoted(group)} for image {image.image_id}, which is no group"
            )
        if made is not None and group is not None:
            groups.setdefault(group, []).append((made, image))
    return [
        [image for _, image in sorted(group, key=lambda dated: dated[0], reverse=True)]
        for group in groups.values()
    ]
