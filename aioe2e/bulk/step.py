"""One change of one image, and how it can end."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Self, cast

import attrs

from aioe2e import _check
from aioe2e._actions import ACTIONS, Repeatability
from aioe2e._plain import (
    Reader,
    Unfit,
    Value,
    checked_fields,
    instant,
    optional,
    sequence,
    text,
    whole,
    yes_or_no,
)
from aioe2e._record import CallRecord
from aioe2e.errors import E2EError, UsageError
from aioe2e.models import (
    Action,
    ActionResult,
    ImageLike,
    NodeLike,
    SaveAction,
    SavedImage,
    image_id_of,
    node_id_of,
)

__all__ = [
    "Ending",
    "ImageLike",
    "NodeLike",
    "Perform",
    "Status",
    "Step",
    "StepRecord",
    "current_name",
    "index_of",
]


class Status(enum.StrEnum):
    """How a step ended. A status agrees with the true state of the server."""

    #: The server carried it out.
    DONE = "done"
    #: Nothing had to be changed.
    UNCHANGED = "unchanged"
    #: It was not applied: it was refused, or could not be sent.
    FAILED = "failed"
    #: It was sent, and it is unknown whether it was applied.
    UNKNOWN = "unknown"
    #: It was not sent.
    SKIPPED = "skipped"


class StepRecord(NamedTuple):
    """The part of an outcome that decides what a later run has to do."""

    #: How the step ended.
    status: Status
    #: Whether what ended it is a transient error, so that the step is worth running again.
    passing: bool = False
    #: Whether the image left its old name for the step's temporary one.
    halfway: bool = False
    #: Seconds since the epoch at which a journal saw its latest write go out.
    sent_at: float | None = None
    #: Of a write whose outcome was unknown when the run began, and still is: whether the server's
    #: latest answer to it was a refusal that will not pass.
    refused: bool = False
    #: What a journal says besides: requests sent, seconds taken, the class of the error and its
    #: HTTP status, and what the server said to a save.
    attempts: int = 0
    elapsed: float = 0.0
    error: str | None = None
    http: int | None = None
    save: SaveAction | None = None

    @property
    def settled(self) -> bool:
        """Whether the step is as it should be, so that nothing is left to do."""
        return self.status in (Status.DONE, Status.UNCHANGED)

    def stays_open(self, now: StepRecord) -> bool:
        """Whether a write that this record left open is still open after a later run.

        It is where the later run did not send it, or did not come through with it either: it may
        have been carried out before.
        """
        if self.status is not Status.UNKNOWN or self.halfway != now.halfway:
            return False
        return now.status is Status.SKIPPED or now.passing


def _timestamp(value: object) -> float:
    moment = instant(value)
    if moment.tzinfo is None:
        raise Unfit("a date and time of ISO 8601 with its zone")
    return moment.timestamp()


#: How the fields of a stored step are read that a plan fills in.
_STORED: Final[Mapping[str, Reader]] = {
    "index": whole,
    "previous": optional(text),
    "after": sequence(whole),
    "via": optional(text),
    "open": yes_or_no,
    "sent_at": _timestamp,
}


@attrs.frozen(eq=False, repr=False)
class Step(Value):
    """One action on one image, or on one node for a save.

    Make one with `Step.rename`, `Step.delete` or `Step.save`. A `Plan` fills in the fields after
    `name`.

    Raises:
        UsageError: The id or the name is invalid.
    """

    #: The action.
    action: Action
    #: The id of the image, or of the node for a save.
    target: str
    #: The new name; None for a delete.
    name: str | None = None
    #: The place in the input, from 0. It stays the same if the remaining steps are run again.
    index: int | None = attrs.field(default=None, kw_only=True)
    #: The current name of the image, if it is known. With `open`, it is the name before the earlier
    #: attempt.
    previous: str | None = attrs.field(default=None, kw_only=True)
    #: The indices of the steps that must be DONE or UNCHANGED before this one is sent. A step with
    #: `via` only has to reach its temporary name.
    after: tuple[int, ...] = attrs.field(default=(), kw_only=True)
    #: The temporary name to which this rename first changes the image, to break a swap or a longer
    #: cycle. The step then sends two requests: to `via` at once, and to `name` once the steps in
    #: `after` are done.
    via: str | None = attrs.field(default=None, kw_only=True)
    #: Whether an earlier attempt has an unknown outcome. Such a save is never sent again.
    open: bool = attrs.field(default=False, kw_only=True)
    #: When that attempt was sent, in seconds since 1970, if a journal recorded it.
    #: `Images.reconcile` uses it to find the image of a save by an earlier process.
    sent_at: float | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        action = self.action
        if action.__class__ is not Action:
            action = _action(action)
            object.__setattr__(self, "action", action)
        spec = ACTIONS[action]
        target = spec.checked_id(self.target)
        if target is not self.target:
            object.__setattr__(self, "target", target)
        if spec.named:
            name = _check.checked_name(self.name)
            if name is not self.name:
                object.__setattr__(self, "name", name)
        elif self.name is not None:
            raise UsageError(f"name: a {action} takes none, not {_check.quoted(self.name)}")
        if self.via is not None:
            if not spec.renames:
                raise UsageError(
                    f"via: only a rename goes through a temporary name, not a {action}"
                )
            _check.checked_name(self.via)

    @classmethod
    def rename(cls, image: ImageLike, name: str) -> Self:
        """Make a step that gives an image a new name.

        Args:
            image: A `SavedImage` or an id.
            name: The new name, 1 to 255 characters.

        Raises:
            UsageError: The id or the name is invalid.
        """
        return cls(Action.RENAME, image_id_of(image), name, previous=current_name(image))

    @classmethod
    def delete(cls, image: ImageLike) -> Self:
        """Make a step that deletes an image.

        Args:
            image: A `SavedImage` or an id.

        Raises:
            UsageError: The id is invalid.
        """
        return cls(Action.DELETE, image_id_of(image), previous=current_name(image))

    @classmethod
    def save(cls, node: str | int, name: str) -> Self:
        """Make a step that saves an image of a node.

        Args:
            node: The id of a node.
            name: The name of the image, 1 to 255 characters.

        Raises:
            UsageError: The id or the name is invalid.
        """
        return cls(Action.SAVE, node_id_of(node), name)

    @property
    def repeatable(self) -> bool:
        """Whether the step may be sent again after an unknown outcome: true unless it is a save."""
        return ACTIONS[self.action].repeat is not Repeatability.ONCE

    @property
    def unchanged(self) -> bool:
        """Whether the image is known to have the name already, so that no request is needed."""
        if self.via is not None or self.open:
            return False
        return self.previous is not None and self.previous == self.name

    def __str__(self) -> str:
        return ACTIONS[self.action].sentence.format(self.target, _check.quoted(self.name))

    def to_dict(self) -> dict[str, Any]:
        """Return the step as ``json.dumps`` takes it. Fields with their default are left out."""
        found: dict[str, Any] = {"action": self.action.value, "target": self.target}
        for key in ("name", "index", "previous", "via"):
            if (value := getattr(self, key)) is not None:
                found[key] = value
        if self.sent_at is not None:
            found["sent_at"] = datetime.fromtimestamp(self.sent_at, UTC).isoformat()
        if self.after:
            found["after"] = list(self.after)
        if self.open:
            found["open"] = True
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a step from the result of `to_dict`.

        Args:
            data: The result of `to_dict`.

        Raises:
            UsageError: It is damaged.
        """
        if not isinstance(cast("object", data), Mapping):
            raise UsageError(f"a stored step is an object, not {_check.quoted(data)}")
        rest = {
            key: value for key, value in data.items() if key not in ("action", "target", "name")
        }
        fields = checked_fields("a stored step", rest, _STORED)
        return cls(_action(data.get("action")), data.get("target", ""), data.get("name"), **fields)


class Ending:
    """How a call, or a step of two calls, ended. It is not changed once it is made.

    Args:
        status: How it ended.
        result: What the server said to a step that is DONE.
        error: Why it is not DONE or UNCHANGED; None when it is.
        attempts: Requests sent for it.
        halfway: Whether the image carries the step's temporary name, as far as is known.
        wait: Seconds after which it may be tried again, where the request budget is used up.
    """

    __slots__ = ("attempts", "error", "halfway", "result", "status", "wait")

    def __init__(
        self,
        status: Status,
        result: SaveAction | ActionResult | None = None,
        error: E2EError | None = None,
        attempts: int = 0,
        halfway: bool = False,
        wait: float | None = None,
    ) -> None:
        self.status: Status = status
        self.result: SaveAction | ActionResult | None = result
        self.error: E2EError | None = error
        self.attempts: int = attempts
        self.halfway: bool = halfway
        self.wait: float | None = wait


#: Carries out one step, filling the record of its call as it goes, and returns DONE or UNCHANGED.
#: Raises an `E2EError` if the step cannot be carried out.
Perform = Callable[[Step, CallRecord], Awaitable[Ending]]


_BY_WORD: Final = {action.value: action for action in Action}


def _action(value: object) -> Action:
    action = _BY_WORD.get(value) if isinstance(value, str) else None
    if action is None:
        raise UsageError(
            f"action: one of {', '.join(_BY_WORD)} is needed, not {_check.quoted(value)}"
        )
    return action


def current_name(image: object) -> str | None:
    """The name that an image has now, where that is known."""
    return image.name or None if isinstance(image, SavedImage) else None


def index_of(step: Step) -> int:
    """The index of a step of a plan; each of them has one."""
    assert step.index is not None
    return step.index
