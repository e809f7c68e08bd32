"""All errors that the library raises, as one tree under `E2EError`.

Each text states what was tried, on what, what the server replied, and what to do next. All errors
survive pickling and copying. None of them contains a credential or a URL with a query.
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
    """The base class of all errors of this library.

    ``except aioe2e.E2EError`` catches them all. The text is what was tried, a colon, and why it
    failed.

    Attributes:
        subject: What was tried, such as ``rename of image 2292``; empty if the text has another
            form.
        attempts: The number of requests that were sent for the call.
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
    """A setting is invalid.

    The text names the setting, the value and what would be valid.
    """


class UsageError(E2EError, ValueError):
    """An argument is invalid. Raised before any request.

    Attributes:
        problems: All problems that were found, one sentence each.
    """

    problems: tuple[str, ...] = ()

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems) or (message,)


class SessionError(E2EError, RuntimeError):
    """The session cannot be used: it is closed, or belongs to another event loop or process.

    A session belongs to the event loop of its first request, and cannot be used in a forked child.
    """


class TransportError(E2EError):
    """The request failed before a reply was read.

    Attributes:
        sent: Whether the request may have left. If it is False, the server cannot have acted on it.
    """

    sent: bool = True

    def __init__(self, message: str, *, sent: bool, subject: str = "", attempts: int = 0) -> None:
        super().__init__(message, subject=subject, attempts=attempts)
        self.sent = sent


class ConnectError(TransportError):
    """No connection could be made (DNS, refused, TLS, or the connect timeout). Nothing was sent.

    Attributes:
        reason: Why it failed, without what was tried.
        proxy_status: The HTTP status with which a proxy refused, such as 407 or 502; None if no
            proxy did.
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
    """The connection broke, or the reply was not HTTP."""


class AttemptTimeoutError(TransportError, TimeoutError):
    """One attempt took longer than `Timeouts.attempt`."""


class OutcomeUnknownError(E2EError):
    """A change was sent, and it is unknown whether the server carried it out.

    Do not repeat a save: list the images, or call `Images.reconcile`. A rename can be repeated, and
    so can a delete with ``missing_ok=True``.

    Attributes:
        action: ``"rename"``, ``"delete"``, ``"save"`` or ``"request"``.
        target: The id of the image, of the node for a save, or the path for `Session.request`.
        last: The error of the last attempt; None if there was none.
        looked: Whether the listing was checked for the time of `RetryPolicy.look` and proved
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

    The time is that of `Timeouts.total`, or the deadline of a run.

    Attributes:
        last: The error of the last attempt; None if there was none.
    """

    def __init__(
        self, message: str, *, subject: str = "", attempts: int = 0, last: E2EError | None = None
    ) -> None:
        super().__init__(message, subject=subject, attempts=attempts)
        self.last = last


class APIError(E2EError):
    """The server refused the request.

    Attributes:
        status: The HTTP status, or the envelope's own code if the HTTP status was 2xx and the
            envelope's was not.
        code: The ``code`` or ``status_code`` of the envelope; None if there was none.
        message: The server's message, redacted, escaped and shortened to 500 characters.
        errors: The ``errors`` of the envelope, as redacted sentences.
        retry_after: Seconds that the server asked to wait; None if it did not.
        action: ``"list"``, ``"get"``, ``"wait"``, ``"save"``, ``"rename"``, ``"delete"`` or
            ``"request"``.
        passing: Whether the server reported a temporary refusal ("try again later"), so that the
            same request may succeed later.
        headers: Some headers of the reply by lower-case name: the date, the request id, Retry-After
            and the rate limit.
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
    """The server did not accept the input (HTTP 400 or 422)."""


class AuthenticationError(APIError):
    """The API key or auth token was refused (HTTP 401, or a 403 that mentions credentials)."""


class PermissionDeniedError(APIError):
    """The auth token is valid but does not allow this, for example a read-only one (HTTP 403)."""


class NotFoundError(APIError):
    """The image, node or project does not exist (HTTP 404 or 410; 412 if its text says so).

    Attributes:
        confirmed: Whether a listing does not show the image either. Always False for a node or a
            project.
    """

    confirmed: bool = False


class ConflictError(APIError):
    """The name is taken or the image is in use (HTTP 409, or a 412 with that meaning)."""


class RateLimitedError(APIError):
    """Too many requests were sent (HTTP 429), or the call would have to wait for too long.

    ``retry_after`` is how many seconds to wait.
    """


class ServerError(APIError):
    """The server failed (HTTP 5xx)."""


class ResponseError(E2EError):
    """The reply could not be read: it is not JSON, too large, cut off, or has another shape.

    Attributes:
        problems: What is wrong and where, each with its JSON path (``$.data[3].image_id``).
        headers: Some headers of the reply, as for `APIError`; empty if there was no whole reply.
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
    """An image can no longer reach the state that a wait is for, for example because it is ERROR.

    Attributes:
        image_id: The id of the image.
    """

    def __init__(self, message: str, *, image_id: str) -> None:
        super().__init__(message)
        self.image_id = image_id


class AmbiguousNameError(E2EError):
    """A name matches several images.

    Attributes:
        image_ids: The ids of the images.
    """

    image_ids: tuple[str, ...] = ()

    def __init__(self, message: str, *, image_ids: Sequence[str]) -> None:
        super().__init__(message)
        self.image_ids = tuple(image_ids)


class NodeFailedError(E2EError):
    """A node became FAILED during a wait.

    Attributes:
        node_id: The id of the node.
    """

    def __init__(self, message: str, *, node_id: str) -> None:
        super().__init__(message)
        self.node_id = node_id


class WaitTimeoutError(E2EError, TimeoutError):
    """An image or a node did not reach the state that a wait is for in time.

    The server may still finish the operation.
    """


class GuardError(E2EError):
    """The guard did not allow a change: another process is changing the image, or the guard failed.

    Nothing was sent, so the call may be repeated. In a run, the step is SKIPPED.
    """


class SkippedError(E2EError):
    """A step of a run was not sent, because the run ended or a step that it depends on failed.

    Attributes:
        reason: The reason, as a sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"not carried out: {reason}")
        self.reason = reason


#: The statuses below 500 of transient errors: the server waited too long for the request, or
#: throttled it. One that proves that a write was not carried out is also in `STATUS_FATES` of
#: `aioe2e._wire`.
TRANSIENT_STATUSES: Final = frozenset({408, 429})


def is_transient_status(status: int) -> bool:
    """Return whether a request that was answered with it may succeed a little later."""
    return status in TRANSIENT_STATUSES or status >= 500


def is_passing(error: E2EError | None) -> bool:
    """Return whether an error is transient, so that the step is worth running again.

    Refusals (a name is taken, an id is wrong, permission is missing) are not, unless the server
    reported them as temporary. Lost connections, throttles, server errors, unreadable replies and
    deadlines are. So is a `ConfigError`, which a call raises only if a callable that gives the auth
    token, or a limiter, failed.
    """
    if isinstance(error, APIError):
        return error.passing or is_transient_status(error.status)
    return isinstance(
        error,
        TransportError | ResponseError | DeadlineExceededError | OutcomeUnknownError | ConfigError,
    )
