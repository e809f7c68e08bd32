"""Predicates and groups to select images.

Functions such as `older_than` make predicates, which ``&``, ``|`` and ``~`` combine. `newest` and
`all_but_newest` work on groups of images. Nothing here sends a request, and no clock is read after
a predicate is made.

To keep the newest 7 images of each server, and delete the others that are unused and older than 30
days:

>>> from datetime import UTC, datetime, timedelta
>>> from aioe2e import Plan, SavedImage
>>> from aioe2e.select import all_but_newest, by_name, not_in_use, older_than, where
>>> now = datetime(2026, 3, 31, tzinfo=UTC)
>>> images = [
...     SavedImage(image_id=str(n), name=f"web-nightly-{n}", creation_time=now - timedelta(days=n))
...     for n in range(1, 41)
... ]

>>> surplus = all_but_newest(7, images, per=by_name(until="-nightly"))
>>> expired = where(not_in_use() & older_than("30d", now=now), surplus)
>>> plan = Plan.delete(expired)

>>> len(surplus), [step.target for step in plan][:3], len(plan)
(33, ['31', '32', '33'], 10)

Missing data never selects an image for deletion. An image without a readable date is neither older
nor newer than anything. An image without a date or without a group is never surplus.
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
    """A test of an image that can be combined with others.

    Call it with a `SavedImage`. ``a & b`` is true if both are, ``a | b`` if either is, and ``~a``
    if ``a`` is not. The other operand may be any callable that takes an image. ``and``, ``or`` and
    ``not`` raise `UsageError`.
    """

    #: The test.
    test: Callable[[SavedImage], bool]
    #: The test in words, for the repr.
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
    """Return a predicate for images that pass every test; without tests, for all images.

    Args:
        tests: Predicates, or callables that take a `SavedImage`.
    """
    parts = tuple(map(_predicate, tests))
    return Predicate(lambda image: all(part(image) for part in parts), _joined("and", parts))


def any_of(*tests: Callable[[SavedImage], bool]) -> Predicate:
    """Return a predicate for images that pass at least one test; without tests, for no image.

    Args:
        tests: Predicates, or callables that take a `SavedImage`.
    """
    parts = tuple(map(_predicate, tests))
    return Predicate(lambda image: any(part(image) for part in parts), _joined("or", parts))


def none_of(*tests: Callable[[SavedImage], bool]) -> Predicate:
    """Return a predicate for images that pass none of the tests.

    Args:
        tests: Predicates, or callables that take a `SavedImage`.
    """
    parts = tuple(map(_predicate, tests))
    return Predicate(
        lambda image: not any(part(image) for part in parts), "not " + _joined("or", parts)
    )


def older_than(age: timedelta | str, *, now: datetime | None = None) -> Predicate:
    """Return a predicate for images that were created longer ago.

    An image without a readable date does not pass.

    Args:
        age: A ``timedelta``, or a text such as ``"30d"``, ``"12h"``, ``"2w"`` or ``"1d 12h"``
            (weeks, days, hours, minutes, seconds).
        now: The time from which the age is counted, with a time zone. By default it is the time of
            this call; the predicate does not read the clock again.

    Raises:
        UsageError: The age is unreadable or negative, or ``now`` has no time zone.
    """
    limit = _moment(age, now)

    def is_older(image: SavedImage) -> bool:
        made = _aware(image.creation_time)
        return made is not None and made < limit

    return Predicate(is_older, f"older than {age}")


def newer_than(age: timedelta | str, *, now: datetime | None = None) -> Predicate:
    """Return a predicate for images that were created within that time.

    An image without a readable date does not pass.

    Args:
        age: As for `older_than`.
        now: As for `older_than`.

    Raises:
        UsageError: The age is unreadable or negative, or ``now`` has no time zone.
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
    """Return a predicate for images whose whole name matches one of the patterns.

    Args:
        globs: Patterns as in a shell, such as ``ci-*``, ``web-?`` or ``[ab]*``. They are
            case-sensitive.

    Raises:
        UsageError: A pattern is not a string, or there is none.
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
    """Return a predicate for images in one of these states.

    Args:
        states: One or more states.

    Raises:
        UsageError: A state is not an `ImageState`, or there is none.
    """
    if not states or not all(isinstance(state, ImageState) for state in states):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(
            f"state_is: one or more ImageStates are needed, not {_check.quoted(states)}"
        )
    return Predicate(
        lambda image: image.state in states, " or ".join(state.name for state in states)
    )


def in_use() -> Predicate:
    """Return a predicate for images that are in use; see `SavedImage.in_use`."""
    return Predicate(lambda image: image.in_use, "in use")


def not_in_use() -> Predicate:
    """Return a predicate for images that are not in use; see `SavedImage.in_use`."""
    return Predicate(lambda image: not image.in_use, "not in use")


def where(test: Callable[[SavedImage], bool], images: Iterable[SavedImage]) -> list[SavedImage]:
    """Return the images that pass a test, in their order.

    Args:
        test: A predicate, or any callable that takes a `SavedImage`.
        images: The images.

    Raises:
        UsageError: The test is not callable, or an item is not a `SavedImage`.
    """
    test = _predicate(test)
    return [image for image in _images(images) if test(image)]


def by_distro(image: SavedImage) -> str | None:
    """Return the operating system of an image as its group, for ``per=``.

    Args:
        image: The image.

    Returns:
        `SavedImage.distro`; None, which is no group, if it is empty.
    """
    return image.distro or None


def by_name(*, until: str) -> Key:
    """Return a function for ``per=`` that groups images by the part of the name before a text.

    An image whose name does not contain the text has no group. It is unrelated to `Images.by_name`.

    Args:
        until: The text, such as ``"-nightly"``.

    Raises:
        UsageError: The text is empty or not a string.
    """
    return _until(until, lambda image: image.name)


def by_os_distribution(*, until: str) -> Key:
    """Return a function for ``per=`` that groups images by the part of a field before a text.

    The field is `SavedImage.os_distribution`. It has the name that the save asked for, which
    survives a rename.

    Args:
        until: The text, such as ``"-nightly"``.

    Raises:
        UsageError: The text is empty or not a string.
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
    """Return the newest images of each group, in the order given.

    Args:
        count: The number of images of each group, 0 or more.
        images: The images. An image that is given twice counts once.
        per: A function that takes a `SavedImage` and returns its group, or None for no group. By
            default all images are one group.

    Raises:
        UsageError: The count is not a whole number of 0 or more.
    """
    images = _distinct(images)
    count = _check.require_whole("count", count, 0)
    chosen = {image.image_id for ranked in _ranked(images, per) for image in ranked[:count]}
    return [image for image in images if image.image_id in chosen]


def all_but_newest(
    count: int, images: Iterable[SavedImage], *, per: Key | None = None
) -> list[SavedImage]:
    """Return all images except the newest of each group, in the order given.

    Images without a readable date, and images without a group, are never returned.

    Args:
        count: The number of images of each group to keep, 0 or more.
        images: The images. An image that is given twice counts once.
        per: A function that takes a `SavedImage` and returns its group, or None for no group. By
            default all images are one group.

    Raises:
        UsageError: The count is not a whole number of 0 or more.
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
