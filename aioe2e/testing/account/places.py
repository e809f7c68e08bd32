"""Where images and nodes are: a project and a location."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from aioe2e.errors import UsageError

#: The project and the location of an account that names none.
PROJECT = "12345"
LOCATION = "Delhi"


class Place(NamedTuple):
    """A project and a location. A listing shows what is in one of them."""

    project: str
    location: str


def places_of(projects: Collection[str] | None, locations: Collection[str] | None) -> list[Place]:
    """All places of an account. A request that names none is about the first."""
    found = product(projects or [PROJECT], locations or [LOCATION])
    return [Place(project, location) for project, location in found]


def place_in(fields: Mapping[str, Any], home: Place) -> Place:
    """The place that a wire object or a query names; what it does not name is that of `home`."""
    project, location = fields.get("project_id"), fields.get("location")
    return Place(_text(project) or home.project, _text(location) or home.location)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def refuse_strangers(
    name: str,
    objects: Sequence[Mapping[str, Any]],
    projects: Collection[str] | None,
    locations: Collection[str] | None,
) -> None:
    """Refuse objects that name a project or a location that the account does not have.

    Raises:
        UsageError: The first of them.
    """
    limited = {"project_id": projects, "location": locations}
    known = {field: values for field, values in limited.items() if values is not None}
    for number, fields in enumerate(objects):
        for field, values in known.items():
            value = _text(fields.get(field))
            if value not in ("", *values):
                raise UsageError(
                    f"{name}[{number}]: {field} {value!r} is none of the account's;"
                    f" it has {', '.join(values)}"
                )
