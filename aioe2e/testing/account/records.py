"""Wire objects that record their changes, so that a listing is encoded once per change."""

from __future__ import annotations

import json
from collections.abc import (
    Callable,
    Collection,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    ValuesView,
)
from typing import Any, Self, SupportsIndex

from aioe2e.errors import UsageError

from .places import LOCATION, PROJECT, Place, place_in


def _nothing() -> None:
    """Do nothing about a change."""


_HOME = Place(PROJECT, LOCATION)


class Record(dict[str, Any]):
    """The wire object of an image or a node. A test may change it to simulate another user."""

    __slots__ = ("_changed", "_place", "_wire")

    def __init__(
        self,
        fields: Mapping[str, Any] = {},
        changed: Callable[[], None] = _nothing,
        *,
        place: Place = _HOME,
    ) -> None:
        super().__init__(fields)
        self._changed = changed
        self._place = place
        self._wire: bytes | None = None

    @property
    def place(self) -> Place:
        """The project and the location that it is in."""
        return self._place

    @property
    def project(self) -> str:
        """The id of the project that it is in; a test may move it."""
        return self._place.project

    @project.setter
    def project(self, project: str) -> None:
        self._place = self._place._replace(project=project)
        self._changed()

    @property
    def location(self) -> str:
        """The location that it is in; a test may move it."""
        return self._place.location

    @location.setter
    def location(self, location: str) -> None:
        self._place = self._place._replace(location=location)
        self._changed()

    @property
    def wire(self) -> bytes:
        """The object as JSON."""
        if self._wire is None:
            self._wire = json.dumps(self).encode()
        return self._wire

    def touch(self) -> None:
        """Discard the encoded form. Only a change within a value, such as `vm_info`, needs it."""
        self._wire = None
        self._changed()

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.touch()

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self.touch()

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Change several fields."""
        super().update(*args, **kwargs)
        self.touch()

    def pop(self, key: str, *default: Any) -> Any:
        """Remove one and return it."""
        value = super().pop(key, *default)
        self.touch()
        return value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return one; add it first if it is missing."""
        value = super().setdefault(key, default)
        self.touch()
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove the last one and return it."""
        item = super().popitem()
        self.touch()
        return item

    def clear(self) -> None:
        """Remove all."""
        super().clear()
        self.touch()

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]  # the dict's own overloads say no more
        self.update(other)
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return dict, (dict(self),)


class Records(dict[str, Record]):
    """Records by id, in the order in which they were made.

    A plain dict that is added becomes a `Record` at the place that its fields ``project_id`` and
    ``location`` name, or else at the first one. A loop goes over a snapshot, so that the server may
    add and remove records meanwhile on a thread of its own.
    """

    __slots__ = ("_encoded", "_home", "version")

    def __init__(
        self, objects: Iterable[Mapping[str, Any]], key: str, *, home: Place = _HOME
    ) -> None:
        super().__init__()
        #: Increases with every change of the mapping or of one of its records.
        self.version: int = 0
        self._home = home
        #: The latest encoded form of each place, and the version that it was made from.
        self._encoded: dict[Place, tuple[int, bytes]] = {}
        for number, fields in enumerate(objects):
            # An object without an id is served as it is: clients must cope with it.
            name = f"?{number}" if fields.get(key) is None else str(fields[key])
            if name in self:
                raise UsageError(
                    f"two objects of the emulator have the same {key!r}: {fields[key]!r}"
                )
            self[name] = fields

    def touch(self) -> None:
        """Note a change."""
        self.version += 1

    def at(self, place: Place) -> list[tuple[str, Record]]:
        """Those of one place, with their ids."""
        return [item for item in self.items() if item[1].place == place]

    def wire(self, place: Place | None = None, hidden: Collection[str] = ()) -> bytes:
        """The records of a place (the first by default) but the hidden ones, as a JSON array."""
        place = place or self._home
        if hidden:
            return _array(record for key, record in self.at(place) if key not in hidden)
        version, encoded = self._encoded.get(place, (-1, b""))
        if version != self.version:
            encoded = _array(record for _, record in self.at(place))
            # Requests may name any place; only places with records are kept.
            if encoded != b"[]":
                self._encoded[place] = self.version, encoded
        return encoded

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def _now(self) -> dict[str, Record]:
        # One step in C, which no other thread can interrupt. `copy` would come back to `__iter__`.
        return dict(super().items())

    def keys(self) -> KeysView[str]:  # type: ignore[override]  # dict promises a view of its own class
        """The ids at this moment."""
        return self._now().keys()

    def values(self) -> ValuesView[Record]:  # type: ignore[override]  # likewise
        """The records at this moment."""
        return self._now().values()

    def items(self) -> ItemsView[str, Record]:  # type: ignore[override]  # likewise
        """The ids and records at this moment."""
        return self._now().items()

    def __setitem__(self, key: str, value: Mapping[str, Any]) -> None:
        place = value.place if isinstance(value, Record) else place_in(value, self._home)
        super().__setitem__(key, Record(value, self.touch, place=place))
        self.touch()

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self.touch()

    def pop(self, key: str, *default: Any) -> Any:
        """Remove one and return it."""
        value = super().pop(key, *default)
        self.touch()
        return value

    def clear(self) -> None:
        """Remove all."""
        super().clear()
        self.touch()

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Change several fields."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return one; add it first if it is missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def popitem(self) -> tuple[str, Record]:
        """Remove the last one and return it."""
        item = super().popitem()
        self.touch()
        return item

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]  # the dict's own overloads say no more
        self.update(other)
        return self


def _array(records: Iterable[Record]) -> bytes:
    return b"[%b]" % b",".join(record.wire for record in records)
