"""Replies as values, and the documented ones ready-made.

Sources: the vendor's documents, and the test doubles of its own clients.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import attrs

JSON_TYPE = "application/json"
HTML_TYPE = "text/html; charset=utf-8"


def reason(status: int) -> str:
    """The phrase behind a status code."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


@attrs.frozen
class Reply:
    """One HTTP reply, whole.

    Attributes:
        status: The status code.
        body: What comes after the head.
        content_type: Its type; None sends no such header.
        headers: More headers, in order; a name may come twice.
    """

    status: int
    body: bytes
    content_type: str | None = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it says yes."""
        return self.status < 300

    def with_headers(self, *headers: tuple[str, str]) -> Reply:
        """The same reply with more headers."""
        return attrs.evolve(self, headers=self.headers + headers)

    def head(self, *, version: str = "1.1", length: str | None = "", framing: bool = True) -> bytes:
        """The bytes of the status line and the headers.

        Args:
            version: Of HTTP.
            length: A false Content-Length; ``""`` for the true one.
            framing: Whether to say where the body ends at all.
        """
        lines = [
            f"HTTP/{version} {self.status} {reason(self.status)}",
            f"Date: {formatdate(usegmt=True)}",
        ]
        if self.content_type is not None:
            lines.append(f"Content-Type: {self.content_type}")
        if framing:
            lines.append(f"Content-Length: {length or len(self.body)}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def wire(self) -> bytes:
        """All its bytes."""
        return self.head() + self.body


def as_json(status: int, value: Any, *headers: tuple[str, str]) -> Reply:
    """A reply that holds any JSON."""
    return Reply(status, json.dumps(value).encode(), JSON_TYPE, headers)


def html(status: int, text: str = "", *headers: tuple[str, str]) -> Reply:
    """A page as a gateway sends it."""
    title = f"{status} {reason(status)}"
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1><p>{text}</p></body></html>\n"
    return Reply(status, page.encode(), HTML_TYPE, headers)


def success(data: Any, message: str = "Success", *, status: int = 200) -> Reply:
    """The usual envelope. Its code is 200 even where HTTP says 202."""
    return as_json(status, {"code": 200, "data": data, "errors": {}, "message": message})


def success_wire(data: bytes) -> Reply:
    """The usual envelope around data that is encoded already."""
    return Reply(200, b'{"code": 200, "data": %b, "errors": {}, "message": "Success"}' % data)


def refusal(status: int, message: str, errors: Any = None) -> Reply:
    """The envelope of a refusal."""
    flat = {"detail": [message]} if errors is None else errors
    return as_json(status, {"code": status, "data": {}, "errors": flat, "message": message})


def detail(status: int, text: str) -> Reply:
    """A refusal as the framework below the API writes it: nothing but ``detail``."""
    return as_json(status, {"detail": text})


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def renamed() -> Reply:
    """A rename that worked."""
    return success({"status": True, "message": "Image name changed successfully"})


def deleted() -> Reply:
    """A delete that worked. A Go client of the vendor's checks the status; the document does not
    show any."""
    return success({"status": True, "message": "Image deleted successfully"})


def saved(node_id: str, action_id: int, image_id: str | None, *, documented: bool) -> Reply:
    """A save that was accepted, as the document shows it (202) or as today's clients meet it
    (200)."""
    if documented:
        data: dict[str, Any] = {
            "id": action_id,
            "created_at": _now(),
            "status": "done",
            "action_type": "save_images",
        }
    else:
        data = {
            "id": action_id,
            "created_at": _now(),
            "status": "In Progress",
            "action_type": "Save Image",
        }
    data["resource_id"] = node_id
    if image_id is not None:
        data["image_id"] = image_id
    return success(data, status=202 if documented else 200)
