"""Chooses the fault of each request: by a script, a rule, seeded chance, or a function."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable
from collections.abc import Set as AbstractSet
from typing import TypeAlias, TypeGuard

import attrs

from aioe2e.testing import _checks as checks
from aioe2e.testing.net import ACTIONS, WRITES, RecordedRequest

from .fault import Fault, applied_by
from .table import KINDS

#: A fault, the name of its kind, or None for a healthy reply.
FaultLike: TypeAlias = Fault | str | None
Chooser: TypeAlias = Callable[[RecordedRequest], FaultLike]


@attrs.define(eq=False)
class FaultRule:
    """A fault for the requests that match: a number of them, after a number of others."""

    #: The fault.
    fault: Fault
    #: Their actions; None for all.
    actions: frozenset[str] | None = None
    #: The id that they are about; None for all.
    target: str | None = None
    #: Their HTTP method; None for all.
    method: str | None = None
    #: How many matching requests to let through first.
    skip: int = 0
    #: How many meet the fault; None for all.
    times: int | None = 1
    _seen: int = attrs.field(default=0, init=False)

    def __call__(self, call: RecordedRequest) -> Fault | None:
        """The fault for a request."""
        if not self._matches(call):
            return None
        self._seen += 1
        if self._seen <= self.skip or self._is_spent_after(self._seen - 1):
            return None
        return self.fault

    def _matches(self, call: RecordedRequest) -> bool:
        if not _is_among(call.action, self.actions):
            return False
        return self.target in (None, call.target) and self.method in (None, call.method)

    @property
    def spent(self) -> bool:
        """Whether no further request can meet it."""
        return self._is_spent_after(self._seen)

    def _is_spent_after(self, seen: int) -> bool:
        """Whether no further request can meet it once so many have matched."""
        return self.times is not None and seen >= self.skip + self.times

    @classmethod
    def of(
        cls,
        action: str | Collection[str] | None,
        fault: Fault | str,
        *,
        target: str | int | None = None,
        method: str | None = None,
        skip: int = 0,
        times: int | None = 1,
    ) -> FaultRule:
        """A rule from what `Faults.on` takes.

        Raises:
            UsageError: No request can ever match.
        """
        if (chosen := Fault.of(fault)) is None:
            checks.refuse("fault", "a Fault or the name of a kind", fault)
        if isinstance(action, str):
            action = [action]
        return cls(
            chosen,
            None if action is None else _actions(action),
            _target(target),
            _method(method),
            checks.whole("skip", skip),
            checks.whole_or_none("times", times, least=1),
        )


def _is_among(action: str, actions: frozenset[str] | None) -> bool:
    """Whether an action is one of some; None stands for all."""
    return actions is None or action in actions


def _actions(actions: Collection[str]) -> frozenset[str]:
    names = checks.words("actions", actions)
    if not names:
        checks.refuse("actions", "at least one action, or None for all", actions)
    return frozenset(
        checks.known("action", name, ACTIONS, more=f"the actions are {', '.join(ACTIONS)}")
        for name in names
    )


def _target(target: object) -> str | None:
    if isinstance(target, int) and not isinstance(target, bool):
        return str(target)
    if target is not None and not isinstance(target, str):
        checks.refuse("target", "the id of an image or a node", target)
    return target


def _method(method: object) -> str | None:
    if method is None:
        return None
    return checks.text("method", method).upper()


class Injected:
    """Faults for the next requests that match. First in, first out; each is gone once played."""

    def __init__(self) -> None:
        self._rules: list[FaultRule] = []

    def add(self, rule: FaultRule) -> None:
        """Add a rule after the others."""
        self._rules.append(rule)

    def __call__(self, call: RecordedRequest) -> Fault | None:
        """The fault for a request."""
        for rule in self._rules:
            if (fault := rule(call)) is not None:
                if rule.spent:
                    self._rules.remove(rule)
                return fault
        return None


def _is_script(faults: object) -> TypeGuard[Iterable[FaultLike]]:
    """Whether these may be faults in an order; a set or a mapping has none."""
    return checks.is_several(faults) and not isinstance(faults, AbstractSet)


class Faults:
    """Ways to choose the fault of each request. The first one that has a fault for a request wins.

    ``a + b`` joins two of them, such as ``Faults.on("rename", "reset", times=2) +
    Faults.random(0.1, seed=7)``.

    Args:
        choosers: Callables that take a `RecordedRequest` and return a fault, the name of a kind, or
            None.
    """

    def __init__(self, *choosers: Chooser) -> None:
        self._choosers = choosers

    def __call__(self, call: RecordedRequest) -> Fault | None:
        """The fault for a request."""
        for choose in self._choosers:
            if (fault := Fault.of(choose(call))) is not None:
                return fault
        return None

    def __add__(self, other: FaultsLike) -> Faults:
        return Faults(*self._choosers, *Faults.of(other)._choosers)

    @classmethod
    def of(cls, faults: FaultsLike) -> Faults:
        """Return faults for what ``FakeE2E(faults=…)`` accepts.

        Args:
            faults: A fault or the name of a kind, for every request; a list, for one request after
                the other; a function of a `RecordedRequest`; other faults; or None.
        """
        if faults is None:
            return cls()
        if isinstance(faults, Faults):
            return faults
        if isinstance(faults, Fault | str):
            return cls.on(None, faults, times=None)
        if callable(faults):
            return cls(faults)
        if not _is_script(faults):
            checks.refuse(
                "faults",
                "a fault, a list of faults (a script), a function of the call, or Faults",
                faults,
            )
        return cls.script(*faults)

    @classmethod
    def script(cls, *faults: FaultLike) -> Faults:
        """Return faults for one request after the other.

        Args:
            faults: The fault of the first request, of the second, and so on. None lets a request
                pass, as does the end of the list.
        """
        queue = iter([Fault.of(fault) for fault in faults])
        return cls(lambda _: next(queue, None))

    @classmethod
    def on(
        cls,
        action: str | Collection[str] | None,
        fault: Fault | str,
        *,
        target: str | int | None = None,
        method: str | None = None,
        skip: int = 0,
        times: int | None = 1,
    ) -> Faults:
        """Return a fault for the requests of one action, or for one image or node.

        Args:
            action: The action (``"list"``, ``"rename"``, …), several actions, or None for all.
            fault: The fault, or the name of its kind.
            target: Only requests for this id.
            method: Only requests with this HTTP method.
            skip: The number of matching requests to let through first.
            times: The number of requests that meet it, 1 or more; None for all.

        Raises:
            UsageError: There is no such action or kind, or a number is invalid.
        """
        return cls(
            FaultRule.of(action, fault, target=target, method=method, skip=skip, times=times)
        )

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
        """Return random faults, the same ones for the same seed and order of requests.

        Args:
            rate: The share of requests that meet a fault, 0 to 1.
            seed: The random seed.
            kinds: The kinds to choose from; by default all that are quick and need little memory.
            actions: The actions whose requests may meet one; by default all.
            seconds: `Fault.seconds` of every fault.

        Raises:
            UsageError: There is no such action or kind, or a number is invalid.
        """
        checks.share("rate", rate)
        dice = random.Random(checks.integer("seed", seed))
        if kinds is None:
            kinds = [kind for kind, row in KINDS.items() if not row.opt_in]
        names = checks.words("kinds", kinds)
        if not names:
            checks.refuse("kinds", "at least one kind, or None for all that are quick", kinds)
        for name in names:
            Fault(name, seconds=seconds)
        chosen = None if actions is None else _actions(actions)

        def choose(call: RecordedRequest) -> Fault | None:
            if not _is_among(call.action, chosen) or dice.random() >= rate:
                return None
            kind = dice.choice(names)
            if call.action not in WRITES:
                return Fault(kind, seconds=seconds)
            effect = dice.choice(KINDS[kind].effects)
            return Fault(kind, applied_by(effect), seconds=seconds)

        return cls(choose)


#: Everything that `FakeE2E` takes as ``faults``.
FaultsLike: TypeAlias = Faults | Fault | str | Chooser | Iterable[FaultLike] | None
