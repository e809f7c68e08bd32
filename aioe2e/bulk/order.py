"""In which order renames can run without one of them meeting a name that is still in use.

A step *vacates* the current name of its image (a rename or a delete does), and *claims* its new
one. Whoever claims a name comes after whoever vacates it. A plan gives each name to one step at the
most, so every step has at most one successor: what the steps form are chains, trees that run
together, and plain cycles. A cycle is opened at the one of its steps that came first in the input:
that step moves to a temporary name at once, which frees its old name, and takes its final name when
that is free.

Names are compared exactly. All of it is linear in the number of steps, and the same input gives the
same order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

from .step import Step

__all__ = ["groups", "is_runnable", "is_temporary", "ordered"]

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
    claimants = {
        step.name: place for place, step in enumerate(steps) if step.name and not step.unchanged
    }
    #: By place: the one step that takes over the name that this one gives up.
    successors: list[int | None] = [None] * len(steps)
    after: dict[int, list[int]] = {}
    for place, step in enumerate(steps):
        if step.previous is None or step.unchanged or step.open:
            continue  # gives up no name, or nobody knows which
        successor = claimants.get(step.previous)
        if successor is not None and successor != place:
            successors[place] = successor
            after.setdefault(successor, []).append(_index(step))
    via = _temporary_names(steps, successors, taken)
    return [
        attrs.evolve(step, after=tuple(after[place]), via=via.get(place))
        if place in after
        else step
        for place, step in enumerate(steps)
    ]


def _index(step: Step) -> int:
    assert step.index is not None
    return step.index


def _cycles(successors: Sequence[int | None]) -> Iterator[list[int]]:
    """Each cycle once, as the places on it."""
    walk_of = [-1] * len(successors)
    for start in range(len(successors)):
        path: list[int] = []
        place: int | None = start
        while place is not None and walk_of[place] < 0:
            walk_of[place] = start
            path.append(place)
            place = successors[place]
        if place is not None and path and walk_of[place] == start:
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
        seed = "\0".join((step.target, step.previous or "", step.name or "", str(attempt)))
        name = f"{TEMPORARY}{step.target}-{hashlib.sha256(seed.encode()).hexdigest()[:6]}"
        if name not in used:
            return name
        attempt += 1


def groups(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps, those that wait for each other together, in the order of their first ones."""
    group_of: dict[int, list[Step]] = {}
    for step in steps:
        group_of[_index(step)] = [step]
    for step in steps:
        for index in step.after:
            mine, theirs = group_of[_index(step)], group_of[index]
            if mine is theirs:
                continue
            smaller, larger = sorted((mine, theirs), key=len)
            larger += smaller
            for moved in smaller:
                group_of[_index(moved)] = larger
    distinct = {id(group): group for group in group_of.values()}
    return list(distinct.values())


def is_runnable(steps: Sequence[Step]) -> bool:
    """Whether every step comes up in the end.

    Each `after` must be in the plan, and no steps may wait for each other in a circle. The first
    request of a step with a `via` waits for nothing, and nothing waits for its second one.
    """
    place_of = {_index(step): place for place, step in enumerate(steps)}
    waits = [0] * len(steps)
    waiters: dict[int, list[int]] = {}
    for place, step in enumerate(steps):
        for index in step.after:
            before = place_of.get(index)
            if before is None:
                return False
            if steps[before].via is None:
                waits[place] += 1
                waiters.setdefault(before, []).append(place)
    ready = [place for place, count in enumerate(waits) if not count]
    for place in ready:  # grows while it is walked
        for waiter in waiters.get(place, ()):
            waits[waiter] -= 1
            if not waits[waiter]:
                ready.append(waiter)
    return len(ready) == len(steps)
