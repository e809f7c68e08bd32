"""In which order renames can run without one of them meeting a name that is still in use.

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
from collections.abc import Iterable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Final

import attrs

from .step import Step, index_of

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
