"""Every setting, as a frozen value that is checked when it is built."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Never, Self, TypeGuard

import attrs

from aioe2e import _check
from aioe2e._plain import Value
from aioe2e.errors import ConfigError

from .secrecy import QUOTES, SHORTEST_SECRET, described, looks_like_key, looks_like_token

__all__ = ["Credentials", "Dialect", "Limits", "RetryPolicy", "Timeouts"]

_Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


#: No count and no number of seconds that is meant comes near it.
_HUGE = 10.0**15


def _is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number of a size that can be meant."""
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float) and -_HUGE < value < _HUGE


def _seconds(owner: Any, field: attrs.Attribute[Any], value: Any) -> None:
    """A time in seconds: a finite number from 0 on."""
    if not _is_number(value) or value < 0:
        _refuse(owner, field, value, "a number of seconds of 0 or more")


def _clock(owner: Any, field: attrs.Attribute[Any], value: Any) -> None:
    """How long something may take, in seconds: a finite number above 0, or None."""
    if value is None:
        return
    if not _is_number(value) or value <= 0:
        _refuse(owner, field, value, "a number of seconds above 0, or None for no limit")


def _count(*, least: int) -> _Validator:
    """A validator for a whole number from `least` on."""

    def check(owner: Any, field: attrs.Attribute[Any], value: Any) -> None:
        if not _is_number(value) or not isinstance(value, int) or value < least:
            _refuse(owner, field, value, f"a whole number of {least} or more")

    return check


def _refuse(owner: Any, field: attrs.Attribute[Any], value: object, expected: str) -> Never:
    raise ConfigError(
        f"{type(owner).__name__}.{field.name} must be {expected}, not {described(value)}"
    )


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Timeouts(Value):
    """How long things may take, in seconds; None means no limit."""

    #: One request and its reply. The clock starts once the session gives the request a slot.
    attempt: float | None = attrs.field(default=30.0, validator=_clock)
    #: A whole call from its first slot on: attempts, back-off and pauses together. Waiting for the
    #: first slot is not counted, so ten thousand calls under one ``gather`` do not time out in the
    #: queue.
    total: float | None = attrs.field(default=120.0, validator=_clock)
    #: Making a connection (DNS, TCP and TLS).
    connect: float | None = attrs.field(default=10.0, validator=_clock)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RetryPolicy(Value):
    """How often and how soon a failed attempt is made again.

    What may be repeated at all is not a setting.
    """

    #: Requests for one call at the most, the first included; 1 or more. The other method after a
    #: 405, a second token after a 401, and looks do not count.
    attempts: int = attrs.field(default=4, validator=_count(least=1))
    #: The first back-off lasts up to this many seconds, each later one up to twice the one before.
    base: float = attrs.field(default=0.5, validator=_seconds)
    #: No back-off is longer than this many seconds, unless the server's Retry-After asks for it.
    cap: float = attrs.field(default=20.0, validator=_seconds)
    #: A longer Retry-After (in seconds) ends the call at once with `RateLimitedError`.
    max_retry_after: float = attrs.field(default=120.0, validator=_seconds)
    #: How long (in seconds) a write whose reply was lost is looked for in listings that do not show
    #: it, by how much a listing may be late and still be believed, and how long after a lost reply
    #: its request may still take effect. On this API an old status was seen for 5 to 10 seconds
    #: after a write that had been acknowledged (the notes of a public client). A listing that fails
    #: is asked for again on top of that, a few times, within `Timeouts.total`.
    look: float = attrs.field(default=10.0, validator=_seconds)

    @classmethod
    def none(cls) -> Self:
        """One attempt a call, no back-off."""
        return cls(attempts=1)


def _rate(owner: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and (not _is_number(value) or value <= 0):
        _refuse(owner, field, value, "a number of requests above 0, or None for no limit")


def _hourly(owner: Any, field: attrs.Attribute[Any], value: Any) -> None:
    is_count = isinstance(value, int) and _is_number(value) and value >= 1
    if value is not None and not is_count:
        _refuse(owner, field, value, "a whole number of 1 or more, or None for no limit")


def _flag(owner: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, bool):
        _refuse(owner, field, value, "True or False")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Limits(Value):
    """What one session may use. Shared by all its views and bulk runs."""

    #: Requests in flight at the same time; 1 or more.
    in_flight: int = attrs.field(default=16, validator=_count(least=1))
    #: Requests started in a second at the most; None for no limit.
    per_second: float | None = attrs.field(default=None, validator=_rate)
    #: Requests started within any hour at the most; None for no limit. The vendor documents 5,000
    #: an hour for a token. A call that would have to wait longer than its `Timeouts.total` for its
    #: turn fails at once with `RateLimitedError`; a bulk run waits.
    per_hour: int | None = attrs.field(default=None, validator=_hourly)
    #: Whether a throttled session goes slower by itself: its in-flight limit halves, grows again by
    #: one after each clean round, and requests are paced at the rate that the server was seen to
    #: bear.
    adaptive: bool = attrs.field(default=True, validator=_flag)
    #: Bytes of one listing, counted before and after decompression; 1024 or more. Other replies may
    #: have 1 MiB.
    max_body: int = attrs.field(default=16 * 1024 * 1024, validator=_count(least=1024))
    #: Images (or nodes) of one listing; 1 or more. A longer one is refused, and not read to its
    #: end.
    max_elements: int = attrs.field(default=100_000, validator=_count(least=1))
    #: Retries that may be open: a retry takes one, a success gives one back. 0 switches retries
    #: off.
    retry_budget: int = attrs.field(default=100, validator=_count(least=0))


class Dialect(enum.Enum):
    """With which HTTP methods image actions are sent."""

    #: POST for every action, as the vendor's save-image document says.
    DOCUMENTED = "documented"
    #: PUT for save and rename, DELETE for delete, as the vendor's newer clients send.
    CURRENT = "current"
    #: PUT for every action, for a delete with a body, as e2e-cli 0.9.30 sends.
    PUT = "put"
    #: The documented one first; on HTTP 405 and nothing else the next one in the order above, which
    #: is then remembered for the session.
    AUTO = "auto"


#: An async callable that returns a fresh token, for tokens that expire.
TokenSource = Callable[[], Awaitable[str]]


def checked_secret(name: str, value: object, *, is_token: bool) -> str:
    """The secret, trimmed and without ``Bearer ``.

    Raises:
        ConfigError: It cannot stand in a header, or it is not what it should be. The text does not
            show it.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be a string, not {type(value).__name__}")
    secret = value.strip()
    if is_token and secret.lower().partition(" ")[0] == "bearer":
        secret = secret[6:].strip()
    problem = _problem_of_secret(secret)
    if not problem and not is_token and looks_like_token(secret):
        problem = "has the form of an auth token: are the api key and the token swapped?"
    if problem:
        raise ConfigError(f"{name} {problem}")
    return _check.as_str(secret)


def _problem_of_secret(secret: str) -> str:
    """Why a text cannot be a secret that stands in a header; empty if it can."""
    if len(secret) < SHORTEST_SECRET:
        return f"must have at least {SHORTEST_SECRET} characters; this one has {len(secret)}"
    is_plain = secret.isascii() and secret.isprintable()
    if not is_plain or " " in secret:
        return "must be printable ASCII without spaces (a line break or a quote copied along?)"
    if secret[0] in QUOTES or secret[-1] in QUOTES:
        return "begins or ends with a quotation mark: leave quotation marks out"
    return ""


@attrs.frozen(kw_only=True, eq=False, repr=False, init=False)
class Credentials(Value):
    """The two secrets that every request carries. They are shown nowhere and refuse to be pickled.

    Args:
        api_key: The api key of MyAccount; 6 or more printable ASCII characters.
        auth_token: The auth token, with or without the word ``Bearer`` before it; or an async
            callable that returns one. The callable is awaited before the first request and once
            more after a 401.
        key_in: Where requests carry the api key: in the ``"query"``, as the vendor's documents say,
            or in a ``"header"`` (``X-API-Key``, as one of the vendor's samples shows), which keeps
            it out of the logs of proxies.

    Raises:
        ConfigError: A secret is empty, too short, in quotation marks, or cannot stand in a header;
            or the two are swapped. The text never shows them.
    """

    # Without a repr, so that a printer that knows attrs shows neither.
    api_key: str = attrs.field(repr=False)
    auth_token: str | TokenSource = attrs.field(repr=False)
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
                        "Credentials.auth_token has the form of an api key, and api_key has not:"
                        " are the two swapped?"
                    )
            if key_in not in ("query", "header"):
                raise ConfigError(
                    f"Credentials.key_in must be 'query' or 'header', not {described(key_in)}"
                )
        except ConfigError as error:
            problem = str(error)
        if problem:
            # The traceback of the error keeps the arguments of this frame.
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
