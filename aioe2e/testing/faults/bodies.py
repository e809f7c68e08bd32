"""Faults in what a reply says: refusals under HTTP 200, odd envelopes, unreadable bodies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs

from aioe2e.testing.net import WireReply, as_json, detail, html, refusal

from .kind import ALWAYS, EITHER, NEVER, Kind
from .rows import Rows, changed, elements, fixed, respelled, rewritten

_Change: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]

_NO = "Action not allowed"
_FULL: dict[str, Any] = {"code": 200, "data": {}, "errors": {}, "message": "Success"}
_ANONYMOUS = "Authentication credentials were not provided."


def _no(status: int, value: dict[str, Any]) -> Kind:
    return fixed(f"HTTP {status} with {json.dumps(value)}", NEVER, as_json(status, value))


def _maybe(value: dict[str, Any]) -> Kind:
    return fixed(f"HTTP 200 with {json.dumps(value)}", EITHER, as_json(200, value))


#: Envelopes of refusals, and of failures that prove nothing.
_ENVELOPES: Rows = {
    "envelope-code-401": _no(
        200, _FULL | {"code": 401, "errors": {"detail": ["Token expired."]}, "message": ""}
    ),
    "envelope-code-412": _no(200, _FULL | {"code": 412, "message": _NO}),
    "envelope-code-text": _no(200, _FULL | {"code": "412", "message": _NO}),
    "envelope-code-float": _no(200, _FULL | {"code": 412.0, "message": _NO}),
    "envelope-status-code": _no(400, {"status_code": 400, "message": _NO}),
    "envelope-status-code-200": _no(200, {"status_code": 412, "message": _NO}),
    "envelope-errors-true": _no(200, _FULL | {"errors": True, "message": _NO}),
    "envelope-errors-text": _no(200, _FULL | {"errors": _NO}),
    "envelope-errors-list": _no(200, _FULL | {"errors": [_NO, "and more"]}),
    "envelope-errors-dict": _no(200, _FULL | {"errors": {"name": [_NO]}}),
    "envelope-errors-detail": _no(
        412, _FULL | {"code": 412, "errors": {"detail": [_NO]}, "message": "Precondition Failed"}
    ),
    "envelope-errors-deep": _no(
        422, _FULL | {"code": 422, "errors": [{"loc": ["name"], "msg": _NO}]}
    ),
    "envelope-detail-200": _no(200, {"detail": _NO}),
    "envelope-detail-401": fixed("401 with nothing but `detail`", NEVER, detail(401, _ANONYMOUS)),
    "envelope-detail-403": fixed("403 with nothing but `detail`", NEVER, detail(403, _ANONYMOUS)),
    "envelope-error-only": _no(400, {"error": _NO}),
    "envelope-status-false": _no(200, _FULL | {"data": {"status": False, "message": _NO}}),
    "envelope-no-credit": _no(
        200, _FULL | {"data": {"is_credit_sufficient": False}, "message": "Insufficient credit"}
    ),
    "envelope-code-429": _no(200, _FULL | {"code": 429, "message": "Request was throttled."}),
    "envelope-quota": _no(
        429, _FULL | {"code": 429, "errors": "Node quota reached", "message": ""}
    ),
    "envelope-code-500": _maybe(_FULL | {"code": 500, "message": "Internal Server Error"}),
    "envelope-code-503": _maybe(_FULL | {"code": 503, "message": "Service Unavailable"}),
    "envelope-code-408": _maybe(_FULL | {"code": 408, "message": "Request Timeout"}),
    "envelope-code-odd": _maybe(_FULL | {"code": "E500"}),
    "envelope-error-200": _maybe(_FULL | {"error": _NO}),
    "envelope-success-false": _maybe(_FULL | {"success": False}),
    "envelope-status-error": _maybe(_FULL | {"status": "error"}),
}


def _without(*keys: str) -> _Change:
    return lambda value: {key: item for key, item in value.items() if key not in keys}


def _with(**items: Any) -> _Change:
    return lambda value: value | items


def _bare(envelope: dict[str, Any]) -> dict[str, Any]:
    return envelope if isinstance(envelope.get("data"), list) else envelope | {"data": {}}


def _status(status: int) -> Kind:
    return changed(
        f"{status} instead of 200",
        ALWAYS,
        lambda reply: attrs.evolve(reply, status=status) if reply.ok else reply,
    )


def _wobble(image: dict[str, Any]) -> dict[str, Any]:
    image_id, number = image.get("image_id"), image.get("template_id")
    digits = isinstance(image_id, str) and image_id.isdecimal()
    return image | {
        "image_id": int(image_id) if digits else image_id,  # type: ignore[arg-type]  # digits says it is text
        "template_id": str(number),
        "running_vms": 0,
        "vm_info": None,
        "is_windows": "false",
    }


#: Envelopes of a success in another form.
_YES: Rows = {
    "odd-no-errors": respelled("the right reply without `errors`", _without("errors")),
    "odd-no-message": respelled(
        "the right reply with only `code` and `data`", _without("errors", "message")
    ),
    "odd-no-code": respelled("the right reply without `code`", _without("code")),
    "odd-errors-null": respelled("`errors` is null", _with(errors=None)),
    "odd-errors-empty-list": respelled("`errors` is []", _with(errors=[])),
    "odd-errors-empty-text": respelled("`errors` is empty text", _with(errors="")),
    "odd-code-text": respelled("`code` is text", _with(code="200")),
    "odd-code-float": respelled("`code` is a float", _with(code=200.0)),
    "odd-message-null": respelled("`message` is null", _with(message=None)),
    "odd-message-object": respelled("`message` is an object", _with(message={"text": "fine"})),
    "odd-more-keys": respelled(
        "page counts and another key", _with(total_count=1, total_page_number=1, meta={})
    ),
    "odd-paged": respelled(
        "page counts of a listing with more pages", _with(total_count=9999, total_page_number=99)
    ),
    "odd-bare": respelled("a write's `data` is empty", _bare),
    "odd-201": _status(201),
    "odd-202": _status(202),
    "unknown-fields": elements(
        "images with fields that no document mentions", _with(region={"code": "DEL"}, labels=["a"])
    ),
    "missing-fields": elements(
        "images with nothing but their ids", lambda image: {"image_id": image.get("image_id")}
    ),
    "wobbly-types": elements("images with numbers as text and text as numbers", _wobble),
    "wrong-types": elements(
        "images with values of impossible types",
        _with(creation_time=[1], image_size={}, template_id="x", running_vms="many", vm_info=7),
    ),
    "missing-ids": elements("images without ids", _without("image_id")),
    "bad-ids": elements("images with invalid ids", _with(image_id=True)),
}

_DEEP = b'{"code": 200, "message": "Success", "errors": {}, "data": %b%b}' % (
    b"[" * 100_000,
    b"]" * 100_000,
)
_PAGE = html(200, "Please wait while your request is being verified")
_UNPRINTABLE = "no\r\n\x1b[31mred\x00\x07 \u202eabc\u2028 \ud800 \udfff end"


def _typed(content_type: str | None) -> Kind:
    summary = f"the right JSON, labelled {content_type}"
    if content_type is None:
        summary = "the right JSON without a Content-Type"
    return changed(summary, ALWAYS, lambda reply: attrs.evolve(reply, content_type=content_type))


def _says(summary: str, text: bytes) -> Kind:
    """A message of bytes that need not be text."""
    return rewritten(
        summary,
        ALWAYS,
        lambda body: body.replace(b'"message": "Success"', b'"message": "%b"' % text),
    )


def _nothing(body: bytes) -> Kind:
    """A body that is no envelope."""
    return fixed(f"200 with the body {body.decode()!r}", EITHER, WireReply(200, body))


#: Bodies that are hard or impossible to read.
_BODIES: Rows = {
    "html-200": fixed("200 with an HTML page", EITHER, _PAGE),
    "html-202": fixed("202 with an HTML page", EITHER, attrs.evolve(_PAGE, status=202)),
    "html-as-json": fixed("an HTML page labelled as JSON", EITHER, WireReply(200, _PAGE.body)),
    "json-as-html": _typed("text/html"),
    "json-as-text": _typed("text/plain"),
    "json-as-octets": _typed("application/octet-stream"),
    "json-latin1-label": _typed("application/json; charset=latin-1"),
    "json-unknown-charset": _typed("application/json; charset=x-nonsense"),
    "no-content-type": _typed(None),
    "body-empty": _nothing(b""),
    "body-spaces": _nothing(b"  \r\n "),
    "body-empty-object": _nothing(b"{}"),
    "body-list": _nothing(b"[1, 2]"),
    "body-text": _nothing(b'"ok"'),
    "body-null": _nothing(b"null"),
    "body-number": _nothing(b"200"),
    "json-truncated": rewritten(
        "the first half of the JSON in a complete HTTP reply",
        EITHER,
        lambda body: body[: len(body) // 2],
    ),
    "json-and-more": rewritten(
        "the right JSON with something after it", EITHER, lambda body: body + b"<!-- 7 -->"
    ),
    # A refusal stays one: to a reader with a deep enough stack this is a success.
    "json-deep": changed(
        "100,000 nested lists", ALWAYS, lambda r: WireReply(200, _DEEP) if r.ok else r
    ),
    "json-digits": rewritten(
        "a number of 6,000 digits", ALWAYS, lambda body: body[:-1] + b', "n": %b}' % (b"9" * 6000)
    ),
    "json-nan": rewritten(
        "NaN and Infinity", ALWAYS, lambda body: body[:-1] + b', "n": NaN, "m": -Infinity}'
    ),
    "json-duplicate-keys": rewritten(
        "duplicate keys", ALWAYS, lambda body: b'{"code": 200, "errors": {}, ' + body[1:]
    ),
    "utf8-bom": rewritten(
        "the right JSON after a byte order mark", ALWAYS, lambda body: b"\xef\xbb\xbf" + body
    ),
    "utf8-invalid": _says("bytes that are not UTF-8", b"Succ\xff\xfe\xc3ess"),
    "utf8-surrogates": _says("lone surrogates", b"\\ud800Success\\udfff"),
    "utf16": rewritten(
        "the right JSON in UTF-16", ALWAYS, lambda body: body.decode().encode("utf-16")
    ),
    "message-controls": fixed(
        "a refusal with control characters", NEVER, refusal(400, _UNPRINTABLE)
    ),
    "message-long": fixed("a refusal of 500,000 characters", NEVER, refusal(400, "no " * 166_666)),
    "gzip-broken": changed(
        "the right reply, wrongly labelled as gzip",
        ALWAYS,
        lambda reply: reply.with_headers(("Content-Encoding", "gzip")),
    ),
    "set-cookie": changed(
        "the right reply with cookies",
        ALWAYS,
        lambda r: r.with_headers(("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2")),
    ),
}

#: Faults in what a reply says, by name.
BODY_KINDS: Mapping[str, Kind] = _ENVELOPES | _YES | _BODIES
