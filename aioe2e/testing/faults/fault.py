"""One fault, as a value that is checked when it is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import attrs

from aioe2e.errors import UsageError
from aioe2e.testing import _checks as checks
from aioe2e.testing.account import LONGEST_LAG

from .table import KINDS, Effect, Kind

#: Whether a write takes effect: `Fault.applied`.
Applies: TypeAlias = bool | Literal["late"]

_EFFECTS: Mapping[Applies, Effect] = {False: Effect.NOT, True: Effect.BEFORE, "late": Effect.LATE}
_APPLIED: Mapping[Effect, Applies] = {effect: applied for applied, effect in _EFFECTS.items()}


def _kind(name: str, value: object) -> None:
    checks.known(
        name,
        value,
        KINDS,
        more=f"docs/fault-kinds.md and aioe2e.testing.KINDS list all {len(KINDS)}",
    )


def _applied(name: str, value: object) -> None:
    # Not a membership test: 1 equals True.
    if isinstance(value, bool | None) or value == "late":
        return
    checks.refuse(name, "True, False or 'late', or None for the default of its kind", value)


def _seconds(name: str, value: object) -> None:
    if value is not None:
        checks.seconds(name, value)


def _value(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        checks.refuse(name, "text or a whole number, or None for the default of its kind", value)


@attrs.frozen
class Fault:
    """One fault: an error that the emulator injects.

    Args:
        kind: The kind, a key of `aioe2e.testing.KINDS`.
        applied: Whether a write takes effect: True before the fault shows, False not at all,
            ``"late"`` after the connection has been closed. By default the first effect of the
            kind. An effect that contradicts the kind is refused (a whole success reply for
            something that was never done).
        seconds: How long it takes, for kinds that take time (hangs, drips, refusals, lagging
            listings), 0 or more. A listing can lag by 60 seconds at the most; `Rules.listing_lag`
            has no such limit.
        late: When a late effect happens, in seconds after the connection, or the fault, has ended.
        value: The value that the kind uses: the text of a Retry-After or of a Location, the size of
            a body in bytes, or the number of connections to cut.

    Raises:
        UsageError: There is no such kind, or an argument is invalid for it.
    """

    #: The kind, a key of `aioe2e.testing.KINDS`.
    kind: str = attrs.field(validator=lambda _, __, value: _kind("fault", value))
    #: Whether a write takes effect; None for the first effect of the kind.
    applied: Applies | None = attrs.field(default=None, validator=checks.checked(_applied))
    #: How long it takes; None for the default of the kind.
    seconds: float | None = attrs.field(
        default=None, kw_only=True, validator=checks.checked(_seconds)
    )
    #: When a late effect happens, in seconds after the connection, or the fault, has ended.
    late: float = attrs.field(default=0.05, kw_only=True, validator=checks.checked(checks.seconds))
    #: The value that the kind uses; None for the default of the kind.
    value: str | int | None = attrs.field(
        default=None, kw_only=True, validator=checks.checked(_value)
    )

    def __attrs_post_init__(self) -> None:
        row = self.row
        if self.effect not in row.effects:
            can = ", ".join(repr(_APPLIED[effect]) for effect in row.effects)
            raise UsageError(f"Fault.applied of {self.kind!r} can be {can}, not {self.applied!r}")
        if self.lag > LONGEST_LAG:
            checks.refuse(
                f"Fault.seconds of {self.kind!r}", f"{LONGEST_LAG:g} or less", self.seconds
            )
        if self.value is not None:
            self._check_value(row.value)

    def _check_value(self, taken: type[Any] | None) -> None:
        name = f"Fault.value of {self.kind!r}"
        if taken is None:
            checks.refuse(name, "left out, as this kind does not use it", self.value)
        if taken is int:
            checks.whole(name, self.value)

    @property
    def row(self) -> Kind:
        """The entry of the kind in `aioe2e.testing.KINDS`."""
        return KINDS[self.kind]

    @property
    def effect(self) -> Effect:
        """When a write takes effect."""
        return self.row.effects[0] if self.applied is None else _EFFECTS[self.applied]

    @property
    def lag(self) -> float:
        """Seconds by which the listing is out of date."""
        if self.seconds is None or not self.row.lag:
            return self.row.lag
        return self.seconds

    @classmethod
    def of(cls, fault: object) -> Fault | None:
        """Return a fault for a fault or the name of its kind; None for None.

        Args:
            fault: A fault, the name of a kind, or None.

        Raises:
            UsageError: It is none of these.
        """
        if isinstance(fault, str):
            return cls(fault)
        if fault is not None and not isinstance(fault, Fault):
            checks.refuse("a fault", "a Fault, the name of a kind, or None", fault)
        return fault


def applied_by(effect: Effect) -> Applies:
    """What `Fault.applied` says for an effect."""
    return _APPLIED[effect]
