"""Every setting, as a frozen value that is checked when it is built."""

from __future__ import annotations

import enum
import re
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Never, Self, TypeGuard

import attrs

from aioe2e import _check
from aioe2e._plain import Value
from aioe2e.errors import ConfigError

from .secrecy import QUOTES, SHORTEST_SECRET, described, looks_like_key, looks_like_token

__all__ = ["Credentials", "Dialect", "Limits", "RetryPolicy", "Timeouts"]

_Condition = Callable[[object], bool]
_Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


#: Larger than any count or number of seconds that makes sense.
_HUGE = 10.0**15


def _is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number of a plausible size."""
    return _check.is_number(value) and -_HUGE < value < _HUGE


def _is_0_or_more(value: object) -> bool:
    return _is_number(value) and value >= 0


def _is_above_0(value: object) -> bool:
    return _is_number(value) and value > 0


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _counts_from(least: int) -> _Condition:
    """Whether a value is a whole number of a plausible size, from `least` on."""
    return lambda value: _is_number(value) and _check.is_whole(value, least=least)


def _or_none(holds: _Condition) -> _Condition:
    return lambda value: value is None or holds(value)


def _must_be(expected: str, holds: _Condition) -> _Validator:
    """A validator of a field.

    Args:
        expected: What the value must be, for the text of the error.
        holds: Whether a value is that.
    """

    def check(owner: Any, field: attrs.Attribute[Any], value: Any) -> None:
        if not holds(value):
            raise ConfigError(
                f"{type(owner).__name__}.{field.name} must be {expected}, not {described(value)}"
            )

    return check


def _count(least: int) -> _Validator:
    return _must_be(f"a whole number of {least} or more", _counts_from(least))


_seconds = _must_be("a number of seconds of 0 or more", _is_0_or_more)
_timeout = _must_be("a number of seconds above 0, or None for no limit", _or_none(_is_above_0))
_rate = _must_be("a number of requests above 0, or None for no limit", _or_none(_is_above_0))
_hourly = _must_be("a whole number of 1 or more, or None for no limit", _or_none(_counts_from(1)))
_flag = _must_be("True or False", _is_bool)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Timeouts(Value):
    """How long things may take, in seconds above 0. None means no limit."""

    #: One request and its reply. The time starts when the request gets a slot, so queueing in the
    #: session is not included.
    attempt: float | None = attrs.field(default=30.0, validator=_timeout)
    #: A whole call with its attempts, back-off and pauses. Waiting for the first slot is not
    #: included, so ten thousand calls under one ``gather`` do not time out in the queue.
    total: float | None = attrs.field(default=120.0, validator=_timeout)
    #: Making a connection (DNS, TCP and TLS).
    connect: float | None = attrs.field(default=10.0, validator=_timeout)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RetryPolicy(Value):
    """How often and how soon a failed attempt is repeated.

    Which requests may be repeated at all is not a setting.
    """

    #: Maximum number of requests for one call, the first included; 1 or more. Retries with another
    #: method (405) or a fresh token (401) and checks of the listing are not counted.
    attempts: int = attrs.field(default=4, validator=_count(1))
    #: The longest first back-off, in seconds. Each later back-off may be up to twice as long as the
    #: one before.
    base: float = attrs.field(default=0.5, validator=_seconds)
    #: The longest back-off, in seconds, unless the server's Retry-After asks for more.
    cap: float = attrs.field(default=20.0, validator=_seconds)
    #: The longest Retry-After that a call follows, in seconds. A longer one ends the call at once
    #: with `RateLimitedError`.
    max_retry_after: float = attrs.field(default=120.0, validator=_seconds)
    #: Seconds during which a listing may still be out of date after a change. For that long, a call
    #: whose reply was lost checks the listing for its effect.
    look: float = attrs.field(default=10.0, validator=_seconds)

    @classmethod
    def none(cls) -> Self:
        """Return a policy with one attempt per call and no back-off."""
        return cls(attempts=1)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Limits(Value):
    """The limits of one session, which all its views and bulk runs share."""

    #: Maximum number of requests in flight; 1 or more.
    in_flight: int = attrs.field(default=16, validator=_count(1))
    #: Maximum number of requests started per second; None for no limit.
    per_second: float | None = attrs.field(default=None, validator=_rate)
    #: Maximum number of requests started within any hour; None for no limit. A public client quotes
    #: the vendor's pages: 5,000 an hour for a token. A call that would have to wait longer than its
    #: `Timeouts.total` fails at once with `RateLimitedError`; a bulk run waits.
    per_hour: int | None = attrs.field(default=None, validator=_hourly)
    #: Whether a throttled session slows down by itself. Its in-flight limit halves, then grows by
    #: one after each round (as many successful requests as are allowed in flight). Requests are
    #: paced at the rate that the server was seen to accept.
    adaptive: bool = attrs.field(default=True, validator=_flag)
    #: Maximum size of one listing in bytes, before and after decompression; 1024 or more. Other
    #: replies may have 1 MiB.
    max_body: int = attrs.field(default=16 * 1024 * 1024, validator=_count(1024))
    #: Maximum number of images (or nodes) in one listing; 1 or more. A longer one is refused, and
    #: not read to its end.
    max_elements: int = attrs.field(default=100_000, validator=_count(1))
    #: Size of the retry budget. Each retry uses one, each success restores one; 0 switches retries
    #: off.
    retry_budget: int = attrs.field(default=100, validator=_count(0))


class Dialect(enum.Enum):
    """The HTTP methods with which image actions are sent."""

    #: POST for every action, as in the vendor's save-image document.
    DOCUMENTED = "documented"
    #: PUT for save and rename, DELETE for delete, as the vendor's newer clients send.
    CURRENT = "current"
    #: PUT for every action, as e2e-cli 0.9.30 sends. A delete has a body.
    PUT = "put"
    #: The documented methods first. After HTTP 405, and nothing else, the others in the order
    #: above. The session remembers what worked.
    AUTO = "auto"


#: An async callable that returns a fresh token, for tokens that expire.
TokenSource = Callable[[], Awaitable[str]]


def checked_secret(name: str, value: object, *, is_token: bool) -> str:
    """The secret, trimmed and without ``Bearer ``.

    Raises:
        ConfigError: It cannot be sent in a header, or it is the wrong one of the two. The text does
            not show it.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be a string, not {type(value).__name__}")
    secret = value.strip()
    if is_token:
        secret = _without_bearer(secret)
    problem = _problem_of_secret(secret, is_token=is_token)
    if problem:
        raise ConfigError(f"{name} {problem}")
    return _check.as_str(secret)


def _without_bearer(token: str) -> str:
    first, _, rest = token.partition(" ")
    if first.lower() == "bearer":
        return rest.strip()
    return token


def _problem_of_secret(secret: str, *, is_token: bool) -> str:
    """Why a text cannot be the API key or the token; empty if it can."""
    if len(secret) < SHORTEST_SECRET:
        return f"must have at least {SHORTEST_SECRET} characters; this one has {len(secret)}"
    if not re.fullmatch(r"[!-~]+", secret):
        return "must be printable ASCII without spaces (was a line break or a quote copied along?)"
    if QUOTES & {secret[0], secret[-1]}:
        return "begins or ends with a quotation mark: leave quotation marks out"
    if looks_like_token(secret) and not is_token:
        return "has the form of an auth token: are the API key and the token swapped?"
    return ""


@attrs.frozen(kw_only=True, eq=False, repr=False, init=False)
class Credentials(Value):
    """The API key and the auth token, which every request carries.

    They are never shown, and cannot be pickled.

    Args:
        api_key: The API key of MyAccount; 6 or more printable ASCII characters.
        auth_token: The auth token, with or without the word ``Bearer`` before it; or an async
            callable that returns one. The callable is awaited before the first request and again
            after a 401.
        key_in: Where requests carry the API key: in the ``"query"``, as in the vendor's documents,
            or in a ``"header"`` (``X-API-Key``, as in one of the vendor's samples), which keeps it
            out of the logs of proxies.

    Raises:
        ConfigError: A secret is empty, too short, in quotation marks, or cannot be sent in a
            header; or the two are swapped. The text never shows them.
    """

    # Left out of the repr, also for pretty-printers that read the fields of attrs.
    #: The API key.
    api_key: str = attrs.field(repr=False)
    #: The auth token, or the callable that returns one.
    auth_token: str | TokenSource = attrs.field(repr=False)
    #: Where requests carry the API key.
    key_in: Literal["query", "header"] = attrs.field()

    def __init__(
        self,
        *,
        api_key: str,
        auth_token: str | TokenSource,
        key_in: Literal["query", "header"] = "query",
    ) -> None:
        problem = ""
        try:
            api_key = checked_secret("Credentials.api_key", api_key, is_token=False)
            if not callable(auth_token):
                auth_token = checked_secret("Credentials.auth_token", auth_token, is_token=True)
                if looks_like_key(auth_token) and not looks_like_key(api_key):
                    raise ConfigError(
                        "the auth token has the form of an API key, and the API key does not:"
                        " are the two swapped?"
                    )
            if key_in not in ("query", "header"):
                raise ConfigError(
                    f"Credentials.key_in must be 'query' or 'header', not {described(key_in)}"
                )
        except ConfigError as error:
            problem = str(error)
        if problem:
            # The traceback of the error keeps the variables of this frame.
            del api_key, auth_token, key_in
            raise ConfigError(problem)
        # pyright does not know what attrs makes where `init=False`.
        self.__attrs_init__(  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]
            api_key=api_key, auth_token=auth_token, key_in=key_in
        )

    def __repr__(self) -> str:
        return "Credentials(api_key=[hidden], auth_token=[hidden])"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> Never:
        raise TypeError("Credentials are not pickled: read them again where they are needed")
