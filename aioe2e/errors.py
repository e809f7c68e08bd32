"""Every error the library raises, as one tree under `E2EError`.

An error is made for the person who reads it: what was tried, on what, what the server said, what to
do next. All of them survive `pickle` and `copy`, and none of them holds a credential or a URL with
a query: text from a server passes through `aioe2e._text` first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar, cast

__all__ = [
    "APIError",
    "AmbiguousNameError",
    "AttemptTimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "ConfigError",
    "ConflictError",
    "ConnectError",
    "ConnectionLostError",
    "DeadlineExceededError",
    "E2EError",
    "GuardError",
    "ImageFailedError",
    "NodeFailedError",
    "NotFoundError",
    "OutcomeUnknownError",
    "PermissionDeniedError",
    "RateLimitedError",
    "ResponseError",
    "ServerError",
    "SessionError",
    "SkippedError",
    "TransportError",
    "UsageError",
    "WaitTimeoutError",
]


#: For replies of which no header was kept.
_NO_HEADERS: Final[Mapping[str, str]] = {}


def _rebuild(cls: type[E2EError], args: tuple[Any, ...], state: dict[str, Any]) -> E2EError:
    """Make an error as it was, without running its ``__init__``."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class E2EError(Exception):
    """Base of every error of this library: ``except aioe2e.E2EError`` catches them all.

    Its text says what was tried, a colon, and why it failed.

    Attributes:
        subject: What was tried, such as ``rename of image 2292``; empty where the text says it
            otherwise.
        attempts: How many requests had been sent for the call when it ended.
    """

    subject: str = ""
    attempts: int = 0

    def __init__(self, message: str, *, subject: str = "", attempts: int = 0) -> None:
        super().__init__(f"{subject}: {message}" if subject else message)
        self.subject = subject
        self.attempts = attempts

    @property
    def detail(self) -> str:
        """The text without the subject: why it failed."""
        text = str(self.args[0])
        if not self.subject:
            return text
        return text[len(self.subject) + len(": ") :]

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


_E = TypeVar("_E", bound=E2EError)


def extended(error: _E, note: str, *, subject: str = "", **attributes: object) -> _E:
    """The same error, made anew with more in its text.

    The new one has no traceback, cause or context: it is raised where more is known.

    Args:
        error: The error; it is left as it is.
        note: Put behind its text as it is.
        subject: What was tried, for an error that does not say it yet.
        attributes: Attributes that have another value.
    """
    first, *others = error.args
    text = f"{first}{note}"
    state = {**error.__dict__, **attributes}
    if subject:
        text = f"{subject}: {text}"
        state["subject"] = subject
    return cast("_E", _rebuild(type(error), (text, *others), state))


class ConfigError(E2EError, ValueError):
    """A setting has a value that cannot work.

    The text names the field, the value and what would be right.
    """


class UsageError(E2EError, ValueError):
    """An argument cannot be sent. Raised before any request.

    Attributes:
        problems: Every fault that was found, one sentence each; a single fault gives a tuple of
            one.
    """

    problems: tuple[str, ...] = ()

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems) or (message,)


class SessionError(E2EError, RuntimeError):
    """The session cannot be used like this.

    It is closed, bound to another event loop, or was carried into a forked child.
    """


class TransportError(E2EError):
    """No reply was read.

    Attributes:
        sent: False when the request did not leave, so that the server cannot have acted on it.
    """

    sent: bool = True

    def __init__(self, message: str, *, sent: bool, subject: str = "", attempts: int = 0) -> None:
        super().__init__(message, subject=subject, attempts=attempts)
        self.sent = sent


class ConnectError(TransportError):
    """No connection could be made: DNS, refused, TLS, or the connect timeout. Nothing was sent.

    Attributes:
        reason: Why, without the words on what was tried.
        proxy_status: The HTTP status with which a proxy refused, such as 407 or 502; None if it
            was no proxy.
    """

    reason: str = ""
    proxy_status: int | None = None

    def __init__(
        self,
        message: str,
        *,
        sent: bool,
        subject: str = "",
        attempts: int = 0,
        reason: str = "",
        proxy_status: int | None = None,
    ) -> None:
        super().__init__(message, sent=sent, subject=subject, attempts=attempts)
        self.reason = reason
        self.proxy_status = proxy_status


class ConnectionLostError(TransportError):
    """The connection broke, or what came back was not HTTP."""


class AttemptTimeoutError(TransportError, TimeoutError):
    """One attempt took longer than `Timeouts.attempt`."""


class OutcomeUnknownError(E2EError):
    """A write was sent, and it is not known whether the server carried it out.

    Never answer it with a blind repeat of a save: list the images, or call `Images.reconcile`.

    Attributes:
        action: ``"rename"``, ``"delete"``, ``"save"`` or ``"request"``.
        target: The id of the image (of the node for a save, the path for a plain request).
        last: The error that ended the last attempt.
        looked: Whether listings were read for as long as `RetryPolicy.look` says, and proved
            nothing.
    """

    looked: bool = False

    def __init__(
        self,
        message: str,
        *,
        action: str,
        target: str,
        subject: str = "",
        attempts: int = 0,
        last: E2EError | None = None,
        looked: bool = False,
    ) -> None:
        super().__init__(message, subject=subject, attempts=attempts)
        self.action = action
        self.target = target
        self.last = last
        self.looked = looked


class DeadlineExceededError(E2EError, TimeoutError):
    """The time for the whole call is over, and nothing was applied.

    It is that of `Timeouts.total`, or the deadline of a run.

    Attributes:
        last: The error of the last attempt, if there was one.
    """

    def __init__(
        self, message: str, *, subject: str = "", attempts: int = 0, last: E2EError | None = None
    ) -> None:
        super().__init__(message, subject=subject, attempts=attempts)
        self.last = last


class APIError(E2EError):
    """The server refused the request.

    Attributes:
        status: The HTTP status, or the envelope's own code where HTTP said 2xx and the envelope did
            not.
        code: The ``code`` or ``status_code`` of the envelope, where there was one.
        message: What the server said, redacted, escaped and shortened to 500 characters.
        errors: The ``errors`` of the envelope, flattened to redacted sentences.
        retry_after: Seconds the server asked to wait, where it did.
        action: What was tried: ``"list"``, ``"get"``, ``"wait"``, ``"save"``, ``"rename"``,
            ``"delete"`` or ``"request"``.
        passing: Whether the server said that the refusal passes by itself ("try again later"), so
            that the same request is worth sending again in a while.
        headers: Headers of the reply by lower-case name: its date, its request id, Retry-After and
            the rate limit, as far as they were there.
    """

    passing: bool = False
    headers: Mapping[str, str] = _NO_HEADERS

    def __init__(
        self,
        text: str,
        *,
        status: int,
        code: int | None = None,
        message: str = "",
        errors: Sequence[str] = (),
        retry_after: float | None = None,
        action: str = "",
        subject: str = "",
        attempts: int = 0,
        passing: bool = False,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> None:
        super().__init__(text, subject=subject, attempts=attempts)
        self.status = status
        self.code = code
        self.message = message
        self.errors: tuple[str, ...] = tuple(errors)
        self.retry_after = retry_after
        self.action = action
        self.passing = passing
        self.headers = dict(headers)

    @property
    def request_id(self) -> str | None:
        """The id that the server gave the request, for its support; None if it gave none."""
        return self.headers.get("x-request-id")


class BadRequestError(APIError):
    """400 or 422: the server did not accept what was sent."""


class AuthenticationError(APIError):
    """401, or a 403 that speaks of credentials: check the api key and the token."""


class PermissionDeniedError(APIError):
    """403: the token is good and may not do this (a read-only token, for one)."""


class NotFoundError(APIError):
    """404 or 410, or a 412 that says so: no such image, node or project.

    Attributes:
        confirmed: Whether a readable listing does not show the image either; never of a node or a
            project.
    """

    confirmed: bool = False


class ConflictError(APIError):
    """409, or a 412 that says so: the name is taken or the image is in use."""


class RateLimitedError(APIError):
    """429: too many requests. `retry_after` says how long the server wants to be left alone."""


class ServerError(APIError):
    """500 and above."""


class ResponseError(E2EError):
    """The reply could not be read: not JSON, too large, cut off, or not of the documented shape.

    Attributes:
        problems: What is wrong and where, each with its JSON path (``$.data[3].image_id``).
        headers: Headers of the reply, as for `APIError`; empty where there was no whole reply.
    """

    problems: tuple[str, ...] = ()
    headers: Mapping[str, str] = _NO_HEADERS

    def __init__(
        self,
        message: str,
        *,
        problems: Sequence[str] = (),
        subject: str = "",
        attempts: int = 0,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> None:
        super().__init__(message, subject=subject, attempts=attempts)
        self.problems = tuple(problems) or (message,)
        self.headers = dict(headers)

    @property
    def request_id(self) -> str | None:
        """The id that the server gave the request, for its support; None if it gave none."""
        return self.headers.get("x-request-id")


class ImageFailedError(E2EError):
    """An image that was waited for cannot come to that state any more: it turned ERROR, for one.

    Attributes:
        image_id: The image.
    """

    def __init__(self, message: str, *, image_id: str) -> None:
        super().__init__(message)
        self.image_id = image_id


class AmbiguousNameError(E2EError):
    """Several images may be meant by a name.

    Attributes:
        image_ids: Their ids.
    """

    image_ids: tuple[str, ...] = ()

    def __init__(self, message: str, *, image_ids: Sequence[str]) -> None:
        super().__init__(message)
        self.image_ids = tuple(image_ids)


class NodeFailedError(E2EError):
    """A node that was waited for went to the state FAILED.

    Attributes:
        node_id: The node.
    """

    def __init__(self, message: str, *, node_id: str) -> None:
        super().__init__(message)
        self.node_id = node_id


class WaitTimeoutError(E2EError, TimeoutError):
    """An image or a node did not reach the state that was waited for in time.

    The server goes on working at it.
    """


class GuardError(E2EError):
    """The guard did not let a write begin: another process writes, or the guard does not work.

    Nothing was sent, so the call may be repeated. In a run, the step is SKIPPED.
    """


class SkippedError(E2EError):
    """A step of a run was not carried out.

    Attributes:
        reason: Why, in a sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"not carried out: {reason}")
        self.reason = reason


#: Below 500: the server waited too long for the request, or throttled it.
_PASSING_STATUSES = frozenset({408, 429})


def is_passing(error: E2EError | None) -> bool:
    """Whether what ended a step is a fault that passes, so that the step is worth running again.

    Refusals (a name taken, a bad id, no permission) are for good, unless their text says that they
    pass; lost connections, throttles, server errors, unreadable replies and deadlines pass; so does
    a `ConfigError`, which a call raises only where the callable that gives the token failed.
    """
    if isinstance(error, APIError):
        return error.passing or error.status in _PASSING_STATUSES or error.status >= 500
    return isinstance(
        error,
        TransportError | ResponseError | DeadlineExceededError | OutcomeUnknownError | ConfigError,
    )
