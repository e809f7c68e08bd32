"""What the emulated API refuses, and how it behaves where little is known about the live one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypedDict, TypeVar

import attrs

from aioe2e._check import is_whole
from aioe2e.testing import _checks as checks

_T = TypeVar("_T")


class RuleOptions(TypedDict, total=False):
    """The fields of `Rules` as keywords of `FakeE2E`."""

    unique_names: bool
    refuse_in_use: bool
    refuse_busy_node: bool
    conflict_status: int
    save_seconds: float
    save_result: str
    visible_after: float
    delete_seconds: float
    disk_suffix: bool
    image_id_in_save: bool
    opennebula: bool
    listing_lag: float
    nodes_per_page: int | None
    read_only: bool
    required_query: Collection[str]
    projects: Collection[str] | None
    locations: Collection[str] | None
    any_base: bool
    strict_slash: bool
    refuse_dialect_with: int
    burst: float | None
    throttle_html: bool
    retry_after: str
    rate_limit_headers: str | None
    send_date: bool
    date_offset: float


@attrs.frozen
class Knob:
    """What a rule may be, and how it is read from a command line."""

    #: Refuses a value that makes no sense, by the name of the rule.
    check: Callable[[str, Any], object]
    #: Reads a value from an argument; None for a switch.
    read: Callable[[str], Any] | None = None
    #: What stands for the value in a help text.
    metavar: str | None = None


def _flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        checks.refuse(name, "True or False", value)


def _refusal(name: str, value: object) -> None:
    if not is_whole(value, least=400) or value > 599:
        checks.refuse(name, "an HTTP status from 400 to 599", value)


def _burst(name: str, value: object) -> None:
    if value is None:
        return
    if not checks.is_number(value) or value < 1:
        checks.refuse(
            name, "a number of requests of 1 or more, or None for all that the limit allows", value
        )


def _page(name: str, value: object) -> None:
    checks.whole_or_none(name, value, least=1)


def _words_or_any(name: str, value: object) -> None:
    if value is not None and not checks.words(name, value):
        checks.refuse(name, "at least one, or None for any", value)


def _offset(name: str, value: object) -> None:
    if not checks.is_number(value):
        checks.refuse(name, "a number of seconds", value)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _one_of(*words: str, optional: bool = False) -> Knob:
    listed = " or ".join(map(repr, words))
    taken: tuple[object, ...] = words
    if optional:
        listed += ", or None"
        taken = (*words, None)

    def check(name: str, value: object) -> None:
        if value not in taken:
            checks.refuse(name, listed, value)

    return Knob(check, str, "|".join(words))


_FLAG = Knob(_flag)
_SECONDS = Knob(checks.seconds, float, "SECONDS")
_STATUS = Knob(_refusal, int, "STATUS")
_WORDS = Knob(checks.words, _words, "NAME,NAME")
_WORDS_OR_ANY = Knob(_words_or_any, _words, "NAME,NAME")


def _rule(knob: Knob, *, default: _T) -> _T:
    """A field that is checked when the rules are made."""
    return attrs.field(
        default=default, validator=checks.checked(knob.check), metadata={"knob": knob}
    )


@attrs.frozen(kw_only=True)
class Rules:
    """The rules of the emulated API. They are keywords of `FakeE2E` and options of its command.

    Raises:
        UsageError: A value is invalid; the text names the field.
    """

    #: Refuse a name that another image has, for rename and for save.
    unique_names: bool = _rule(_FLAG, default=True)
    #: Refuse to delete an image that VMs, clones or autoscaling groups use.
    refuse_in_use: bool = _rule(_FLAG, default=True)
    #: Refuse to save a node that is being saved.
    refuse_busy_node: bool = _rule(_FLAG, default=True)
    #: The HTTP status of these three refusals; 412 is the API's usual one.
    conflict_status: int = _rule(_STATUS, default=412)
    #: Seconds for which a saved image is being created and its node is ``Saving``.
    save_seconds: float = _rule(_SECONDS, default=0.2)
    #: The state in which a save ends.
    save_result: str = _rule(_one_of("Ready", "Error"), default="Ready")
    #: Seconds until a saved image is listed; `listing_lag` is added to them.
    visible_after: float = _rule(_SECONDS, default=0.0)
    #: Seconds for which a deleted image stays listed, in the state ``Deleted``; it keeps its name.
    delete_seconds: float = _rule(_SECONDS, default=0.0)
    #: List a saved image as ``<name>-disk-0``, with the plain name as its ``os_distribution``.
    disk_suffix: bool = _rule(_FLAG, default=False)
    #: Name the new image in the reply to a save.
    image_id_in_save: bool = _rule(_FLAG, default=False)
    #: Use the states and the refusals of OpenNebula, which the API seems to be built on: LOCKED,
    #: READY, USED, CLONE, ERROR, DELETE.
    opennebula: bool = _rule(_FLAG, default=False)
    #: Show the state of that many seconds ago in listings. Changes by a test itself are shown at
    #: once.
    listing_lag: float = _rule(_SECONDS, default=0.0)
    #: The number of nodes on one page of their listing; by default all.
    nodes_per_page: int | None = _rule(Knob(_page, int, "COUNT"), default=None)
    #: The token may read, but not change anything.
    read_only: bool = _rule(_FLAG, default=False)
    #: Parameters without which a request is a 400, such as ``project_id`` and ``location``.
    required_query: Collection[str] = _rule(_WORDS, default=())
    #: The ids of the projects; a request for another one gets a 404. By default every project
    #: exists, and only 12345 has images and nodes.
    projects: Collection[str] | None = _rule(_WORDS_OR_ANY, default=None)
    #: The locations; a request for another one gets a 400. By default every location exists, and
    #: only Delhi has images and nodes.
    locations: Collection[str] | None = _rule(_WORDS_OR_ANY, default=None)
    #: Serve ``/api/v1/``, ``/v1/`` and ``/`` as well as ``/myaccount/api/v1/``.
    any_base: bool = _rule(_FLAG, default=False)
    #: Answer 404 to a path that does not end in a slash.
    strict_slash: bool = _rule(_FLAG, default=False)
    #: The HTTP status for methods and bodies of dialects that are not accepted.
    refuse_dialect_with: int = _rule(_STATUS, default=405)
    #: Requests that the rate limit lets in at once after a quiet time, 1 or more. By default it
    #: lets in as many as it allows in a second (in an hour, if there is only a limit per hour).
    burst: float | None = _rule(Knob(_burst, float, "COUNT"), default=None)
    #: Send the 429 as an HTML page, as the vendor's gateway was seen to do.
    throttle_html: bool = _rule(_FLAG, default=False)
    #: Where a 429 of the rate limit has the time to wait: in the header Retry-After, or only in its
    #: text.
    retry_after: str = _rule(_one_of("header", "text"), default="header")
    #: The family of headers that tell what is left of the rate limit: ``ratelimit-*``, with a reset
    #: that is a date in epoch seconds, or ``x-ratelimit-*``, with one in seconds from now.
    rate_limit_headers: str | None = _rule(
        _one_of("ratelimit", "x-ratelimit", optional=True), default=None
    )
    #: Send a Date with every reply.
    send_date: bool = _rule(_FLAG, default=True)
    #: Seconds by which that Date is ahead of the account's clock; below 0, behind it.
    date_offset: float = _rule(Knob(_offset, float, "SECONDS"), default=0.0)
