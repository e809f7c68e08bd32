"""What a request can ask for: the routes, the bodies that name an action, and the dialects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast
from urllib.parse import unquote, urlsplit

import attrs

#: Where the API lives on its host.
BASE = ("myaccount", "api", "v1")

#: What each dialect sends, as pairs of method and form. A form is an action; only the save by the
#: path of the node has a form of its own. "documented" is the vendor's save-image document,
#: "current" its newer clients, "put" e2e-cli 0.9, "goe2e" the Go client of the Terraform provider.
DIALECTS: Mapping[str, frozenset[tuple[str, str]]] = {
    "documented": frozenset({("POST", "rename"), ("POST", "delete"), ("POST", "save")}),
    "current": frozenset({("PUT", "rename"), ("DELETE", "delete"), ("PUT", "save")}),
    "put": frozenset({("PUT", "rename"), ("PUT", "delete"), ("PUT", "save")}),
    "goe2e": frozenset({("PUT", "rename"), ("DELETE", "delete"), ("PUT", "save-by-node-path")}),
}
WRITES = frozenset({"rename", "delete", "save"})
#: Everything that `RecordedRequest.action` can be.
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
#: Forms that are another way to ask for an action.
_ACTION_OF_FORM: Mapping[str, str] = {
    "save-by-node-path": "save",
    "categories": "catalogue",
    "identity": "account",
}


@attrs.frozen
class _Body:
    """How a body names a form: the key to read, and the form for each value."""

    key: str
    forms: Mapping[str, str]


_IMAGE_BODY = _Body("action_type", {"rename": "rename", "delete_image": "delete"})
_ACTION_BODY = _Body("type", {"save_images": "save"})
_NODE_BODY = _Body("action_type", {"save_images": "save-by-node-path"})

_Methods: TypeAlias = Mapping[str, str | _Body]

#: Segments below the base; ``*`` is an id. Either the method or the body names the form.
_ROUTES: Mapping[tuple[str, ...], _Methods] = {
    ("images", "saved-images"): {"GET": "list"},
    ("images", "os-category"): {"GET": "categories"},
    ("images", "category-list"): {"GET": "categories"},
    ("images",): {"GET": "catalogue"},
    ("images", "*"): {
        "GET": "get",
        "POST": _IMAGE_BODY,
        "PUT": _IMAGE_BODY,
        "DELETE": "delete",
    },
    ("nodes",): {"GET": "nodes"},
    ("nodes", "*"): {"GET": "node", "PUT": _NODE_BODY},
    ("nodes", "*", "actions"): {"POST": _ACTION_BODY, "PUT": _ACTION_BODY},
    ("iam", "multi-crn"): {"GET": "identity"},
    ("customer", "details"): {"GET": "account"},
    ("accounts", "profile", "detail"): {"GET": "account"},
}


@attrs.frozen
class Route:
    """What can be requested at one path."""

    #: Its methods, in any dialect.
    methods: _Methods
    #: The id in the path, or ``""``.
    target: str = ""

    def form(self, method: str, body: object) -> str:
        """The form that a request asks for; ``"unknown"`` if there is none."""
        taken = self.methods.get(method, "unknown")
        if isinstance(taken, str):
            return taken
        if not isinstance(body, dict):
            return "unknown"
        value = cast("dict[str, object]", body).get(taken.key)
        return taken.forms.get(value, "unknown") if isinstance(value, str) else "unknown"

    @property
    def forms(self) -> frozenset[str]:
        """All forms that its methods can ask for."""
        found: set[str] = set()
        for taken in self.methods.values():
            found.update([taken] if isinstance(taken, str) else taken.forms.values())
        return frozenset(found)


#: A path where nothing is served.
NOWHERE = Route({})


def action_of(form: str) -> str:
    """The action that a form asks for."""
    return _ACTION_OF_FORM.get(form, form)


def split_url(url: str) -> tuple[str, str]:
    """Path and query of the target of a request, which may be a whole URL."""
    if not url.startswith("/") and "://" in url:
        parts = urlsplit(url)
        return parts.path or "/", parts.query
    path, _, query = url.partition("#")[0].partition("?")
    return path, query


def segments_of(path: str, *, any_base: bool) -> tuple[str, ...] | None:
    """The path below the base, decoded; None for a path that does not begin with it.

    Args:
        path: The path as it came. Doubled slashes and a missing one at the end are accepted.
        any_base: Whether a part of the base will do.
    """
    parts = [unquote(part) for part in path.split("/") if part]
    if any_base:
        for part in BASE:
            if parts and parts[0] == part:
                del parts[0]
        return tuple(parts)
    if tuple(parts[: len(BASE)]) != BASE:
        return None
    return tuple(parts[len(BASE) :])


def route_of(segments: Sequence[str]) -> Route:
    """The route of a path below the base."""
    if (methods := _ROUTES.get(tuple(segments))) is not None:
        return Route(methods)
    if len(segments) > 1:
        pattern = (segments[0], "*", *segments[2:])
        if (methods := _ROUTES.get(pattern)) is not None:
            return Route(methods, segments[1])
    return NOWHERE
