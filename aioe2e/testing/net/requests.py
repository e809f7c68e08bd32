"""Requests as values: what arrived, and what it asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast
from urllib.parse import parse_qsl

import attrs

from .paths import NOWHERE, Route, action_of, route_of, segments_of, split_url


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


@attrs.define(kw_only=True, eq=False, slots=False, repr=False)
class RecordedRequest:
    """A request that the emulator received."""

    #: The number of the request, from 0.
    index: int
    #: The HTTP method, such as ``"GET"``.
    method: str
    #: The path and query as they were sent.
    url: str
    #: The headers, as a case-insensitive mapping.
    headers: Mapping[str, str]
    #: The bytes of the body.
    body: bytes = b""
    #: When it arrived, by ``time.monotonic()``.
    time: float = 0.0
    #: The number of its connection.
    connection: int = 0
    #: The HTTP status of the reply; None if there is none yet, or never will be a whole one.
    status: int | None = None
    #: The kind of the fault that it met; None if it met none.
    fault: str | None = None
    #: Seconds since a 429 whose Retry-After was not over yet when this request arrived; None if
    #: there was none.
    inside_retry_after: float | None = None
    #: Whether every part of the base URL is taken for the base; see `Rules.any_base`.
    any_base: bool = False

    @cached_property
    def path(self) -> str:
        """The path, without the query."""
        return split_url(self.url)[0]

    @cached_property
    def query(self) -> dict[str, str]:
        """The query, decoded."""
        return dict(parse_qsl(split_url(self.url)[1], keep_blank_values=True))

    @property
    def json(self) -> Any:
        """The body as JSON; None if there is none or it is unreadable."""
        return self._read[0]

    @property
    def unreadable(self) -> bool:
        """Whether there is a body that is not JSON."""
        return not self._read[1]

    @cached_property
    def _read(self) -> tuple[Any, bool]:
        """The body as JSON, and whether it could be read."""
        if not self.body:
            return None, True
        try:
            # Not from bytes, which json also takes as UTF-16.
            return json.loads(self.body.decode(), parse_constant=_no_json), True
        except (ValueError, RecursionError):
            # The latter is raised for too many nested lists.
            return None, False

    @cached_property
    def route(self) -> Route:
        """What its path takes."""
        segments = segments_of(self.path, any_base=self.any_base)
        return NOWHERE if segments is None else route_of(segments)

    @cached_property
    def form(self) -> str:
        """The action, or a special form of it that only some dialects have."""
        method = "GET" if self.method == "HEAD" else self.method
        return self.route.form(method, self.json)

    @property
    def action(self) -> str:
        """The action, such as ``"list"`` or ``"rename"``; ``"unknown"`` if there is none."""
        return action_of(self.form)

    @property
    def target(self) -> str:
        """The id in the path; empty if there is none."""
        return self.route.target

    @property
    def name(self) -> str | None:
        """The name in the body; None if there is none."""
        name = self.field("name")
        return name if isinstance(name, str) else None

    def field(self, key: str) -> Any:
        """Return a value of the body; None if the body does not have it.

        Args:
            key: The key of the value.
        """
        body = self.json
        return cast("dict[str, Any]", body).get(key) if isinstance(body, dict) else None

    def forget_derived(self) -> None:
        """Discard what was derived from the request; it is derived again when it is asked for.

        Many requests are kept, and few of them are read.
        """
        for name in _DERIVED:
            self.__dict__.pop(name, None)

    def __repr__(self) -> str:
        more = "".join(
            f" {field}={value!r}" for field in ("name", "fault") if (value := getattr(self, field))
        )
        line = f"{self.index} {self.method} {self.path} {self.action}{more}"
        return f"<RecordedRequest {line} -> {self.status}>"


#: The former name of the class.
Call = RecordedRequest

#: What is derived from a request and kept while it is answered.
_DERIVED = tuple(
    name for name, value in vars(RecordedRequest).items() if isinstance(value, cached_property)
)
