"""Which request meets which fault: by script, by rule, by seeded chance, or as a function of the request decides."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal, TypeAlias

import attrs

from ._calls import WRITES, Call
from ._fault_table import KINDS, Effect, Kind

#: A fault, the name of its kind, or None for a healthy reply.
FaultLike: TypeAlias = "Fault | str | None"
Chooser: TypeAlias = Callable[[Call], FaultLike]
#: Everything that `FakeE2E` takes as ``faults``.
FaultsLike: TypeAlias = "Faults | Fault | str | Chooser | Iterable[FaultLike] | None"


@attrs.frozen
class Fault:
    """One thing that goes wrong.

    Args:
        kind: What: a key of `aioe2e.testing.KINDS`.
        applied: Whether a write takes effect: True before the fault shows, False not at all, ``"late"`` after the
            connection has gone. By default what the kind does first. A kind refuses what would be a lie (a whole
            success reply for something that was never done).
        seconds: How long it takes, for kinds that take time (hangs, drips, refusals, lagging listings).
        late: When a late effect happens, in seconds after the connection, or the fault, has ended.
        value: What the kind makes of it: the text of a Retry-After, the size of a body in bytes, the number of
            connections to cut.

    Raises:
        ValueError: No such kind, or the kind cannot be (or not be) applied.
    """

    kind: str
    applied: bool | Literal["late"] | None = None
    seconds: float | None = attrs.field(default=None, kw_only=True)
    late: float = attrs.field(default=0.05, kw_only=True)
    value: str | int | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault {self.kind!r}; there are: {', '.join(KINDS)}")
        if self.applied is not None and _EFFECTS[self.applied] not in self.row.effects:
            can = ", ".join(effect.value for effect in self.row.effects)
            raise ValueError(f"the effect of a request that meets {self.kind!r} can be: {can}")

    @property
    def row(self) -> Kind:
        """The kind's row in the table."""
        return KINDS[self.kind]

    @property
    def effect(self) -> Effect:
        """When a write takes effect."""
        return self.row.effects[0] if self.applied is None else _EFFECTS[self.applied]

    @classmethod
    def of(cls, fault: FaultLike) -> Fault | None:
        """A fault from the name of its kind."""
        return cls(fault) if isinstance(fault, str) else fault


_EFFECTS: Mapping[bool | str, Effect] = {False: Effect.NOT, True: Effect.BEFORE, "late": Effect.LATE}
_APPLIED: Mapping[Effect, bool | Literal["late"]] = {Effect.NOT: False, Effect.BEFORE: True, Effect.LATE: "late"}


class Faults:
    """A list of ways to choose a fault; the first that has one for a request wins. `a + b` puts two lists together.

    Example:
        ``Faults.on("rename", "reset", times=2) + Faults.random(0.1, seed=7)``
    """

    def __init__(self, *choosers: Chooser) -> None:
        self._choosers = choosers

    def __call__(self, call: Call) -> Fault | None:
        """The fault for a request."""
        for choose in self._choosers:
            if (fault := Fault.of(choose(call))) is not None:
                return fault
        return None

    def __add__(self, other: Faults) -> Faults:
        return Faults(*self._choosers, *other._choosers)

    @classmethod
    def of(cls, faults: FaultsLike) -> Faults:
        """Faults from whatever says so: a fault or a kind (every request), a script, a function of the call."""
        if faults is None:
            return cls()
        if isinstance(faults, Faults):
            return faults
        if isinstance(faults, Fault | str):
            return cls.on(None, faults, times=None)
        if callable(faults):
            return cls(faults)
        return cls.script(*faults)

    @classmethod
    def script(cls, *faults: FaultLike) -> Faults:
        """The first fault for the first request, and so on; None lets one pass; healthy after the last."""
        queue = iter([Fault.of(fault) for fault in faults])
        return cls(lambda _: next(queue, None))

    @classmethod
    def on(
        cls,
        action: str | Collection[str] | None,
        fault: Fault | str,
        *,
        target: str | None = None,
        method: str | None = None,
        skip: int = 0,
        times: int | None = 1,
    ) -> Faults:
        """A fault for requests of one action (``"list"``, ``"rename"``, …; None for any), of one image or node.

        Args:
            action: One action, several, or None for all.
            fault: What they meet.
            target: Only for this id.
            method: Only for this HTTP method.
            skip: The first so many that fit pass.
            times: How many meet it; None for all.
        """
        actions = {action} if isinstance(action, str) else action
        chosen = Fault.of(fault)
        seen = 0

        def choose(call: Call) -> Fault | None:
            nonlocal seen
            fits = (
                (actions is None or call.action in actions)
                and target in (None, call.target)
                and method in (None, call.method)
            )
            if not fits:
                return None
            seen += 1
            return chosen if seen > skip and (times is None or seen <= skip + times) else None

        return cls(choose)

    @classmethod
    def random(
        cls,
        rate: float,
        *,
        seed: int = 0,
        kinds: Collection[str] | None = None,
        actions: Collection[str] | None = None,
        seconds: float | None = None,
    ) -> Faults:
        """Faults by chance, the same for the same seed and order of requests.

        Args:
            rate: The share of requests that meet one, 0 to 1.
            seed: Of the dice.
            kinds: Which; by default all that take neither long nor much memory.
            actions: For which actions; all by default.
            seconds: `Fault.seconds` of all of them.
        """
        if not 0 <= rate <= 1:
            raise ValueError(f"rate must be between 0 and 1, not {rate!r}")
        names = [kind for kind, row in KINDS.items() if not row.opt_in] if kinds is None else list(kinds)
        for name in names:
            Fault(name)
        dice = random.Random(seed)

        def choose(call: Call) -> Fault | None:
            if (actions is not None and call.action not in actions) or dice.random() >= rate:
                return None
            kind = dice.choice(names)
            applied = _APPLIED[dice.choice(KINDS[kind].effects)] if call.action in WRITES else None
            return Fault(kind, applied, seconds=seconds)

        return cls(choose)
