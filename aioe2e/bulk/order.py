"""In which order renames can run without one of them meeting a name that is still in use.

`ordered` works the order out when a plan is made, and `PlanSource` keeps it while the plan runs.

A step *vacates* the current name of its image (a rename or a delete does), and *claims* its new
one. The step that claims a name comes after the one that vacates it. A plan gives each name to one
step at most, so every step has at most one successor: what the steps form are chains, trees that
run together, and plain cycles. A cycle is opened at the one of its steps that came first in the
input: that step moves to a temporary name at once, which frees its old name, and takes its final
name when that is free.

Names are compared exactly. All of it is linear in the number of steps, and the same input gives the
same order.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Final

import attrs

from .step import Step, index_of

__all__ = ["PlanSource", "groups", "is_runnable", "is_temporary", "ordered"]

#: What every temporary name begins with.
TEMPORARY: Final = "aioe2e-tmp-"


def is_temporary(name: str | None) -> bool:
    """Whether a name is one that an interrupted swap left behind."""
    return name is not None and name.startswith(TEMPORARY)


def ordered(steps: Sequence[Step], taken: Iterable[str] = ()) -> list[Step]:
    """The same steps in the same sequence, with `after` and `via` filled in.

    Args:
        steps: Steps with distinct indices, no two of which claim one name, and no `after` or `via`
            yet.
        taken: Other names in use, so that no temporary name meets them.
    """
    successors = _successors(steps)
    after: dict[int, list[int]] = {}
    for step, successor in zip(steps, successors, strict=True):
        if successor is not None:
            after.setdefault(successor, []).append(index_of(step))
    via = _temporary_names(steps, successors, taken)
    found = list(steps)
    for place, indices in after.items():
        found[place] = attrs.evolve(steps[place], after=tuple(indices), via=via.get(place))
    return found


def _successors(steps: Sequence[Step]) -> list[int | None]:
    """By place: the place of the one step that takes over the name that a step gives up."""
    claimants: dict[str | None, int] = {}
    for place, step in enumerate(steps):
        if not step.unchanged:
            claimants[step.name] = place
    found: list[int | None] = []
    for place, step in enumerate(steps):
        given_up = None if step.unchanged or step.open else step.previous
        successor = None if given_up is None else claimants.get(given_up)
        found.append(None if successor == place else successor)
    return found


def _cycles(successors: Sequence[int | None]) -> Iterator[list[int]]:
    """Each cycle once, as the places on it."""
    walked: set[int | None] = {None}
    for start in range(len(successors)):
        path: list[int] = []
        place: int | None = start
        while place not in walked:
            assert place is not None
            walked.add(place)
            path.append(place)
            place = successors[place]
        if place in path:
            yield path[path.index(place) :]


def _temporary_names(
    steps: Sequence[Step], successors: Sequence[int | None], taken: Iterable[str]
) -> dict[int, str]:
    """By place: the temporary name of the one step that opens each cycle."""
    openers = [min(cycle) for cycle in _cycles(successors)]
    if not openers:
        return {}
    used = {name for step in steps for name in (step.name, step.previous) if name} | set(taken)
    found: dict[int, str] = {}
    for place in openers:
        found[place] = _unused(steps[place], used)
        used.add(found[place])
    return found


def _unused(step: Step, used: set[str]) -> str:
    """A temporary name that says whose it is: another for each swap, the same for the same one."""
    attempt = 0
    while True:
        seed = "\0".join(map(str, (step.target, step.previous, step.name, attempt)))
        name = f"{TEMPORARY}{step.target}-{hashlib.sha256(seed.encode()).hexdigest()[:6]}"
        if name not in used:
            return name
        attempt += 1


def groups(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps, those that wait for each other together, in the order of their first ones."""
    group_of: dict[int, list[Step]] = {}
    for step in steps:
        group_of[index_of(step)] = [step]
    for step in steps:
        for index in step.after:
            mine, theirs = group_of[index_of(step)], group_of[index]
            if mine is theirs:
                continue
            smaller, larger = sorted((mine, theirs), key=len)
            larger += smaller
            for moved in smaller:
                group_of[index_of(moved)] = larger
    distinct = {id(group): group for group in group_of.values()}
    return list(distinct.values())


def is_runnable(steps: Sequence[Step]) -> bool:
    """Whether every step comes up in the end.

    Each `after` must be in the plan, and no steps may wait for each other in a circle. The first
    request of a step with a `via` waits for nothing, and nothing waits for its second one.
    """
    known = {index_of(step) for step in steps}
    after = {index_of(step): set(step.after) for step in steps if step.after}
    if not all(map(known.issuperset, after.values())):
        return False
    free_at_once = {index_of(step) for step in steps if step.via is not None}
    graph = {index: before - free_at_once for index, before in after.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError:
        return False
    return True


class PlanSource:
    """The steps of a plan, in their order, each given out once those it waits for are done.

    A step that waits is parked here and holds no worker up. A step with a `via` is given out twice:
    at once for its first half, and for its second when it was reported `halved` and those in its
    `after` are done.

    Args:
        steps: All steps, each with an index; the saves first that an earlier run left open.

    Attributes:
        taken: How many times a step was given out.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self.taken: int = 0
        #: The first place that the walk through the steps has not reached.
        self._cursor = 0
        #: Places behind the cursor that can be given out by now, as a heap.
        self._freed: list[int] = []
        #: By index: the place of each step.
        self._places: dict[int, int] = {}
        #: By place: how many steps one still waits for.
        self._missing: dict[int, int] = {}
        #: By index: the places of those that wait for a step.
        self._followers: dict[int, list[int]] = defaultdict(list)
        #: Places that can never be given out.
        self._gone: set[int] = set()
        #: Places of which the first half was given out and is not done.
        self._in_first_half: set[int] = set()
        #: Those among them of which the second half can never run, each with the step to blame.
        self._broken: dict[int, Step] = {}
        if any(step.after or step.via is not None for step in self._steps):
            self._tie()

    def _tie(self) -> None:
        self._places = {index_of(step): place for place, step in enumerate(self._steps)}
        for place, step in enumerate(self._steps):
            # One that is not in the plan was done by an earlier run.
            if before := {index for index in step.after if index in self._places}:
                self._missing[place] = len(before)
                for index in before:
                    self._followers[index].append(place)
        self._advance()

    @property
    def total(self) -> int:
        """How many steps there are."""
        return len(self._steps)

    @property
    def more(self) -> bool:
        """Whether a step can be given out now."""
        return bool(self._freed) or self._cursor < len(self._steps)

    def start(self) -> None:
        """Nothing needs to be done."""

    async def close(self) -> None:
        """Nothing needs to be done."""

    def take(self) -> Step | None:
        """The next step that can run; None if there is none now."""
        if self._freed:
            place = heapq.heappop(self._freed)
        elif self._cursor < len(self._steps):
            place = self._cursor
            self._cursor += 1
            if self._steps[place].via is not None:
                self._in_first_half.add(place)
            if self._missing:
                self._advance()
        else:
            return None
        self.taken += 1
        return self._steps[place]

    def _advance(self) -> None:
        """Move the cursor on to a step that can run; those it passes come back when freed."""
        while self._cursor < len(self._steps) and not self._can_begin(self._cursor):
            self._cursor += 1

    def _can_begin(self, place: int) -> bool:
        """Whether a step that was not given out can be, at least its first half."""
        if place in self._gone:
            return False
        return place not in self._missing or self._steps[place].via is not None

    def done(self, step: Step) -> None:
        """Let the steps go that waited for this one."""
        if not self._followers:
            return
        for place in self._followers.pop(index_of(step), ()):
            self._missing[place] -= 1
            if not self._missing[place]:
                del self._missing[place]
                self._free(place)

    def _free(self, place: int) -> None:
        """Give a step out soon that waits for no other, unless the cursor or `halved` will."""
        if place < self._cursor and place not in self._in_first_half:
            heapq.heappush(self._freed, place)

    def halved(self, step: Step) -> Step | None:
        """Let the steps go that waited for the name which the first half of this one gave up.

        Returns:
            The step that did not end well meanwhile, so that the second half can never run; None if
            it can.
        """
        place = self._places[index_of(step)]
        self._in_first_half.remove(place)
        self.done(step)
        if place in self._broken:
            return self._broken[place]
        if place not in self._missing:
            self._free(place)
        return None

    def failed(self, step: Step) -> list[tuple[Step, Step]]:
        """Give up the steps that can never run now; each comes with the one that it waited for."""
        given_up: list[tuple[Step, Step]] = []
        causes = [step]
        for cause in causes:
            for place in self._followers.pop(index_of(cause), ()):
                if place in self._gone or place in self._broken:
                    continue
                follower = self._steps[place]
                if place in self._in_first_half:
                    self._broken[place] = cause
                    continue
                self._gone.add(place)
                given_up.append((follower, cause))
                causes.append(follower)
        self._advance()
        return given_up
