"""Reads what users hand to a bulk call, item by item, into steps."""

from __future__ import annotations

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
from typing import Any, Final, cast, overload

from aioe2e import _check
from aioe2e._actions import ACTIONS, ActionSpec
from aioe2e._text import counted
from aioe2e.errors import UsageError
from aioe2e.models import Action, SavedImage, image_id_of

from .step import Step, current_name

__all__ = ["BY_FORCE", "Namer", "collection", "is_planned", "step_of", "steps_of", "uses"]

#: Makes a name of an image (of a node id, for a save).
Namer = Callable[[Any], str]

#: How an image in use is deleted.
BY_FORCE: Final = "pass force=True to delete it anyway"


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


def step_of(
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
        index: Its place in the input.
        to: Makes the name, where the item does not bring one.
        known: What stands in the listing, by id, for a `to` that needs a whole image where the item
            is an id.

    Raises:
        UsageError: The item cannot be sent.
    """
    if action is None:
        if not isinstance(item, Step):
            raise UsageError(f"a Step is needed, not {_check.quoted(item)}")
        # What orders it belongs to the plan that it was taken from.
        return Step(
            item.action,
            item.target,
            item.name,
            index=index,
            previous=item.previous,
            open=item.open,
            sent_at=item.sent_at,
        )
    spec = ACTIONS[action]
    target, name = item, None
    if spec.named:
        target, name = _pair(item) if to is None else (item, _named(spec, item, to, known or {}))
    return Step(action, spec.checked_id(target), name, index=index, previous=current_name(target))


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


def _named(spec: ActionSpec, item: Any, to: Namer, known: Mapping[str, SavedImage]) -> Any:
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
        UsageError: At once when it is no collection; from the iterator, with the item's number,
            when an item cannot be sent.
    """
    items = collection(action, source, to)
    force = _check.require_bool("force", force)
    if isinstance(items, AsyncIterable):
        return _drawn(action, items, to, force)
    return (_numbered(action, item, index, to, force) for index, item in enumerate(items))


async def _drawn(
    action: Action | None, items: AsyncIterable[Any], to: Namer | None, force: bool
) -> AsyncIterator[Step]:
    index = 0
    async for item in items:
        yield _numbered(action, item, index, to, force)
        index += 1


def _numbered(action: Action | None, item: Any, index: int, to: Namer | None, force: bool) -> Step:
    try:
        step = step_of(action, item, index, to)
    except UsageError as error:
        problem = str(error)
    else:
        protects = ACTIONS[step.action].destroys and not force
        if not (protects and isinstance(item, SavedImage) and item.in_use):
            return step
        problem = f"{uses(item)}; {BY_FORCE}"
    raise UsageError(f"item {index}: {problem}")


def uses(image: SavedImage) -> str:
    """What an image is in use by."""
    found = (
        (image.running_vms or len(image.vm_info), "running VM"),
        (image.cloning_ops, "clone operation"),
        (image.scaler_group_count, "autoscaling group"),
    )
    known = ", ".join(counted(number, noun) for number, noun in found if number)
    if not known:  # by its state, or in a field that could not be read
        known = f"the server says so (state {_check.quoted(image.image_state)})"
    return f"image {image.image_id} is in use: {known}"
