"""What goes over the wire, as values: an action becomes a `Request`, a reply becomes a `Verdict`.
No I/O, no loop.

`judge` is the one place that says what a reply means. Facts about the API and where they come from:

- Requests: the vendor's save-image document (POST for all three actions) and the vendor's newer
  clients (PUT, DELETE).
- The envelope ``{"code", "data", "errors", "message"}`` and its many deviations: the vendor's
  clients and their tests.
- An HTML page instead of JSON may come back although the write was carried out; that was seen on
  the live API.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import attrs

from aioe2e._actions import ROWS, Repeat, Row
from aioe2e._fates import Fate, fate_of
from aioe2e._text import Redactor
from aioe2e.config import Dialect
from aioe2e.errors import E2EError, ResponseError, SessionError
from aioe2e.models import Action, SavedImage

from .envelope import (
    doubt,
    envelope_codes,
    flatten,
    greeting,
    is_paged,
    is_plain_success,
    paging,
    says_failure,
    spoken,
)
from .json import Unreadable, is_array, is_object
from .refusal import means_missing, refusal
from .retry_after import seconds_in_body


@attrs.frozen(cache_hash=True)
class Context:
    """Which project and which location requests are about; None for the server's own choice."""

    project_id: str | None = None
    location: str | None = None

    def query(self) -> dict[str, str]:
        """The parameters that say so."""
        return {key: value for key, value in attrs.asdict(self).items() if value is not None}


@attrs.define(eq=False)
class Request:
    """One request, but for the base URL, the credentials and the context that are added to it."""

    #: What it is for, in a word: the `action` of errors and events.
    action: str
    #: The id or path that it is about; empty where the action says it all.
    target: str
    repeat: Repeat
    method: str
    path: str
    body: bytes | None = None
    #: The name that a save or a rename gives.
    name: str = ""
    query: Mapping[str, str] | None = None
    #: The first words of an error about it, before the target.
    subject: str = "request to"
    #: What to do when it cannot be known whether it was carried out; for writes.
    advice: str = "read its state before sending it again"
    #: The path before the target was put in, and the dialect of the method; of image actions.
    route: str = ""
    dialect: Dialect | None = None
    #: The method of the other dialect, to be tried on a 405; empty where there is none.
    fallback: str = ""
    #: Whether its reply is a listing: ``data`` holds a list, which may be as large as
    #: `Limits.max_body` and is read in slices.
    lists: bool = False
    #: What the elements of that list are.
    model: type[Any] | None = None


LIST = Request(
    "list",
    "",
    Repeat.READ,
    "GET",
    "images/saved-images/",
    subject="listing the saved images",
    lists=True,
    model=SavedImage,
)


_NOTHING_LEARNED: Mapping[str, Dialect] = {}


def encode(
    action: Action,
    target: str,
    name: str,
    dialect: Dialect,
    learned: Mapping[str, Dialect] = _NOTHING_LEARNED,
) -> Request:
    """The request for an action on an image (on a node for a save), whose id was checked before.

    Args:
        action: The action.
        target: The id.
        name: The name, for an action that takes one.
        dialect: With which method it is sent.
        learned: By route, the dialect that proved to be the right one; for `Dialect.AUTO`.
    """
    row = ROWS[action]
    spoken = dialect
    if dialect is Dialect.AUTO:
        spoken = learned.get(row.path, Dialect.DOCUMENTED)
    method, other = row.documented, row.current
    if spoken is Dialect.CURRENT:
        method, other = other, method
    fallback = other if dialect is Dialect.AUTO else ""
    return Request(
        action.value,
        target,
        row.repeat,
        method,
        row.path.format(target),
        _body(row, method, name),
        name,
        None,
        row.subject,
        row.advice,
        row.path,
        spoken,
        fallback,
    )


def _body(row: Row, method: str, name: str) -> bytes | None:
    return None if method == "DELETE" else row.body(name)


#: What to speak instead of a dialect that the server does not understand.
_OTHER_DIALECT = {Dialect.DOCUMENTED: Dialect.CURRENT, Dialect.CURRENT: Dialect.DOCUMENTED}


def in_other_dialect(request: Request) -> Request:
    """The same request with the method of the other dialect."""
    assert request.dialect is not None
    method = request.fallback
    body = _body(ROWS[request.action], method, request.name)
    dialect = _OTHER_DIALECT[request.dialect]
    return attrs.evolve(request, method=method, body=body, dialect=dialect, fallback="")


@attrs.define(eq=False)
class RawReply:
    """A reply as it was read: nothing in it is believed yet."""

    status: int
    #: Values of the headers that anything reads, by lower-case name.
    headers: Mapping[str, tuple[str, ...]]
    body: bytes


@attrs.define(eq=False)
class Verdict:
    """What one attempt came to."""

    fate: Fate
    #: The HTTP status; None when there was no reply.
    http_status: int | None = None
    data: Any = None
    message: str = ""
    error: E2EError | None = None
    #: Seconds that the server asked for, where it did.
    retry_after: float | None = None
    #: The refusal says that the image itself does not exist.
    missing: bool = False
    #: Nothing more can be tried: the time is over, or the session is.
    final: bool = False
    #: Of a listing: it may not show everything, so that what it does not show may be there all the
    #: same.
    partial: bool = False
    #: Of a listing: how many elements and pages there are, where the envelope says it.
    total: int | None = None
    pages: int | None = None


def judge_failure(error: E2EError, *, sent: bool) -> Verdict:
    """The verdict on an attempt that got no reply: what was never sent was never carried out.

    A `SessionError` is the program's own fault, which a second attempt would only meet again.
    """
    fate = Fate.MAYBE if sent else Fate.NOT_SENT
    return Verdict(fate, error=error, final=isinstance(error, SessionError))


def judge(
    request: Request, reply: RawReply, content: Any, redactor: Redactor, retry_after: float | None
) -> Verdict:
    """The verdict on a reply.

    Args:
        request: What was asked.
        reply: What came back.
        content: The body as JSON, or an `Unreadable`.
        redactor: Takes secrets out of what the server said.
        retry_after: What `_retry_after.seconds` read from the headers.
    """
    status = reply.status
    if status == HTTPStatus.OK and is_plain_success(content):
        return _accepted(request, status, content, redactor)
    if 300 <= status < 400:
        return refusal_verdict(Fate.REFUSED, request, reply, content, redactor, retry_after)
    if status < 200:
        return _unreadable(request, status, "no final status")
    unreadable = isinstance(content, Unreadable)
    if unreadable and content.html:
        # A 405 names no request that was carried out, whoever answers with it.
        fate = Fate.REFUSED if status == HTTPStatus.METHOD_NOT_ALLOWED else Fate.MAYBE
        page = _page_error(request, reply, retry_after)
        return Verdict(fate, status, error=page, retry_after=retry_after)
    said = _fate(telling_status(status, content), readable=not unreadable)
    if said is not None:
        return refusal_verdict(said, request, reply, content, redactor, retry_after)
    if not reply.body and (
        request.method == "HEAD" or (status == HTTPStatus.NO_CONTENT and not request.lists)
    ):
        return Verdict(Fate.DONE, status)
    if unreadable:
        return _unreadable(request, status, content.reason)
    if says_failure(content):
        return refusal_verdict(Fate.REFUSED, request, reply, content, redactor, retry_after)
    of_image = request.lists or request.route != ""
    if problem := doubt(content, of_image=of_image):
        return _unreadable(request, status, problem)
    return _accepted(request, status, content, redactor)


def _fate(status: int, *, readable: bool) -> Fate | None:
    """What a reply of that status says; None if the status is none that says no."""
    fate = fate_of(status)
    # Only JSON comes from the API itself; other texts come from something before it, which may have
    # cut in late.
    return Fate.MAYBE if fate is Fate.WAIT and not readable else fate


def telling_status(status: int, content: Any) -> int:
    """The one of HTTP's status and the envelope's codes that decides: the one that leaves most in
    doubt."""
    candidates = (status, *envelope_codes(content))
    return max(candidates, key=lambda said: (_DOUBT[fate_of(said)], said == status))


#: How much doubt a fate leaves.
_DOUBT = {None: 0, Fate.REFUSED: 1, Fate.WAIT: 2, Fate.MAYBE: 3}


def _accepted(request: Request, status: int, content: Any, redactor: Redactor) -> Verdict:
    """The verdict on a 2xx in which nothing says failure: is it what was asked for?"""
    if request.lists:
        if not is_object(content) or not is_array(content.get("data")):
            place = "$.data" if is_object(content) else "$"
            return _unreadable(request, status, f"{place}: a list was expected in an object's data")
        total, pages = paging(content)
        return Verdict(
            Fate.DONE,
            status,
            content["data"],
            partial=status != HTTPStatus.OK or is_paged(content),
            total=total,
            pages=pages,
        )
    if not is_object(content):
        if request.repeat is Repeat.READ:
            return Verdict(Fate.DONE, status, content)
        return _unreadable(
            request, status, f"$: an object was expected, not {type(content).__name__}"
        )
    if "data" not in content and "message" not in content and not envelope_codes(content):
        if request.repeat is Repeat.READ and content:
            return Verdict(Fate.DONE, status, content)
        return _unreadable(request, status, "$: neither code, data nor message")
    return Verdict(
        Fate.DONE, status, content.get("data"), redactor.clean(spoken(content) or greeting(content))
    )


def _unreadable(request: Request, status: int, problem: str) -> Verdict:
    error = ResponseError(
        f"{describe(request)}: unreadable reply (HTTP {status}): {problem}", problems=[problem]
    )
    return Verdict(Fate.MAYBE, status, error=error)


def _page_error(request: Request, reply: RawReply, retry_after: float | None) -> E2EError:
    """An HTML page with an error status is that error; with a success status it is an unreadable
    reply."""
    if reply.status < 400:
        return ResponseError(
            f"{describe(request)}: an HTML page instead of JSON (HTTP {reply.status})"
        )
    return refusal(
        describe(request),
        request.action,
        reply.status,
        None,
        _reason(reply),
        ("an HTML page, not JSON",),
        retry_after,
    )


def refusal_verdict(
    fate: Fate,
    request: Request,
    reply: RawReply,
    content: Any,
    redactor: Redactor,
    retry_after: float | None,
) -> Verdict:
    """A verdict that carries the error for a reply that says no."""
    codes = envelope_codes(content)
    status = telling_status(reply.status, content)
    code = status if status in codes else next(iter(codes), None)
    envelope = content if is_object(content) else {}
    errors = tuple(redactor.clean(text) for text in flatten(envelope.get("errors")) if text)
    message = redactor.clean(spoken(envelope)) or _reason(reply)
    if retry_after is None:
        retry_after = seconds_in_body(envelope, message, errors)
    error = refusal(describe(request), request.action, status, code, message, errors, retry_after)
    if fate is Fate.REFUSED and error.passing and retry_after is not None:
        fate = Fate.WAIT
    return Verdict(
        fate, reply.status, error=error, retry_after=retry_after, missing=means_missing(error)
    )


def _reason(reply: RawReply) -> str:
    try:
        return HTTPStatus(reply.status).phrase if reply.status >= 300 else "no reason given"
    except ValueError:
        return "no reason given"


def describe(request: Request) -> str:
    """What was tried, as the first words of an error: ``rename of image 2292``."""
    if not request.target:
        return request.subject
    return f"{request.subject} {request.target}"
