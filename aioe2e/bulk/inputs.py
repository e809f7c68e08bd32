"""Makes steps of what users hand to a bulk call: item by item, and checked as a whole for a plan.

Texts about a step quote it (``delete 8: …``). An item that no step could be made of is named by its
place, counted from 1 (``item 3: …``).
"""

from __future__ import annotations

import re
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Sized,
)
from typing import Any, Final, NoReturn, TypeGuard, cast, overload

import attrs

from aioe2e import _check
from aioe2e._actions import ACTIONS, ActionSpec
from aioe2e._text import counted
from aioe2e.errors import UsageError
from aioe2e.models import Action, SavedImage, image_id_of

from .order import ordered
from .step import Step, current_name

__all__ = ["Namer", "checked_steps", "collection", "is_planned", "steps_of"]

#: Makes a name of an image (of a node id, for a save).
Namer = Callable[[Any], str]

#: Different problems, and items with the same one, that the text of an error shows;
#: `UsageError.problems` has them all.
SHOWN: Final = 10
SHOWN_ITEMS: Final = 3

_SPACE: Final = re.compile(r"\s")

#: How an image in use is deleted.
_BY_FORCE: Final = "pass force=True to delete it anyway"


def is_planned(source: object) -> bool:
    """Whether a collection is planned as a whole: it has a length. What has none is streamed."""
    return isinstance(source, Sized) and not isinstance(source, AsyncIterable)


def collection(
    action: Action | None, source: object, to: Namer | None = None
) -> Iterable[Any] | AsyncIterable[Any]:
    """The items of what a user handed over.

    Raises:
        UsageError: It is no collection, or one that would be read in a way that is not meant.
    """
    if to is not None:
        _check.require_callable("to", to, "lambda image: f'old-{image.name}'")
    wanted = f"a collection of {'steps' if action is None else ACTIONS[action].items} is needed"
    if isinstance(source, str | bytes | bytearray):
        raise UsageError(
            f"{wanted}, not a bare {type(source).__name__}, which is read letter by letter:"
            " put it in a list"
        )
    if isinstance(source, AsyncIterable):
        return source  # pyright: ignore[reportUnknownVariableType]  # the items are judged one by one
    if not isinstance(source, Iterable):
        raise UsageError(f"{wanted}, not {_check.quoted(source)}: put it in a list")
    if not isinstance(source, Mapping):
        return source  # pyright: ignore[reportUnknownVariableType]  # likewise
    if to is not None:
        raise UsageError("to: a mapping names its images already")
    if action is None or not ACTIONS[action].named:
        raise UsageError(
            f"{wanted}, not a mapping: say which of its keys or values you mean, with list(…)"
        )
    return source.items()  # pyright: ignore[reportUnknownVariableType]  # likewise


def _step_of(
    action: Action | None,
    item: Any,
    index: int,
    to: Namer | None = None,
    known: Mapping[str, SavedImage] | None = None,
) -> Step:
    """The step that one item stands for.

    Args:
        action: What is done with it; None when the items are steps already.
        item: The item.
        index: Its place in the input, from 0.
        to: Makes the name, where the item does not bring one.
        known: What stands in the listing, by id, for a `to` that needs a whole image where the item
            is an id.

    Raises:
        UsageError: The item cannot be sent.
    """
    if action is None:
        return _renumbered(item, index)
    spec = ACTIONS[action]
    if not spec.named:
        return Step(action, item, index=index, previous=current_name(item))
    if to is None:
        target, name = _pair(item)
    else:
        target, name = item, _made_name(spec, item, to, known or {})
    return Step(action, target, name, index=index, previous=current_name(target))


def _renumbered(item: Any, index: int) -> Step:
    """A step without what orders it: that belongs to the plan that it was taken from."""
    if not isinstance(item, Step):
        raise UsageError(f"a Step is needed, not {_check.quoted(item)}")
    return Step(
        item.action,
        item.target,
        item.name,
        index=index,
        previous=item.previous,
        open=item.open,
        sent_at=item.sent_at,
    )


def _pair(item: Any) -> tuple[Any, Any]:
    # A string of two letters would unpack too.
    if isinstance(item, tuple | list):
        parts = cast("Sequence[Any]", item)
        if len(parts) == 2:
            return parts[0], parts[1]
    shown = _check.quoted(cast("object", item))
    raise UsageError(
        f"a pair of an id and a name is needed, not {shown}, unless to= makes the names"
    )


def _made_name(spec: ActionSpec, item: Any, to: Namer, known: Mapping[str, SavedImage]) -> Any:
    if spec.of_node:
        return to(spec.checked_id(item))
    image = item if isinstance(item, SavedImage) else known.get(image_id_of(item))
    if image is None:
        raise UsageError(
            f"image: to= needs a SavedImage to make a name of, not {_check.quoted(item)}"
        )
    return to(image)


@overload
def steps_of(
    action: Action | None, source: Iterable[Any], *, to: Namer | None = None, force: bool = False
) -> Iterator[Step]: ...
@overload
def steps_of(
    action: Action | None, source: AsyncIterable[Any], *, to: Namer | None = None
) -> AsyncIterator[Step]: ...
@overload
def steps_of(
    action: Action | None,
    source: Iterable[Any] | AsyncIterable[Any],
    *,
    to: Namer | None = None,
    force: bool = False,
) -> Iterator[Step] | AsyncIterator[Step]: ...
def steps_of(
    action: Action | None,
    source: Iterable[Any] | AsyncIterable[Any],
    *,
    to: Namer | None = None,
    force: bool = False,
) -> Iterator[Step] | AsyncIterator[Step]:
    """The steps of a source of any length, made one at a time as they are asked for.

    Only what one item shows by itself is checked: what came before is not kept.

    Args:
        action: What is done with each item; None when the items are steps.
        source: Images, pairs or steps; an async iterable gives an async iterator.
        to: Makes the name of an image (of a node id, for a save) where the items bring none.
        force: Whether images in use may be deleted.

    Raises:
        UsageError: At once when it is no collection; from the iterator when an item cannot be sent.
    """
    items = collection(action, source, to)
    force = _check.require_bool("force", force)
    if isinstance(items, AsyncIterable):
        return _drawn(action, items, to, force)
    return (_streamed(action, item, index, to, force) for index, item in enumerate(items))


async def _drawn(
    action: Action | None, items: AsyncIterable[Any], to: Namer | None, force: bool
) -> AsyncIterator[Step]:
    index = 0
    async for item in items:
        yield _streamed(action, item, index, to, force)
        index += 1


def _streamed(action: Action | None, item: Any, index: int, to: Namer | None, force: bool) -> Step:
    try:
        step = _step_of(action, item, index, to)
    except UsageError as error:
        problem = f"{_place(index)}: {error}"
    else:
        protects = ACTIONS[step.action].destroys and not force
        if not protects or not _is_in_use(item):
            return step
        problem = f"{step}: {_uses(item)}; {_BY_FORCE}"
    raise UsageError(problem)


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
        UsageError: With all that is wrong in `problems`.
    """
    same_names = _check.require_bool("same_names", same_names)
    listing = _listing(existing)
    force = _check.require_bool("force", force)
    checks = _Checks(listing, force=force, same_names=same_names)
    for index, item in enumerate(items):
        try:
            step = _step_of(action, item, index, to, listing)
        except UsageError as error:
            checks.problems.append((_place(index), str(error)))
        else:
            checks.add(step, item)
    if checks.problems:
        _refuse(checks.problems)
    warnings = [*checks.warnings, *checks.taken_names(), *checks.unordered()]
    return ordered(checks.steps, checks.holders), warnings


def _listing(existing: Any) -> dict[str, SavedImage] | None:
    """The images of a listing by id; None when no listing was given."""
    if existing is None:
        return None
    if not _check.is_collection(existing):
        raise UsageError(
            f"existing: a listing of SavedImages is needed, not {_check.quoted(existing)}"
        )
    found: dict[str, SavedImage] = {}
    for index, image in enumerate(existing):
        if not isinstance(image, SavedImage):
            raise UsageError(
                f"existing: {_place(index)} must be a SavedImage, not {_check.quoted(image)}"
            )
        found[image.image_id] = image
    return found


def _place(index: int) -> str:
    """What an item is called of which there is no step to be quoted."""
    return f"item {index + 1}"


def _refuse(problems: Sequence[tuple[str, str]]) -> NoReturn:
    """Raise one error for all problems; its text tells the same problem of many items once."""
    items_with: dict[str, list[str]] = {}
    for item, problem in problems:
        items_with.setdefault(problem, []).append(item)
    sentences = [f"{_first_of(items)}: {problem}" for problem, items in items_with.items()]
    shown = sentences[:SHOWN]
    if len(sentences) > SHOWN:
        left_out = sum(map(len, list(items_with.values())[SHOWN:]))
        shown.append(f"and {left_out} more (.problems has all)")
    raise UsageError(
        f"{counted(len(problems), 'problem')} in this plan: {'; '.join(shown)}",
        problems=[f"{item}: {problem}" for item, problem in problems],
    )


def _first_of(items: Sequence[str]) -> str:
    """Some items, and how many more there are."""
    shown = ", ".join(items[:SHOWN_ITEMS])
    more = len(items) - SHOWN_ITEMS
    return f"{shown} and {more} more" if more > 0 else shown


#: What a step changes: whether that is a node, and its id.
_Target = tuple[bool, str]


class _Checks:
    """Takes the steps one by one and remembers what the next ones must not repeat.

    Args:
        listing: The images of a fresh listing by id; None without one.
        force: Whether images in use may be deleted.
        same_names: Whether several saves may have one name.

    Attributes:
        steps: The steps to be ordered.
        problems: What is wrong: of which step or item, and what.
        warnings: What looks wrong.
        holders: Who has a name now, according to the listing.
    """

    def __init__(
        self, listing: dict[str, SavedImage] | None, *, force: bool, same_names: bool
    ) -> None:
        self.steps: list[Step] = []
        self.problems: list[tuple[str, str]] = []
        self.warnings: list[str] = []
        self.holders: dict[str, list[str]] = {}
        self._listing = listing
        self._force = force
        self._same_names = same_names
        self._by_target: dict[_Target, Step] = {}
        self._by_name: dict[str, Step] = {}
        for image in (listing or {}).values():
            self.holders.setdefault(image.name, []).append(image.image_id)

    def add(self, step: Step, item: object) -> None:
        """Check a step against the listing and against the steps before it."""
        spec = ACTIONS[step.action]
        listed: SavedImage | None = None
        if self._listing is not None and not spec.of_node:
            listed = self._listing.get(step.target)
            step = self._as_listed(step, listed)
        if self._was_given(step, spec) or self._clashes(step):
            return
        if spec.destroys:
            self._protect(step, listed or _image_in(item))
        if step.name is not None and _SPACE.search(step.name) is not None:
            self.warnings.append(f"{step}: the name has a space in it")
        self.steps.append(step)

    def _as_listed(self, step: Step, listed: SavedImage | None) -> Step:
        """The step with the current name that the listing shows, which is the fresher one."""
        if listed is None:
            self.warnings.append(f"{step}: the image is not in the listing")
            return step
        name = current_name(listed)
        if step.open or name == step.previous:
            return step
        if step.previous is not None:
            was, now = _check.quoted(step.previous), _check.quoted(listed.name)
            self.warnings.append(
                f"{step}: the image was {was} when it was read, and is {now} in the listing"
            )
        return attrs.evolve(step, previous=name)

    def _was_given(self, step: Step, spec: ActionSpec) -> bool:
        """Whether a step before has the same target: one of the two is enough, or is wrong."""
        first = self._by_target.setdefault((spec.of_node, step.target), step)
        if first is step:
            return False
        if (first.action, first.name) == (step.action, step.name):
            self.warnings.append(f"{step}: given more than once; done once")
        else:
            kind = "node" if spec.of_node else "image"
            self.problems.append((str(step), f"the {kind} already has another step ({first})"))
        return True

    def _clashes(self, step: Step) -> bool:
        """Whether a step before takes the same name, and only one of them can have it."""
        if step.name is None:
            return False
        rival = self._by_name.setdefault(step.name, step)
        if rival is step:
            return False
        if self._same_names and step.action is rival.action is Action.SAVE:
            return False
        self.problems.append((str(step), f"another step already takes this name ({rival})"))
        return True

    def _protect(self, step: Step, image: SavedImage | None) -> None:
        """Refuse to delete an image in use, or warn of it."""
        if not _is_in_use(image):
            return
        text = _uses(image)
        if self._force:
            self.warnings.append(f"{step}: {text}")
        else:
            self.problems.append((str(step), f"{text}; {_BY_FORCE}"))

    def taken_names(self) -> Iterator[str]:
        """A warning for each name that an image outside of the plan has."""
        if not self.holders:
            return
        for step in self.steps:
            for holder in self.holders.get(step.name or "", ()):
                if (False, holder) not in self._by_target:
                    yield (
                        f"{step}: the name is that of image {holder},"
                        " which this plan does not touch"
                    )

    def unordered(self) -> Iterator[str]:
        """One warning for all renames that cannot be ordered."""
        lost = [
            step.target
            for step in self.steps
            if (step.previous is None or step.open) and ACTIONS[step.action].renames
        ]
        if lost:
            yield (
                "not ordered, since the current name is not known:"
                f" {', '.join(lost)}; to order them, pass existing= or SavedImages"
            )


def _image_in(item: Any) -> SavedImage | None:
    """The image that an item brings along, by itself or with a name."""
    found: object = item
    if isinstance(item, tuple | list):
        found = cast("Sequence[object]", item)[0]
    return found if isinstance(found, SavedImage) else None


def _is_in_use(item: object) -> TypeGuard[SavedImage]:
    """Whether it is an image that something uses."""
    return isinstance(item, SavedImage) and item.in_use


def _uses(image: SavedImage) -> str:
    """What an image is in use by."""
    found = (
        (image.running_vms or len(image.vm_info), "running VM"),
        (image.cloning_ops, "clone operation"),
        (image.scaler_group_count, "autoscaling group"),
    )
    known = ", ".join(counted(number, noun) for number, noun in found if number)
    if not known:  # by its state, or in a field that could not be read
        known = f"the server says so (state {_check.quoted(image.image_state)})"
    return f"the image is in use: {known}"
