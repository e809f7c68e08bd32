"""Objects of the emulator that notice when they are changed, so that a listing is only encoded
where it changed."""

from __future__ import annotations

import json
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Self, SupportsIndex

from aioe2e.errors import UsageError


def _nothing() -> None:
    """Nobody needs to know yet."""


class Record(dict[str, Any]):
    """One wire object (an image or a node). It may be changed freely, also by a test that plays
    another user."""

    __slots__ = ("_changed", "_wire")

    def __init__(
        self, fields: Mapping[str, Any] = {}, changed: Callable[[], None] = _nothing
    ) -> None:
        super().__init__(fields)
        self._changed = changed
        self._wire: bytes | None = None

    @property
    def wire(self) -> bytes:
        """The object as JSON."""
        if self._wire is None:
            self._wire = json.dumps(self).encode()
        return self._wire

    def touch(self) -> None:
        """Forget what was encoded. Only needed after a change deep inside a value (a list within
        `vm_info`)."""
        self._wire = None
        self._changed()

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.touch()

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self.touch()

    def update(self, *args: Any, **kwargs: Any) -> None:
        super().update(*args, **kwargs)
        self.touch()

    def pop(self, key: str, *default: Any) -> Any:
        value = super().pop(key, *default)
        self.touch()
        return value

    def setdefault(self, key: str, default: Any = None) -> Any:
        value = super().setdefault(key, default)
        self.touch()
        return value

    def popitem(self) -> tuple[str, Any]:
        item = super().popitem()
        self.touch()
        return item

    def clear(self) -> None:
        super().clear()
        self.touch()

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]  # the dict's own overloads say no more
        self.update(other)
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return dict, (dict(self),)


class Records(dict[str, Record]):
    """Records by id, in the order in which they came to be. A plain dict put in becomes a `Record`.

    Whatever goes through it goes through what there was at the start, so that a test may do so
    while the server adds and removes records on a thread of its own.

    Attributes:
        version: Grows with every change of the mapping or of one of its records.
    """

    __slots__ = ("_all", "version")

    def __init__(self, objects: Iterable[Mapping[str, Any]], key: str) -> None:
        super().__init__()
        self.version: int = 0
        self._all: tuple[int, bytes] | None = None
        for place, fields in enumerate(objects):
            # An object without an id is served as it is: clients have to cope with it.
            name = f"?{place}" if fields.get(key) is None else str(fields[key])
            if name in self:
                raise UsageError(
                    f"two objects of the emulator have the same {key!r}: {fields[key]!r}"
                )
            self[name] = fields

    def touch(self) -> None:
        """Note a change."""
        self.version += 1

    def wire(self, hidden: frozenset[str] | set[str] = frozenset()) -> bytes:
        """All records but the hidden ones as a JSON array; encoded again only where something
        changed."""
        if hidden:
            return b"[%b]" % b",".join(
                record.wire for key, record in self.items() if key not in hidden
            )
        if self._all is None or self._all[0] != self.version:
            self._all = self.version, b"[%b]" % b",".join(record.wire for record in self.values())
        return self._all[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def _now(self) -> dict[str, Record]:
        # One step in C, which no other thread can interrupt. `copy` would come back to `__iter__`.
        return dict(super().items())

    def keys(self) -> KeysView[str]:  # type: ignore[override]  # dict promises a view of its own class
        return self._now().keys()

    def values(self) -> ValuesView[Record]:  # type: ignore[override]  # likewise
        return self._now().values()

    def items(self) -> ItemsView[str, Record]:  # type: ignore[override]  # likewise
        return self._now().items()

    def __setitem__(self, key: str, value: Mapping[str, Any]) -> None:
        super().__setitem__(key, Record(value, self.touch))
        self.touch()

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self.touch()

    def pop(self, key: str, *default: Any) -> Any:
        value = super().pop(key, *default)
        self.touch()
        return value

    def clear(self) -> None:
        super().clear()
        self.touch()

    def update(self, *args: Any, **kwargs: Any) -> None:
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def popitem(self) -> tuple[str, Record]:
        item = super().popitem()
        self.touch()
        return item

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]  # the dict's own overloads say no more
        self.update(other)
        return self
