"""Replies as values, and the envelopes in which the API puts its data.

Sources: the vendor's documents, and the test doubles of its own clients.
"""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import attrs

JSON_TYPE = "application/json; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"


def reason(status: int) -> str:
    """The phrase of a status code."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


@attrs.frozen
class WireReply:
    """One HTTP reply, whole."""

    #: The status code.
    status: int
    #: The bytes after the head.
    body: bytes
    #: Its type; None sends no such header.
    content_type: str | None = JSON_TYPE
    #: More headers, in order; a name may come twice.
    headers: tuple[tuple[str, str], ...] = ()
    #: Seconds by which its Date is wrong; None sends no Date.
    date_offset: float | None = attrs.field(default=0.0, kw_only=True)
    #: Whether it answers a HEAD. The head describes a body that is not sent.
    bodiless: bool = attrs.field(default=False, kw_only=True)

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return self.status < 300

    def with_headers(self, *headers: tuple[str, str]) -> WireReply:
        """The same reply with more headers."""
        return attrs.evolve(self, headers=self.headers + headers)

    def head(self, *, version: str = "1.1", length: str | None = "", framing: bool = True) -> bytes:
        """The bytes of the status line and the headers.

        Args:
            version: Of HTTP.
            length: A false Content-Length; ``""`` for the true one.
            framing: Whether the head says where the body ends.
        """
        lines = [f"HTTP/{version} {self.status} {reason(self.status)}"]
        if self.date_offset is not None:
            lines.append(f"Date: {formatdate(time.time() + self.date_offset, usegmt=True)}")
        if self.content_type is not None:
            lines.append(f"Content-Type: {self.content_type}")
        if framing:
            lines.append(f"Content-Length: {length or len(self.body)}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def wire(self) -> bytes:
        """All its bytes."""
        return self.head() if self.bodiless else self.head() + self.body


def as_json(status: int, value: Any, *headers: tuple[str, str]) -> WireReply:
    """A reply that holds any JSON."""
    return WireReply(status, json.dumps(value).encode(), JSON_TYPE, headers)


def html(status: int, text: str = "", *headers: tuple[str, str]) -> WireReply:
    """An HTML page as a gateway sends it."""
    title = f"{status} {reason(status)}"
    head = f"<html><head><title>{title}</title></head>"
    page = f"{head}<body><h1>{title}</h1><p>{text}</p></body></html>\n"
    return WireReply(status, page.encode(), HTML_TYPE, headers)


def success(data: Any, message: str = "Success", *, status: int = 200) -> WireReply:
    """The usual envelope. Its code is 200 even where HTTP says 202."""
    return as_json(status, {"code": 200, "data": data, "errors": {}, "message": message})


def success_wire(data: bytes, more: bytes = b"") -> WireReply:
    """The usual envelope for data that is encoded already.

    Args:
        data: The JSON of the data.
        more: Further members of the envelope, encoded, each with a comma before it.
    """
    body = b'{"code": 200, "data": %b, "errors": {}, "message": "Success"%b}' % (data, more)
    return WireReply(200, body)


def refusal(status: int, message: str, errors: Any = None) -> WireReply:
    """The envelope of a refusal."""
    flat = {"detail": [message]} if errors is None else errors
    return as_json(status, {"code": status, "data": {}, "errors": flat, "message": message})


def detail(status: int, text: str) -> WireReply:
    """A refusal as the web framework of the API writes it: nothing but ``detail``."""
    return as_json(status, {"detail": text})
