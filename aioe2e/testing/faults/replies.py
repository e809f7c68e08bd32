"""Faults in a reply's status and headers: refusals, pages, throttles, redirects, echoes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TypeAlias
from urllib.parse import quote

import attrs

from aioe2e.testing.net import RecordedRequest, WireReply, html, refusal

from .kind import ALWAYS, ANY, EITHER, NEVER, Kind
from .rows import Rows, changed, fixed, in_json, made

_TEXTS = {
    400: "Validation failed",
    401: "Token expired.",
    403: "You do not have permission to perform this action.",
    404: "Image not found",
    405: "Method not allowed.",
    409: "Image with this name already exists",
    410: "Image not found",
    412: "Action not allowed on Resources that are part of Disaster Recovery Plan",
    422: "Validation failed",
}

#: Refusals and gateways.
_STATUSES: Rows = {
    **{
        f"{status}-json": fixed(f"{status} with a JSON error", NEVER, refusal(status, text))
        for status, text in _TEXTS.items()
    },
    **{
        f"{status}-html": fixed(f"{status} with an HTML page", EITHER, html(status))
        for status in (400, 403, 404, 413)
    },
    **{
        f"{status}-json": fixed(f"{status} with a JSON error", ANY, refusal(status, "Try again"))
        for status in (500, 502, 503, 504, 520)
    },
    **{
        f"{status}-html": fixed(f"{status} with an HTML page", ANY, html(status))
        for status in (500, 502, 503, 504, 520)
    },
    # A gateway may send this as well, but only for a request that it did not pass on.
    "405-html": fixed("405 with an HTML page", NEVER, html(405)),
    "412-json-try-later": fixed(
        "412 with a temporary refusal",
        NEVER,
        refusal(412, "Another action is in progress, please try again later"),
    ),
    "412-json-saving": fixed(
        "412 because the node is being saved",
        NEVER,
        refusal(412, "Node is already in Saving state, please try again later"),
    ),
    "date-missing": changed(
        "the right reply without a Date",
        ALWAYS,
        lambda reply: attrs.evolve(reply, date_offset=None),
    ),
    "date-wrong": made(
        "the right reply with a Date that is `value` (3600) seconds ahead",
        ALWAYS,
        lambda s: attrs.evolve(s.reply, date_offset=float(s.size(3600))),
        value=int,
    ),
    "408-json": fixed("408 with a JSON error", EITHER, refusal(408, "Request Timeout")),
    "408-html": fixed("408 with an HTML page", EITHER, html(408)),
    "503-retry-after": fixed(
        "503 with an HTML page and Retry-After", EITHER, html(503, "", ("Retry-After", "1"))
    ),
    "500-empty": fixed("500 without a body", EITHER, WireReply(500, b"", None)),
    "502-text": fixed(
        "502 with plain text", EITHER, WireReply(502, b"upstream gone\n", "text/plain")
    ),
    "304": fixed("304 without a body", NEVER, WireReply(304, b"", None)),
    "204": made(
        "204 without a body, for a write",
        ALWAYS,
        lambda s: WireReply(204, b"", None) if _wrote(s.reply, s.call) else s.reply,
    ),
    "stale-listing": made(
        "a listing that is `seconds` (5) out of date",
        ALWAYS,
        lambda s: s.reply,
        lag=5.0,
        opt_in=True,
    ),
}


def _wrote(reply: WireReply, call: RecordedRequest) -> bool:
    return reply.ok and call.method != "GET"


def _date(seconds: float, form: str | None = None) -> str:
    moment = datetime.fromtimestamp(time.time() + seconds, UTC)
    if form is None:
        return formatdate(moment.timestamp(), usegmt=True)
    return moment.strftime(form)


#: The values of Retry-After, by the name of the spelling; made when they are sent, as dates age.
_RETRY_AFTERS: Mapping[str, Callable[[], tuple[str, ...]]] = {
    "seconds": lambda: ("1",),
    "decimals": lambda: ("0.5",),
    "http-date": lambda: (_date(1),),
    "rfc850-date": lambda: (_date(1, "%A, %d-%b-%y %H:%M:%S GMT"),),
    "asctime-date": lambda: (_date(1, "%a %b %e %H:%M:%S %Y"),),
    "past-date": lambda: (_date(-3600),),
    "negative": lambda: ("-5",),
    "zero": lambda: ("0",),
    "infinite": lambda: ("inf",),
    "nan": lambda: ("nan",),
    "35-digits": lambda: ("9" * 35,),
    "long": lambda: ("86400",),
    "words": lambda: ("soon",),
    "empty": lambda: ("",),
    "twice": lambda: ("1", "2"),
    "none": lambda: (),
}
#: Those that leave a client nothing but to give up.
_LONG = frozenset({"35-digits", "long", "infinite"})
_Shape: TypeAlias = Callable[[int, str], WireReply]


#: A gateway's page was seen after requests that had been carried out; the API's own JSON never.
_THROTTLED = {"json": NEVER, "html": EITHER}
_BODIES = {"json": "a JSON error", "html": "an HTML page"}


def _throttle(name: str, shape: _Shape, spelling: str) -> Kind:
    reply = shape(429, "Request was throttled.")
    return made(
        f"429 with {_BODIES[name]}, Retry-After: {spelling} (or `value`)",
        _THROTTLED[name],
        lambda scene: reply.with_headers(
            *(
                ("Retry-After", value)
                for value in (
                    _RETRY_AFTERS[spelling]() if scene.value is None else (str(scene.value),)
                )
            )
        ),
        opt_in=spelling in _LONG,
        value=str,
    )


def _throttle_in_words(name: str, shape: _Shape) -> Kind:
    text = "Request was throttled. Expected available in {} seconds."
    return made(
        f"429 with {_BODIES[name]} that gives the wait, `value` (1) seconds, only in its text",
        _THROTTLED[name],
        lambda scene: shape(429, text.format(1 if scene.value is None else scene.value)),
        value=str,
    )


_SHAPES: Mapping[str, _Shape] = {"json": refusal, "html": html}
_RESET = refusal(429, "Throttled").with_headers(
    ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1")
)

#: Throttles.
_THROTTLES: Rows = {
    **{
        f"429-{name}-{spelling}": _throttle(name, shape, spelling)
        for name, shape in _SHAPES.items()
        for spelling in _RETRY_AFTERS
    },
    **{f"429-{name}-text": _throttle_in_words(name, shape) for name, shape in _SHAPES.items()},
    "429-json-reset": fixed("429 with X-RateLimit-Reset instead of Retry-After", NEVER, _RESET),
}

#: Where a redirect points.
_TARGETS: Mapping[str, Callable[[RecordedRequest], str | None]] = {
    "same-host": lambda call: "/elsewhere/" + call.url.lstrip("/"),
    "loop": lambda call: call.url,
    "other-host": lambda call: f"http://127.0.0.2:9{call.url}",
    "other-port": lambda call: f"http://127.0.0.1:9{call.url}",
    "downgrade": lambda call: f"http://{call.headers.get('Host', '127.0.0.1')}{call.url}",
    "odd-scheme": lambda _: "file:///etc/hostname",
    "nowhere": lambda _: None,
    "unparsable": lambda _: "http://[::1/%zz",
}


def _redirect(status: int, name: str, target: Callable[[RecordedRequest], str | None]) -> Kind:
    def make(call: RecordedRequest, value: str | int | None) -> WireReply:
        location = target(call)
        if value is not None:
            location = str(value)
        if location is None:
            return html(status)
        return html(status, "", ("Location", location))

    return made(
        f"{status}, Location: {name} (or `value`)",
        NEVER,
        lambda s: make(s.call, s.value),
        value=str,
    )


_REDIRECTS: Rows = {
    f"{status}-{name}": _redirect(status, name, target)
    for status in (301, 302, 303, 307, 308)
    for name, target in _TARGETS.items()
}


def _secrets(call: RecordedRequest) -> str:
    return f"{call.query.get('apikey')} {call.headers.get('Authorization')}"


#: How a reply may spell the secrets of its request.
_SPELLINGS: Mapping[str, Callable[[RecordedRequest], str]] = {
    "plain": lambda call: f"bad request {call.url} {_secrets(call)}",
    "percent": lambda call: f"bad request {quote(_secrets(call), safe='')}",
    "json": lambda call: f"bad request {json.dumps({'seen': _secrets(call)})}",
    "repr": lambda call: f"bad request {call.query!r} {dict(call.headers)!r}",
    "across-the-cut": lambda call: "x" * 480 + _secrets(call),
}


def _echo(reply: WireReply, text: str) -> WireReply:
    """The right reply with another message."""
    return in_json(reply, lambda body: json.dumps(json.loads(body) | {"message": text}).encode())


def _echoes(name: str, spell: Callable[[RecordedRequest], str]) -> Rows:
    """The secrets of a request in one spelling, in each kind of reply that may hold them."""
    return {
        f"echo-{name}-400": made(
            f"400 that echoes the secrets ({name})", NEVER, lambda s: refusal(400, spell(s.call))
        ),
        f"echo-{name}-500": made(
            f"500 that echoes the secrets ({name})", EITHER, lambda s: refusal(500, spell(s.call))
        ),
        f"echo-{name}-html": made(
            f"502 with an HTML page that echoes the secrets ({name})",
            EITHER,
            lambda s: html(502, spell(s.call)),
        ),
        f"echo-{name}-success": made(
            f"a success that echoes the secrets ({name})",
            ALWAYS,
            lambda s: _echo(s.reply, spell(s.call)),
        ),
    }


_ECHOES: Rows = {
    kind: row for name, spell in _SPELLINGS.items() for kind, row in _echoes(name, spell).items()
}

#: Faults in a reply's status and headers, by name.
REPLY_KINDS: Mapping[str, Kind] = _STATUSES | _THROTTLES | _REDIRECTS | _ECHOES
