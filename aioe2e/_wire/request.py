"""What is asked of the server, as values: an action becomes a `Request`. No I/O, no loop.

The requests are those of the vendor's save-image document (POST for all three actions) and of the
vendor's newer clients (PUT, DELETE).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import attrs

from aioe2e._actions import ACTIONS, ActionSpec, Repeatability
from aioe2e._check import as_str, is_text, quoted, require_bool
from aioe2e.config import Dialect
from aioe2e.errors import UsageError
from aioe2e.models import Action, SavedImage


class Context(NamedTuple):
    """Which project and which location requests are about; None for the server's own choice."""

    project_id: str | None = None
    location: str | None = None

    def query(self) -> dict[str, str]:
        """The parameters that say so."""
        return {key: value for key, value in self._asdict().items() if value is not None}


@attrs.define(eq=False, repr=False)
class Request:
    """One request, but for the base URL, the credentials and the context that are added to it."""

    #: What it is for, in a word: the `action` of errors and events.
    action: str
    #: The id or path that it is about; empty where the action says it all.
    target: str
    repeat: Repeatability
    method: str
    path: str
    body: bytes | None = None
    #: The name that it gives, and the word that stands before it in an error: ``to``, ``as``.
    name: str = ""
    name_word: str = ""
    query: Mapping[str, str] | None = None
    #: The first words of an error about it, before the target.
    subject: str = "request to"
    #: What to do when it cannot be known whether it was carried out; for writes.
    advice: str = "read its state before sending it again"
    #: The key in ``data`` under which the reply names the target, where it does.
    target_key: str = ""
    #: The path before the target was put in, and the dialect of the method; of image actions.
    route: str = ""
    dialect: Dialect | None = None
    #: Other dialects, to be tried in this order on a 405.
    fallbacks: tuple[Dialect, ...] = ()
    #: Whether its reply is a listing: ``data`` holds a list, which may be as large as
    #: `Limits.max_body` and is read in slices.
    lists: bool = False
    #: Whether its reply is kept as it came, with all its headers.
    inspected: bool = False
    #: What the elements of that list are.
    model: type[Any] | None = None


LIST = Request(
    "list",
    "",
    Repeatability.READ,
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
    spec = ACTIONS[action]
    spoken = dialect
    fallbacks: tuple[Dialect, ...] = ()
    if dialect is Dialect.AUTO:
        spoken = learned.get(spec.path, Dialect.DOCUMENTED)
        fallbacks = _FALLBACKS[action, spoken]
    method = _method(spec, spoken)
    return Request(
        action.value,
        target,
        spec.repeat,
        method,
        spec.path.format(target),
        _body(spec, method, name),
        name,
        spec.name_word,
        None,
        spec.subject,
        spec.advice,
        spec.target_key,
        spec.path,
        spoken,
        fallbacks,
    )


def _body(spec: ActionSpec, method: str, name: str) -> bytes | None:
    return None if method == "DELETE" else spec.body(name)


#: The dialects in the order in which `Dialect.AUTO` tries them.
_IN_ORDER = (Dialect.DOCUMENTED, Dialect.CURRENT, Dialect.PUT)


def _method(spec: ActionSpec, dialect: Dialect) -> str:
    if dialect is Dialect.DOCUMENTED:
        return spec.documented
    if dialect is Dialect.CURRENT:
        return spec.current
    return "PUT"


def _fallbacks(spec: ActionSpec, spoken: Dialect) -> tuple[Dialect, ...]:
    """What to speak instead of a dialect that was answered with 405, each method once."""
    methods = [_method(spec, spoken)]
    found: list[Dialect] = []
    for dialect in _IN_ORDER:
        if _method(spec, dialect) not in methods:
            methods.append(_method(spec, dialect))
            found.append(dialect)
    return tuple(found)


_FALLBACKS: Mapping[tuple[str, Dialect], tuple[Dialect, ...]] = {
    (action, spoken): _fallbacks(spec, spoken)
    for action, spec in ACTIONS.items()
    for spoken in _IN_ORDER
}


def in_next_dialect(request: Request) -> Request:
    """The same request in the first of its `fallbacks`."""
    dialect, *others = request.fallbacks
    spec = ACTIONS[request.action]
    method = _method(spec, dialect)
    return attrs.evolve(
        request,
        method=method,
        body=_body(spec, method, request.name),
        dialect=dialect,
        fallbacks=tuple(others),
    )


def describe(request: Request) -> str:
    """What was tried, as the first words of an error: ``rename of image 2292``."""
    if not request.target:
        return request.subject
    return f"{request.subject} {request.target}"


_PATH = r"[A-Za-z0-9_~.-]+(/[A-Za-z0-9_~.-]+)*/?"
_DOTS = frozenset({".", ".."})
_METHODS = frozenset({"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"})
_READS = frozenset({"GET", "HEAD"})
#: No parameter is a larger number, and Python writes none of thousands of digits.
_TOO_LARGE = 10**128


def plain_request(
    method: object,
    path: object,
    query: Mapping[Any, Any] | None,
    content: Any,
    repeatable: object,
) -> Request:
    """The request for `Session.request`, checked.

    Raises:
        UsageError: It cannot be sent.
    """
    verb = _checked_method(method)
    is_repeatable = require_bool("repeatable", repeatable)
    repeat = Repeatability.ONCE
    if verb in _READS:
        repeat = Repeatability.READ
    elif is_repeatable:
        repeat = Repeatability.IDEMPOTENT
    if content is not None and verb in _READS:
        raise UsageError(f"json: a {verb} has no body; parameters go into query")
    place = _checked_path(path)
    parameters = None if query is None else _checked_query(query)
    return Request(
        "request",
        place,
        repeat,
        verb,
        place,
        _as_json(content),
        query=parameters,
        inspected=True,
    )


def _checked_method(method: object) -> str:
    if not isinstance(method, str) or method.upper() not in _METHODS:
        known = ", ".join(sorted(_METHODS))
        raise UsageError(f"method must be one of {known}, not {quoted(method)}")
    return as_str(method).upper()


def _checked_path(path: object) -> str:
    if isinstance(path, str):
        climbs = not _DOTS.isdisjoint(path.split("/"))
        if re.fullmatch(_PATH, path) and not climbs:
            return as_str(path)
        path = path.partition("?")[0]  # what follows a question mark may be an API key
    raise UsageError(f"path must be relative, without query, such as 'nodes/', not {quoted(path)}")


def _checked_query(query: Mapping[Any, Any]) -> dict[str, str]:
    if not isinstance(query, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without types
        raise UsageError(f"query must be a mapping, not {type(query).__name__}")
    return {_checked_key(key): _checked_value(key, value) for key, value in query.items()}


def _checked_key(key: object) -> str:
    if not isinstance(key, str) or key.lower() == "apikey" or not is_text(key):
        raise UsageError(
            f"query: {quoted(key)} cannot be a parameter; the API key is added by the session"
        )
    return as_str(key)


def _checked_value(key: str, value: object) -> str:
    if isinstance(value, str) and is_text(value):
        return as_str(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _TOO_LARGE:
        return int.__repr__(value)
    raise UsageError(f"query: {key} must be text or a whole number, not {quoted(value)}")


def _as_json(content: Any) -> bytes | None:
    if content is None:
        return None
    problem = ""
    try:
        return json.dumps(content, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        problem = type(error).__name__
    raise UsageError(f"json cannot be written as JSON ({problem})")
