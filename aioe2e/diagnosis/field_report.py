"""How this account's API behaves, without any value that says whose account it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, Self

import attrs

from aioe2e._call import Channel, Options
from aioe2e._plain import Reader, as_json, checked_fields, mapping, text
from aioe2e._version import __version__
from aioe2e._wire import RATE_LIMIT_HEADERS, Unreadable, is_array, is_object
from aioe2e.errors import UsageError
from aioe2e.models import Node, SavedImage

from .inspection import IMAGES, Inspection, inspect, reading
from .shapes import Vocabulary, counts, kind, shape_of_envelope, shape_of_objects

__all__ = ["FieldReport", "read_field_report"]

#: The version of the form of a report.
FORM: Final = 1
#: Headers whose values reveal nothing about the account.
_SHOWN_HEADERS: Final = frozenset(
    {"allow", "cache-control", "connection", "content-encoding", "content-type", "retry-after",
     "transfer-encoding", "vary", *(name for name in RATE_LIMIT_HEADERS if name.endswith("limit"))}
)  # fmt: skip
_PLAIN_VALUE: Final = re.compile(r"[A-Za-z0-9 ,;=/*._-]{1,80}", re.ASCII)
_HEADER: Final = re.compile(r"[a-z][a-z-]{0,39}", re.ASCII)
#: Keys that the envelope is known to have.
_OF_ENVELOPES: Final = frozenset(
    {"code", "status_code", "data", "errors", "error", "message", "detail", "success",
     "total_count", "total_page_number"}
)  # fmt: skip
_OF_IMAGES: Final = frozenset({field.name for field in attrs.fields(SavedImage)} | {"image_name"})
_OF_NODES: Final = frozenset(
    {field.name for field in attrs.fields(Node)} | {"id", "public_ip_address", "private_ip_address"}
)
_NODES: Final = attrs.evolve(reading("nodes/", "listing the nodes"), lists=True, model=Node)


@attrs.frozen(kw_only=True)
class FieldReport:
    """The result of `Session.field_report`: how the API behaves for an account.

    It does not show whose account it is: names, ids and addresses are counted or replaced.
    ``str(report)`` is text to paste into an issue.
    """

    #: The version of the library that made it.
    library: str = __version__
    #: Which settings the session has, without their values.
    setup: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    #: What a read of each route returned.
    routes: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    #: Seconds by which the server's clock is ahead of the local one; None if it is unknown.
    clock_skew: float | None = None
    #: How many names and ids of images have which form.
    images: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    #: What a trial with one image showed, by question; empty without ``writes=True``.
    answers: Mapping[str, str] = attrs.field(factory=dict[str, str])

    def to_dict(self) -> dict[str, Any]:
        """Return the value as ``json.dumps`` takes it."""
        fields = {field.name: getattr(self, field.name) for field in attrs.fields(FieldReport)}
        return {"form": FORM, **{name: as_json(value) for name, value in fields.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a report from the result of `to_dict`. It is equal to the original.

        Args:
            data: The result of `to_dict`.

        Raises:
            UsageError: It is damaged, or has another version.
        """
        form = data.get("form") if is_object(data) else None
        if form != FORM:
            raise UsageError(
                f"a field report has form {FORM}; this one has {form!r}: make a new one"
            )
        found = checked_fields("a field report", data, _READERS, ignored=("form",))
        return cls(**found)

    def __str__(self) -> str:
        body = json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
        lines = [f"## Field report of aioe2e {self.library}", ""]
        lines += [f"- {question} **{answer}**" for question, answer in self.answers.items()]
        lines += [
            f"- `{route}`: HTTP {seen.get('status')}, {seen.get('elements', 'no')} elements"
            for route, seen in self.routes.items()
        ]
        return "\n".join([*lines, "", "```json", body, "```"])


def _skew(value: Any) -> float | None:
    return None if value is None else float(value)


_READERS: Final[Mapping[str, Reader]] = {
    "library": text,
    "setup": mapping,
    "routes": mapping,
    "clock_skew": _skew,
    "images": mapping,
    "answers": mapping,
}


async def read_field_report(channel: Channel, options: Options) -> FieldReport:
    """Make the reads of a report; see `Session.field_report`."""
    seen: dict[str, Inspection] = {}
    seen["images/saved-images/"] = await inspect(channel, options, IMAGES)
    seen["nodes/"] = await inspect(channel, options, _NODES)
    image = _first_id(seen["images/saved-images/"], "image_id")
    if image is not None:
        request = reading(f"images/{image}/", "reading an image")
        seen["images/{id}/"] = await inspect(channel, options, request)
    node = _first_id(seen["nodes/"], "id")
    if node is not None:
        request = reading(f"nodes/{node}/", "reading a node")
        seen["nodes/{id}/"] = await inspect(channel, options, request)
    contents = [each.content for each in seen.values()]
    known = _OF_ENVELOPES | _OF_IMAGES | _OF_NODES
    vocabulary = Vocabulary(contents, known)
    skews: list[float] = [skew for each in seen.values() if (skew := each.clock_skew) is not None]
    smallest: float | None = None
    if skews:
        smallest = min(skews, key=abs)
        smallest = round(smallest, 1)
    return FieldReport(
        setup=_setup(channel, options),
        routes={route: _told(route, each, vocabulary) for route, each in seen.items()},
        clock_skew=smallest,
        images=_of_names(seen["images/saved-images/"]),
    )


def _first_id(seen: Inspection, key: str) -> str | None:
    """The id of the first element of a listing that can stand in a path."""
    for element in _elements(seen.content):
        value = element.get(key) if is_object(element) else None
        if isinstance(value, str | int) and re.fullmatch(r"[A-Za-z0-9_-]{1,128}", str(value)):
            return str(value)
    return None


def _elements(content: Any) -> list[Any]:
    data = content.get("data") if is_object(content) else None
    if is_array(data):
        return data
    return [data] if is_object(data) else []


def _setup(channel: Channel, options: Options) -> dict[str, Any]:
    settings = channel.settings
    return {
        "default_base_url": settings.base.startswith("https://api.e2enetworks.com/"),
        "project_set": options.context.project_id is not None,
        "location_set": options.context.location is not None,
        "dialect": settings.dialect.value,
        "key_in": settings.credentials.key_in,
    }


def _told(route: str, seen: Inspection, vocabulary: Vocabulary) -> dict[str, Any]:
    """What the report shows of one read."""
    if seen.reply is None:
        return {"status": None, "error": type(seen.error).__name__}
    told: dict[str, Any] = {
        "method": "GET",
        "status": seen.reply.status,
        "seconds": round(seen.seconds, 2),
        "headers": _headers(seen.reply.headers),
    }
    if seen.error is not None:
        told["error"] = type(seen.error).__name__
    if isinstance(seen.content, Unreadable):
        told["body"] = "an HTML page" if seen.content.html else "no JSON"
        return told
    told["envelope"] = shape_of_envelope(seen.content, vocabulary)
    elements = _elements(seen.content)
    known = _OF_IMAGES if route.startswith("images/") else _OF_NODES
    told["elements"] = len(elements)
    told["fields"] = shape_of_objects(elements, vocabulary, known)
    return told


def _headers(headers: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Header names; with their values if those cannot reveal anything about the account."""
    told: dict[str, str] = {}
    for name in sorted(headers):
        value = ", ".join(headers[name])
        shown = _HEADER.fullmatch(name)
        is_plain = name in _SHOWN_HEADERS and _PLAIN_VALUE.fullmatch(value)
        told[name if shown else "[header]"] = value if is_plain else f"[{kind(value)}]"
    return told


def _of_names(seen: Inspection) -> dict[str, Any]:
    """What the server puts before and after names, counted."""
    images = [each for each in _elements(seen.content) if is_object(each)]
    names = [_first_text(each, "name", "image_name") for each in images]
    asked = [_first_text(each, "os_distribution") for each in images]
    pairs = list(zip(names, asked, strict=True))
    return {
        "ends": counts(map(_end, names)),
        "os_distribution": counts(_relation(name, other) for name, other in pairs),
        "ids": counts(kind(each.get("image_id")) for each in images),
        "distinct_names": len(set(names)),
    }


def _first_text(image: Mapping[str, Any], *fields: str) -> str:
    """The first of some fields that is not empty."""
    return next((str(image[field]) for field in fields if image.get(field)), "")


def _end(name: str) -> str:
    if re.search(r"-disk-\d+$", name):
        return "-disk-9"
    return "_<epoch>" if re.search(r"_\d{10}$", name) else "nothing known"


def _relation(name: str, other: str) -> str:
    """How `os_distribution` is related to the name."""
    if not other:
        return "missing"
    bare = re.sub(r"-disk-\d+$|_\d{10}$", "", name)
    if other in (name, bare):
        return "the name"
    if bare and re.fullmatch(rf"[A-Z]{{2,6}}-{re.escape(bare)}", other):
        return "a prefix and the name"
    return "something else"
