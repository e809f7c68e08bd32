"""Makes the steps of a plan from what a user hands over, with every check that needs them all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, cast

import attrs

from aioe2e import _check
from aioe2e._actions import ACTIONS
from aioe2e._text import counted
from aioe2e.errors import UsageError
from aioe2e.models import Action, SavedImage

from .inputs import BY_FORCE, Namer, step_of, uses
from .order import ordered
from .step import Step

__all__ = ["checked_steps"]

#: Faults that the text of the error shows; `UsageError.problems` has them all.
SHOWN: Final = 10


def checked_steps(
    action: Action | None,
    items: Iterable[Any],
    *,
    to: Namer | None = None,
    existing: Iterable[SavedImage] | None = None,
    force: bool = False,
    same_names: bool = False,
) -> tuple[list[Step], list[str]]:
    """The steps, ordered, and the warnings about them.

    Args:
        action: What is done with each item; None when the items are steps.
        items: Pairs, images, nodes or steps.
        to: Makes the name of an item that brings none.
        existing: A fresh listing.
        force: Whether images in use may be deleted.
        same_names: Whether several saves may have one name.

    Raises:
        UsageError: With every fault in `problems`.
    """
    same_names = _check.require_bool("same_names", same_names)
    checks = _Checks(_listing(existing), same_names)
    force = _check.require_bool("force", force)
    for index, item in enumerate(items):
        try:
            step = step_of(action, item, index, to, checks.known)
        except UsageError as error:
            checks.problems.append(f"item {index}: {error}")
        else:
            checks.add(step, item, force=force)
    if checks.problems:
        more = len(checks.problems) - SHOWN
        tail = [f"and {more} more (.problems has all)"] if more > 0 else []
        text = "; ".join(checks.problems[:SHOWN] + tail)
        raise UsageError(
            f"{counted(len(checks.problems), 'fault')} in this plan: {text}",
            problems=checks.problems,
        )
    warnings = [*checks.warnings, *checks.taken(), *checks.without_current_name()]
    return ordered(checks.steps, checks.holders), warnings


def _listing(existing: Any) -> dict[str, SavedImage] | None:
    """The images of a listing by id; None when no listing was given."""
    if existing is None:
        return None
    if isinstance(existing, str | bytes) or not isinstance(existing, Iterable):
        raise UsageError(
            f"existing: a listing of SavedImages is needed, not {_check.quoted(existing)}"
        )
    found: dict[str, SavedImage] = {}
    for place, image in enumerate(cast("Iterable[object]", existing)):
        if not isinstance(image, SavedImage):
            raise UsageError(
                f"existing: item {place} must be a SavedImage, not {_check.quoted(image)}"
            )
        found[image.image_id] = image
    return found


@attrs.define(eq=False)
class _Checks:
    """Takes the steps one by one and remembers what the next ones must not repeat."""

    known: dict[str, SavedImage] | None
    same_names: bool = False
    steps: list[Step] = attrs.field(factory=list[Step])
    problems: list[str] = attrs.field(factory=list[str])
    warnings: list[str] = attrs.field(factory=list[str])
    #: Who has a name now, according to the listing.
    holders: dict[str, list[str]] = attrs.field(factory=dict[str, list[str]])
    #: By whether it is a node, and id.
    _by_target: dict[tuple[bool, str], Step] = attrs.field(factory=dict[tuple[bool, str], Step])
    _by_name: dict[str, Step] = attrs.field(factory=dict[str, Step])

    def __attrs_post_init__(self) -> None:
        for image in (self.known or {}).values():
            self.holders.setdefault(image.name, []).append(image.image_id)

    def add(self, step: Step, item: object, *, force: bool) -> None:
        """Check a step against the listing and against the steps before it."""
        image = _image_in(item)
        if self.known is not None and not ACTIONS[step.action].of_node:
            if (listed := self.known.get(step.target)) is None:
                self.warnings.append(
                    f"item {step.index}: image {step.target} is not in the listing"
                )
            else:
                step = self._as_listed(step, listed)
                image = listed
        if self._is_new(step):
            if ACTIONS[step.action].destroys and image is not None and image.in_use:
                self._in_use(step, image, force=force)
            if step.name is not None and any(map(str.isspace, step.name)):
                self.warnings.append(
                    f"item {step.index}: the name {_check.quoted(step.name)} has a space in it"
                )
            self.steps.append(step)

    def _as_listed(self, step: Step, listed: SavedImage) -> Step:
        """The step with the current name that the listing shows, which is the fresher one."""
        name = listed.name or None
        if step.open or name == step.previous:
            return step
        if step.previous is not None:
            was, now = _check.quoted(step.previous), _check.quoted(listed.name)
            self.warnings.append(
                f"item {step.index}: image {step.target} was {was} when it was read,"
                f" and is {now} in the listing"
            )
        return attrs.evolve(step, previous=name)

    def _is_new(self, step: Step) -> bool:
        """Whether the step is to be added.

        It is not if it was given before, or if it cannot be done together with another one.
        """
        kind = "node" if ACTIONS[step.action].of_node else "image"
        first = self._by_target.setdefault((kind == "node", step.target), step)
        if first is not step:
            if (first.action, first.name) == (step.action, step.name):
                self.warnings.append(
                    f"item {step.index}: {step}, as item {first.index} does; done once"
                )
            else:
                self.problems.append(
                    f"item {step.index}: {kind} {step.target} has item {first.index} already"
                    f" ({first})"
                )
            return False
        if step.name is not None:
            rival = self._by_name.setdefault(step.name, step)
            may_share = self.same_names and step.action is rival.action is Action.SAVE
            if rival is not step and not may_share:
                name = _check.quoted(step.name)
                self.problems.append(
                    f"item {step.index}: the name {name} goes to item {rival.index}"
                    f" already ({rival})"
                )
                return False
        return True

    def _in_use(self, step: Step, image: SavedImage, *, force: bool) -> None:
        text = f"item {step.index}: {uses(image)}"
        if force:
            self.warnings.append(text)
        else:
            self.problems.append(f"{text}; {BY_FORCE}")

    def taken(self) -> Iterator[str]:
        """A warning for each name that an image outside of the plan has."""
        if not self.known:
            return
        for step in self.steps:
            for holder in self.holders.get(step.name or "", ()):
                if (False, holder) not in self._by_target:
                    name = _check.quoted(step.name)
                    yield (
                        f"item {step.index}: the name {name} is that of image {holder},"
                        " which this plan does not touch"
                    )

    def without_current_name(self) -> Iterator[str]:
        """One warning for all renames that cannot be ordered."""
        lost = [
            step
            for step in self.steps
            if ACTIONS[step.action].renames and (step.previous is None or step.open)
        ]
        if lost:
            which = ", ".join(f"{step.target} (item {step.index})" for step in lost)
            yield (
                f"not ordered, since the current name is not known: {which};"
                " existing= or SavedImages would tell it"
            )


def _image_in(item: Any) -> SavedImage | None:
    """The image that an item brings along, by itself or with a name."""
    found: object = item
    if isinstance(item, tuple | list):
        found = cast("Sequence[object]", item)[0]
    return found if isinstance(found, SavedImage) else None
