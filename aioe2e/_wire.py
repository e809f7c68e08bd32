"""What goes over the wire, as values: an action becomes a `Request`, a reply becomes a `Verdict`. No I/O, no loop.

`judge` is the one place that says what a reply means. Facts about the API and where they come from:

- Requests: the vendor's save-image document (POST for all three actions) and the vendor's newer clients (PUT, DELETE).
- The envelope ``{"code", "data", "errors", "message"}`` and its many deviations: the vendor's clients and their tests.
- An HTML page instead of JSON may come back although the write was carried out; that was seen on the live API.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import attrs

from ._json import Unreadable, is_array, is_object
from ._redact import Redactor
from ._refusal import means_missing, refusal
from .config import Dialect
from .errors import E2EError, ResponseError
from .models import Action


class Repeat(enum.Enum):
    """How often a request may be carried out without harm."""

    READ = "read"  # changes nothing
    IDEMPOTENT = "idempotent"  # a second time changes nothing more
    ONCE = "once"


class Fate(enum.Enum):
    """What an attempt proves about the server's state."""

    DONE = "done"
    REFUSED = "refused"
    WAIT = "wait"  # refused for now: throttled
    NOT_SENT = "not sent"
    MAYBE = "maybe"  # it may have been carried out, or not


@attrs.define(eq=False)
class Request:
    """One request, but for the base URL, the credentials and the context that the session adds."""

    action: str
    target: str
    repeat: Repeat
    method: str
    path: str
    body: bytes | None = None
    #: The name a save or a rename wants; what a look into the listing looks for.
    name: str = ""
    query: Mapping[str, str] | None = None
    #: The method of the other dialect, to be tried on a 405; None where there is none or it was ruled out.
    fallback: Request | None = None


LIST = Request("list", "", Repeat.READ, "GET", "images/saved-images/")

#: For each action: its path, how often it may be repeated, and the method of either dialect.
_ACTIONS: Mapping[Action, tuple[str, Repeat, str, str]] = {
    Action.SAVE: ("nodes/{}/actions/", Repeat.ONCE, "POST", "PUT"),
    Action.RENAME: ("images/{}/", Repeat.IDEMPOTENT, "POST", "PUT"),
    Action.DELETE: ("images/{}/", Repeat.IDEMPOTENT, "POST", "DELETE"),
}


def _body(action: Action, method: str, name: str) -> bytes | None:
    if action is Action.SAVE:
        return json.dumps({"type": "save_images", "name": name}).encode()
    if action is Action.RENAME:
        return json.dumps({"action_type": "rename", "name": name}).encode()
    return None if method == "DELETE" else b'{"action_type": "delete_image"}'


def encode(action: Action, target: str, name: str, dialect: Dialect) -> Request:
    """The request for an action on an image (on a node for a save), whose id was checked before."""
    path, repeat, documented, current = _ACTIONS[action]
    path = path.format(target)

    def request(method: str, fallback: Request | None = None) -> Request:
        body = _body(action, method, name)
        return Request(action.value, target, repeat, method, path, body, name, None, fallback)

    if dialect is Dialect.CURRENT:
        return request(current)
    return request(documented, request(current) if dialect is Dialect.AUTO else None)


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


#: Statuses after which the server may have acted, HTTP's own or the envelope's.
_MAYBE_STATUSES = frozenset({408, 500, 502, 503, 504})
_WAIT_STATUS = 429
_FAULTY_FLAGS = ("status", "is_credit_sufficient")


def judge_failure(error: E2EError, *, sent: bool) -> Verdict:
    """The verdict on an attempt that got no reply: what was never sent was never carried out."""
    return Verdict(Fate.MAYBE if sent else Fate.NOT_SENT, error=error)


def judge(request: Request, reply: RawReply, content: Any, redactor: Redactor, retry_after: float | None) -> Verdict:
    """The verdict on a reply.

    Args:
        request: What was asked.
        reply: What came back.
        content: The body as JSON, or an `Unreadable`.
        redactor: Takes secrets out of what the server said.
        retry_after: What `_retry_after.seconds` read from the headers.
    """
    status = reply.status
    if 300 <= status < 400 or status < 200:
        return refusal_verdict(Fate.REFUSED, request, reply, content, redactor, retry_after)
    unreadable = isinstance(content, Unreadable)
    if unreadable and content.html:
        return Verdict(
            Fate.MAYBE,
            status,
            error=_page_error(request, reply, retry_after),
            retry_after=retry_after,
        )
    code = envelope_code(content)
    fate = _fate(status, code, readable=not unreadable)
    if fate is not None:
        return refusal_verdict(fate, request, reply, content, redactor, retry_after)
    if status == HTTPStatus.NO_CONTENT and not reply.body:
        return Verdict(Fate.DONE, status)
    if unreadable:
        return _unreadable(request, status, content.reason)
    if says_failure(content):
        return refusal_verdict(Fate.REFUSED, request, reply, content, redactor, retry_after)
    return _accepted(request, status, content, code, redactor)


def _fate(status: int, code: int | None, *, readable: bool) -> Fate | None:
    """What HTTP's status and the envelope's code say together; None if neither says anything but success."""
    said = {status if status >= 400 else 0, code if code is not None and code >= 400 else 0} - {0}
    if not said:
        return None
    if said & _MAYBE_STATUSES or max(said) >= 500:
        return Fate.MAYBE
    if _WAIT_STATUS in said:
        # Only JSON comes from the API itself; other texts come from something before it, which may have cut in late.
        return Fate.WAIT if readable else Fate.MAYBE
    return Fate.REFUSED


def _accepted(request: Request, status: int, content: Any, code: int | None, redactor: Redactor) -> Verdict:
    """The verdict on a 2xx in which nothing says failure: is it what was asked for?"""
    if request.action == "list":
        if not is_object(content) or not is_array(content.get("data")):
            return _unreadable(request, status, "$.data: a list of images was expected")
        return Verdict(Fate.DONE, status, content["data"])
    if not is_object(content):
        if request.repeat is Repeat.READ:
            return Verdict(Fate.DONE, status, content)
        return _unreadable(request, status, f"$: an object was expected, not {type(content).__name__}")
    if code is None and "data" not in content and "message" not in content:
        if request.repeat is Repeat.READ and content:
            return Verdict(Fate.DONE, status, content)
        return _unreadable(request, status, "$: neither code, data nor message")
    return Verdict(Fate.DONE, status, content.get("data"), redactor.clean(spoken(content) or _greeting(content)))


def _greeting(content: Mapping[str, Any]) -> str:
    """The bare "Success" that most replies carry, for want of a better text."""
    message = content.get("message")
    return message if isinstance(message, str) else ""


def _unreadable(request: Request, status: int, problem: str) -> Verdict:
    error = ResponseError(f"{describe(request)}: unreadable reply (HTTP {status}): {problem}", problems=[problem])
    return Verdict(Fate.MAYBE, status, error=error)


def _page_error(request: Request, reply: RawReply, retry_after: float | None) -> E2EError:
    """An HTML page with an error status is that error; with a success status it is an unreadable reply."""
    if reply.status < 400:
        return ResponseError(f"{describe(request)}: an HTML page instead of JSON (HTTP {reply.status})")
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
    fate: Fate, request: Request, reply: RawReply, content: Any, redactor: Redactor, retry_after: float | None
) -> Verdict:
    """A verdict that carries the error for a reply that says no."""
    code = envelope_code(content)
    status = reply.status if not 200 <= reply.status < 300 or code is None or code < 400 else code
    envelope = content if is_object(content) else {}
    errors = tuple(redactor.clean(text) for text in flatten(envelope.get("errors")) if text)
    message = redactor.clean(spoken(envelope)) or _reason(reply)
    error = refusal(describe(request), request.action, status, code, message, errors, retry_after)
    return Verdict(fate, reply.status, error=error, retry_after=retry_after, missing=means_missing(error))


def _reason(reply: RawReply) -> str:
    try:
        return HTTPStatus(reply.status).phrase
    except ValueError:
        return "no reason given"


def envelope_code(content: Any) -> int | None:
    """The ``code`` or ``status_code`` of an envelope: a number, an integral float, or three digits as text."""
    if not is_object(content):
        return None
    for key in ("code", "status_code"):
        value = content.get(key)
        if isinstance(value, bool):
            continue
        if isinstance(value, int):
            return value
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, str) and len(text := value.strip()) == 3 and text.isascii() and text.isdigit():
            return int(text)
    return None


def says_failure(content: Any) -> bool:
    """Whether an envelope without an error code says all the same that nothing was done."""
    if not is_object(content):
        return False
    if content.get("errors") or content.get("detail"):
        return True
    data = content.get("data")
    return is_object(data) and any(data.get(flag) is False for flag in _FAULTY_FLAGS)


def flatten(errors: Any, depth: int = 3) -> list[str]:
    """The sentences in an ``errors`` value, whatever its shape; a few levels deep, a few dozen at the most."""
    if errors is None or errors is False or errors is True:
        return []
    if is_object(errors) and depth:
        found: list[str] = []
        for key, value in list(errors.items())[:20]:
            sentences = flatten(value, depth - 1)
            found += sentences if key in ("detail", "non_field_errors") else [f"{key}: {s}" for s in sentences]
        return found
    if is_array(errors) and depth:
        return [sentence for value in errors[:20] for sentence in flatten(value, depth - 1)]
    return [errors] if isinstance(errors, str) else [] if isinstance(errors, dict | list) else [str(errors)]


def spoken(content: Mapping[str, Any]) -> str:
    """What an envelope says to a person: the first of its texts that says something."""
    data = content.get("data")
    candidates = (
        content.get("message"),
        "; ".join(flatten(content.get("detail"))),
        "; ".join(flatten(content.get("errors"))),
        content.get("error"),
        data.get("message") if is_object(data) else None,
    )
    for text in candidates:
        if isinstance(text, str) and text.strip() and text.strip().lower() not in ("success", "ok"):
            return text.strip()
    return ""


_SUBJECTS = {
    "save": "save of node",
    "rename": "rename of image",
    "delete": "delete of image",
    "request": "request to",
}


def describe(request: Request) -> str:
    """What was tried, as the first words of an error: ``rename of image 2292``."""
    if request.action == "list":
        return "listing the saved images"
    return f"{_SUBJECTS[request.action]} {request.target}"
