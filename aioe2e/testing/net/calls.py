"""Requests as values: what arrived, and what it asks for. The tables of paths, bodies and
dialects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast
from urllib.parse import parse_qsl, unquote

import attrs

#: What each dialect sends: method and action. "documented" is the vendor's save-image document,
#: "current" its newer clients, "put" e2e-cli 0.9.
DIALECTS: Mapping[str, frozenset[tuple[str, str]]] = {
    "documented": frozenset({("POST", "rename"), ("POST", "delete"), ("POST", "save")}),
    "current": frozenset({("PUT", "rename"), ("DELETE", "delete"), ("PUT", "save")}),
    "put": frozenset({("PUT", "rename"), ("PUT", "delete"), ("PUT", "save")}),
}
WRITES = frozenset({"rename", "delete", "save"})
#: Everything that `Call.action` can be.
ACTIONS = (
    "list",
    "get",
    "rename",
    "delete",
    "save",
    "nodes",
    "node",
    "catalogue",
    "account",
    "unknown",
)

#: Segments below the base; ``*`` is an id. The word is the action where the method alone decides
#: it.
_PATHS: Mapping[tuple[str, ...], Mapping[str, str]] = {
    ("images", "saved-images"): {"GET": "list"},
    ("images",): {"GET": "catalogue"},
    ("images", "*"): {
        "GET": "get",
        "POST": "image-action",
        "PUT": "image-action",
        "DELETE": "delete",
    },
    ("nodes",): {"GET": "nodes"},
    ("nodes", "*"): {"GET": "node"},
    ("nodes", "*", "actions"): {"POST": "node-action", "PUT": "node-action"},
    ("iam", "multi-crn"): {"GET": "account"},
    ("customer", "details"): {"GET": "account"},
    ("accounts", "profile", "detail"): {"GET": "account"},
}
#: The bodies that name an action: where, under which key, with which value.
_BODIES: Mapping[tuple[str, str, str], str] = {
    ("image-action", "action_type", "rename"): "rename",
    ("image-action", "action_type", "delete_image"): "delete",
    ("node-action", "type", "save_images"): "save",
}
_BODY_KEYS = {"image-action": "action_type", "node-action": "type"}


@attrs.define(kw_only=True, eq=False, slots=False, repr=False)
class Call:
    """A request that arrived.

    Attributes:
        index: Its number, from 0.
        method: ``"GET"``, ``"POST"``, …
        url: Path and query as they came.
        headers: A case-insensitive mapping.
        body: The bytes of the body.
        time: When it arrived, by ``time.monotonic()``.
        connection: The number of its connection.
        status: What was answered; None while there is no answer, and when there never will be a
            readable one, as the client has left.
        fault: The kind of the fault that was played on it.
        inside_retry_after: Seconds since a 429 was sent whose Retry-After was not yet over when
            this arrived.
    """

    index: int
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    time: float = 0.0
    connection: int = 0
    status: int | None = None
    fault: str | None = None
    inside_retry_after: float | None = None

    @cached_property
    def path(self) -> str:
        """The path, without the query."""
        return self.url.partition("?")[0]

    @cached_property
    def query(self) -> dict[str, str]:
        """The query, decoded."""
        return dict(parse_qsl(self.url.partition("?")[2], keep_blank_values=True))

    @property
    def json(self) -> Any:
        """The body as JSON; None where there is none, or none that can be read."""
        return self._read[0]

    @property
    def unreadable(self) -> bool:
        """Whether there is a body that is no JSON."""
        return not self._read[1]

    @cached_property
    def _read(self) -> tuple[Any, bool]:
        """The body as JSON, and whether it could be read."""
        try:
            return (json.loads(self.body) if self.body else None), True
        except (
            ValueError,
            RecursionError,
        ):  # the latter for a body of too many lists in each other
            return None, False

    @cached_property
    def segments(self) -> tuple[str, ...]:
        """The path below the base URL, decoded; every form of the base is taken."""
        parts = [unquote(part) for part in self.path.split("/") if part]
        for prefix in ("myaccount", "api", "v1"):
            if parts and parts[0] == prefix:
                del parts[0]
        return tuple(parts)

    @cached_property
    def _methods(self) -> Mapping[str, str] | None:
        segments = self.segments
        if (methods := _PATHS.get(segments)) is None and len(segments) > 1:
            methods = _PATHS.get((segments[0], "*", *segments[2:]))
        return methods

    @cached_property
    def action(self) -> str:
        """``list get rename delete save nodes node catalogue account``, or ``unknown``."""
        action = (self._methods or {}).get(self.method, "unknown")
        if (key := _BODY_KEYS.get(action)) is None:
            return action
        value = self.field(key)
        return _BODIES.get((action, key, value), "unknown") if isinstance(value, str) else "unknown"

    @property
    def target(self) -> str:
        """The id in the path, or ``""``."""
        return (
            self.segments[1]
            if len(self.segments) > 1 and self.action not in {"list", "account"}
            else ""
        )

    @property
    def name(self) -> str | None:
        """The name in the body."""
        name = self.field("name")
        return name if isinstance(name, str) else None

    def field(self, key: str) -> Any:
        """What the body has under a key; None where it has not, or is no object."""
        body = self.json
        return cast("dict[str, Any]", body).get(key) if isinstance(body, dict) else None

    @property
    def routed(self) -> bool:
        """Whether there is anything under this path."""
        return self._methods is not None

    @property
    def allowed(self) -> tuple[str, ...]:
        """The methods that its path takes in some dialect."""
        return tuple(self._methods or ())

    def __repr__(self) -> str:
        more = "".join(
            f" {field}={value!r}" for field in ("name", "fault") if (value := getattr(self, field))
        )
        return f"<Call {self.index} {self.method} {self.path} {self.action}{more} -> {self.status}>"
