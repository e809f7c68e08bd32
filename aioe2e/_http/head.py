"""The head of requests. The only place where the credentials are spelt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal
from urllib.parse import quote

#: Where the API takes the key.
KeyIn = Literal["query", "header"]

#: Methods whose request has no Content-Length when it has no body.
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
#: Headers that are made here, whatever a tracer has put in.
_OWN: Final = frozenset({"authorization", "content-length", "x-api-key"})
_BREAKS: Final = frozenset("\r\n\0")


class Head:
    """Spells whole requests to one server.

    aiohttp, and with it every tool that watches aiohttp, is given URLs without the api key and
    headers without credentials. Both are added here, in the step that hands the bytes to the
    socket, and no other value holds them.

    Args:
        headers: The headers of every request but the credentials, ``Host`` included.
        api_key: The api key.
        key_in: Whether the key goes into the query or into the header ``X-API-Key``.
    """

    __slots__ = ("_authorization", "_headers", "_key_header", "_key_parameter", "_plain")

    def __init__(self, headers: Mapping[str, str], *, api_key: str, key_in: KeyIn) -> None:
        self._headers = headers
        #: The lines of a request to which no tracer has added any.
        self._plain = _lines(headers.items())
        self._key_parameter = encoded({"apikey": api_key}) if key_in == "query" else ""
        self._key_header = _lines({"X-API-Key": api_key}.items()) if key_in == "header" else ""
        self._authorization = ""

    def authorize(self, token: str) -> None:
        """Use a token from now on."""
        self._authorization = _lines({"Authorization": f"Bearer {token}"}.items())

    def spell(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes | None
    ) -> bytearray:
        """A whole request, to be written in the same step and wiped after.

        Args:
            method: The method.
            path: The path, encoded.
            query: The query, encoded, without the api key.
            headers: Headers that a tracer has added or changed, checked; empty where there is none.
            body: The body.
        """
        key = self._key_parameter
        target = f"{path}?{key}&{query}" if key and query else f"{path}?{key}{query}"
        length = ""
        if body is not None or method not in _WITHOUT_BODY:
            length = f"Content-Length: {len(body or b'')}\r\n"
        lines = self._merged(headers) if headers else self._plain
        credentials = f"{self._authorization}{self._key_header}"
        head = f"{method} {target} HTTP/1.1\r\n{lines}{credentials}{length}\r\n"
        whole = bytearray(head, "utf-8")
        whole += body or b""
        return whole

    def _merged(self, headers: Mapping[str, str]) -> str:
        """The lines of the usual headers and of those that a tracer has added."""
        usual = [pair for pair in self._headers.items() if pair[0] not in headers]
        added = [pair for pair in headers.items() if pair[0].lower() not in _OWN]
        return _lines(usual + added)

    def __repr__(self) -> str:
        return "Head()"


def require_one_line(headers: Mapping[str, str]) -> None:
    """Refuse headers that would become two.

    Raises:
        ValueError: A name or a value holds a line break.
    """
    for name, value in headers.items():
        if not _BREAKS.isdisjoint(f"{name}{value}"):
            raise ValueError(f"the header {name!r} holds a line break")


def _lines(headers: Iterable[tuple[str, str]]) -> str:
    """Headers as they are written."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers)


def encoded(query: Mapping[str, str]) -> str:
    """Parameters as a query."""
    return "&".join(
        f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in query.items()
    )
