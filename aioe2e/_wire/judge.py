"""What a reply means, as a value: it becomes a `Verdict`. No I/O, no loop.

`judge` is the one place that says so. What is known about replies, and where from:

- The envelope ``{"code", "data", "errors", "message"}`` and its many deviations: the vendor's
  clients and their tests.
- An HTML page instead of JSON may come back although the write was carried out; that was seen on
  the live API.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from aioe2e._actions import Repeatability
from aioe2e._text import Redactor
from aioe2e.errors import E2EError, ResponseError, extended, is_transient_status

from .envelope import (
    envelope_codes,
    flatten,
    greeting,
    is_paged,
    is_plain_success,
    oddity,
    paging,
    says_failure,
    spoken,
)
from .json import Unreadable, is_array, is_object
from .refusal import means_missing, refusal
from .request import Request, describe
from .throttle import seconds_in_body, server_time


class Fate(enum.Enum):
    """What an attempt proves about the server's state."""

    DONE = "done"
    REFUSED = "refused"
    WAIT = "wait"  # refused for now: throttled
    NOT_SENT = "not sent"
    MAYBE = "maybe"  # it may have been carried out, or not


#: What a status of a transient error proves, if that is more than MAYBE. Which statuses are
#: transient is said in `aioe2e.errors`.
STATUS_FATES: Final[Mapping[int, Fate]] = {429: Fate.WAIT}


def fate_of(status: int) -> Fate | None:
    """What a status says, HTTP's own or the envelope's; None if it is none that says no."""
    if status < 400:
        return None
    if not is_transient_status(status):
        return Fate.REFUSED
    return STATUS_FATES.get(status, Fate.MAYBE)


# Plain classes: attrs would build each of them for longer than the rest of this module takes.


class RawReply:
    """A reply as it was read: nothing in it is believed yet."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, tuple[str, ...]], body: bytes) -> None:
        self.status: int = status
        #: Values of the headers that anything reads, by lower-case name.
        self.headers: Mapping[str, tuple[str, ...]] = headers
        self.body: bytes = body


class Verdict:
    """What one attempt came to."""

    __slots__ = (
        "data",
        "date",
        "error",
        "fate",
        "http_status",
        "message",
        "missing",
        "pages",
        "partial",
        "retry_after",
        "total",
    )

    def __init__(
        self,
        fate: Fate,
        http_status: int | None = None,
        data: Any = None,
        message: str = "",
        error: E2EError | None = None,
        *,
        retry_after: float | None = None,
        missing: bool = False,
        partial: bool = False,
        total: int | None = None,
        pages: int | None = None,
        date: datetime | None = None,
    ) -> None:
        self.fate: Fate = fate
        #: The HTTP status; None when there was no reply.
        self.http_status: int | None = http_status
        self.data: Any = data
        self.message: str = message
        #: Why it is no success; None exactly where the fate is DONE.
        self.error: E2EError | None = error
        #: Seconds that the server asked for, where it did.
        self.retry_after: float | None = retry_after
        #: The refusal says that the image itself does not exist.
        self.missing: bool = missing
        #: The listing may be incomplete: absence from it proves nothing.
        self.partial: bool = partial
        #: Of a listing: how many elements and pages there are, where the envelope says it.
        self.total: int | None = total
        self.pages: int | None = pages
        #: Of a listing: the server's clock at the reply; None if it did not say.
        self.date: datetime | None = date


def judge_failure(request: Request, error: E2EError, *, sent: bool) -> Verdict:
    """The verdict on an attempt that got no reply: what was never sent was never carried out."""
    fate = Fate.MAYBE if sent else Fate.NOT_SENT
    return Verdict(fate, error=extended(error, "", subject=describe(request)))


def judge(
    request: Request, reply: RawReply, content: Any, redactor: Redactor, retry_after: float | None
) -> Verdict:
    """The verdict on a reply.

    Args:
        request: What was asked.
        reply: What came back.
        content: The body as JSON, or an `Unreadable`.
        redactor: Takes secrets out of what the server said.
        retry_after: Seconds to wait, as the headers say; see `seconds_in_headers`.
    """
    status = reply.status
    if status == HTTPStatus.OK and is_plain_success(content):
        return _accepted(request, reply, content, redactor)
    if status < 200:
        return _unreadable(request, reply, redactor, "no final status")
    if 300 <= status < 400:
        return _refused(Fate.REFUSED, request, reply, content, redactor, retry_after)
    if isinstance(content, Unreadable):
        return _judge_unreadable(request, reply, content, redactor, retry_after)
    fate = fate_of(telling_status(status, content))
    if fate is not None:
        return _refused(fate, request, reply, content, redactor, retry_after)
    if says_failure(content):
        return _refused(Fate.REFUSED, request, reply, content, redactor, retry_after)
    # In a reply to any other request, a `status` may be that of anything.
    of_image = request.lists or request.route != ""
    if problem := oddity(content, of_image=of_image):
        return _unreadable(request, reply, redactor, problem)
    return _accepted(request, reply, content, redactor)


def _judge_unreadable(
    request: Request,
    reply: RawReply,
    content: Unreadable,
    redactor: Redactor,
    retry_after: float | None,
) -> Verdict:
    """The verdict on a reply that is no JSON.

    Only JSON comes from the API itself. Anything else comes from something in front of it, which
    may have cut in late: so even a 429 does not say that nothing was carried out.
    """
    status = reply.status
    if content.html:
        # A 405 names no request that was carried out, whatever answers with it.
        fate = Fate.REFUSED if status == HTTPStatus.METHOD_NOT_ALLOWED else Fate.MAYBE
        page = _page_error(request, reply, redactor, retry_after)
        return Verdict(fate, status, error=page, retry_after=retry_after)
    said = fate_of(status)
    if said is Fate.WAIT:
        said = Fate.MAYBE
    if said is not None:
        return _refused(said, request, reply, content, redactor, retry_after)
    needs_no_body = request.method == "HEAD" or status == HTTPStatus.NO_CONTENT
    if not reply.body and needs_no_body and not request.lists:
        return Verdict(Fate.DONE, status)
    return _unreadable(request, reply, redactor, content.reason)


def telling_status(status: int, content: Any) -> int:
    """Of HTTP's status and the envelope's codes the one that proves least.

    Where they prove the same, HTTP's own counts.
    """
    candidates = (status, *envelope_codes(content))
    return max(candidates, key=lambda said: (_SEVERITY[fate_of(said)], said == status))


#: How little a fate proves.
_SEVERITY: Mapping[Fate | None, int] = {
    None: 0,
    Fate.REFUSED: 1,
    Fate.WAIT: 2,
    Fate.MAYBE: 3,
}


def _accepted(request: Request, reply: RawReply, content: Any, redactor: Redactor) -> Verdict:
    """The verdict on a 2xx in which nothing says failure: is it what was asked for?"""
    status = reply.status
    if request.lists:
        return _listed(request, reply, content, redactor)
    is_read = request.repeat is Repeatability.READ
    if not is_object(content):
        if is_read:
            return Verdict(Fate.DONE, status, content)
        found = type(content).__name__
        return _unreadable(request, reply, redactor, f"$: an object was expected, not {found}")
    if not _is_envelope(content):
        if is_read and content:
            return Verdict(Fate.DONE, status, content)
        return _unreadable(request, reply, redactor, "$: neither code, data nor message")
    data = content.get("data")
    if request.target_key and _names_another(request, data):
        problem = f"$.data.{request.target_key}: not what was asked for"
        return _unreadable(request, reply, redactor, problem)
    message = redactor.clean(spoken(content) or greeting(content))
    return Verdict(Fate.DONE, status, data, message)


def _is_envelope(content: Mapping[str, Any]) -> bool:
    return "data" in content or "message" in content or bool(envelope_codes(content))


def _names_another(request: Request, data: Any) -> bool:
    """Whether a reply is about something else than the request's target."""
    named = data.get(request.target_key) if is_object(data) else None
    is_id = isinstance(named, str | int) and not isinstance(named, bool)
    return is_id and str(named).strip() not in ("", request.target)


def _listed(request: Request, reply: RawReply, content: Any, redactor: Redactor) -> Verdict:
    """The verdict on a 2xx that answers a listing."""
    status = reply.status
    expected = "a list was expected in an object's data"
    if not is_object(content):
        return _unreadable(request, reply, redactor, f"$: {expected}")
    data = content.get("data")
    if not is_array(data):
        return _unreadable(request, reply, redactor, f"$.data: {expected}")
    is_partial = status != HTTPStatus.OK or is_paged(content)
    total, pages = paging(content)
    date = server_time(reply.headers)
    return Verdict(Fate.DONE, status, data, partial=is_partial, total=total, pages=pages, date=date)


def _unreadable(request: Request, reply: RawReply, redactor: Redactor, problem: str) -> Verdict:
    error = ResponseError(
        f"unreadable reply (HTTP {reply.status}): {problem}",
        subject=describe(request),
        problems=[problem],
        headers=told_headers(reply, redactor),
    )
    return Verdict(Fate.MAYBE, reply.status, error=error)


def _page_error(
    request: Request, reply: RawReply, redactor: Redactor, retry_after: float | None
) -> E2EError:
    """The error for an HTML page: that of its status, or "unreadable" where that is a success."""
    headers = told_headers(reply, redactor)
    if reply.status < 400:
        text = f"an HTML page instead of JSON (HTTP {reply.status})"
        return ResponseError(text, subject=describe(request), headers=headers)
    said = ("an HTML page, not JSON",)
    return refusal(request, reply.status, None, _phrase(reply), said, retry_after, headers)


def _refused(
    fate: Fate,
    request: Request,
    reply: RawReply,
    content: Any,
    redactor: Redactor,
    retry_after: float | None,
) -> Verdict:
    """The verdict on a reply by which the server refused the request, for now or for good."""
    codes = envelope_codes(content)
    status = telling_status(reply.status, content)
    code = status if status in codes else next(iter(codes), None)
    envelope = content if is_object(content) else {}
    errors = tuple(redactor.clean(text) for text in flatten(envelope.get("errors")) if text)
    message = redactor.clean(spoken(envelope)) or _phrase(reply)
    if retry_after is None:
        retry_after = seconds_in_body(envelope, message, errors)
    headers = told_headers(reply, redactor)
    error = refusal(request, status, code, message, errors, retry_after, headers)
    if fate is Fate.REFUSED and error.passing and retry_after is not None:
        fate = Fate.WAIT
    missing = means_missing(error)
    return Verdict(fate, reply.status, error=error, retry_after=retry_after, missing=missing)


#: Headers of a reply that carry secrets of others.
_NOT_TOLD = frozenset({"set-cookie", "set-cookie2", "www-authenticate", "proxy-authenticate"})
_LONGEST_HEADER = 200


def told_headers(reply: RawReply, redactor: Redactor) -> dict[str, str]:
    """The headers of a reply that were read, without secrets, by lower-case name."""
    return {
        name: redactor.clean(", ".join(values), _LONGEST_HEADER)
        for name, values in reply.headers.items()
        if name not in _NOT_TOLD
    }


def _phrase(reply: RawReply) -> str:
    """The words of a status, for a server that says nothing."""
    unknown = "no reason given"
    if reply.status < 300:
        return unknown
    try:
        return HTTPStatus(reply.status).phrase
    except ValueError:
        return unknown
