"""Plans: what a bulk run will do, as plain data that can be printed, tested, stored and run.

A plan knows no session and makes no request. Print it for a dry run, then run the same object.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Self, cast, overload

import attrs

from aioe2e import _check
from aioe2e._plain import Reader, checked_fields, sequence, text, yes_or_no
from aioe2e._text import counted, escape, table
from aioe2e.errors import UsageError
from aioe2e.models import Action, SavedImage

from . import journal_reader
from .inputs import Namer, checked_steps, collection, is_planned, steps_of
from .order import groups, is_runnable
from .remaining import remaining_steps
from .step import ImageLike, NodeLike, Step, StepRecord, index_of

__all__ = ["Plan", "as_plan", "plan_as_json", "remaining_plan", "steps_or_plan"]

#: The version of what `Plan.to_dict` writes.
VERSION: Final = 1

#: How the fields of a stored plan are read, besides its steps.
_STORED: Final[Mapping[str, Reader]] = {
    "digest": text,
    "resumed": yes_or_no,
    "warnings": sequence(text),
}

#: Steps that are encoded at once.
_SLICE: Final = 500

#: What the text of a plan says above saves that an earlier run sent.
_UNKNOWN_SAVES: Final = (
    "Saves of unknown outcome, which are never sent again:",
    "(to settle them: report = await session.images.reconcile(await session.images.run(plan)))",
)


def _encoded(steps: Sequence[Step], encode: Callable[[object], str]) -> Iterator[str]:
    """The JSON of steps, without its brackets, a slice at a time.

    So a large plan is never in memory as dictionaries, and a thread that encodes it lets others
    run.
    """
    for start in range(0, len(steps), _SLICE):
        yield encode([step.to_dict() for step in steps[start : start + _SLICE]])[1:-1]


def _digest(steps: Sequence[Step]) -> str:
    """The SHA-256 of the JSON of steps."""
    text = ",".join(_encoded(steps, json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode))
    return hashlib.sha256(f"[{text}]".encode()).hexdigest()


def _as_steps(steps: Iterable[Step]) -> tuple[Step, ...]:
    found = tuple(steps)
    for step in found:
        if not isinstance(cast("object", step), Step):
            raise UsageError(f"a plan has Steps, not {_check.quoted(step)}")
    return found


def _as_texts(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(texts)


@attrs.frozen(repr=False)
class Plan(Sequence[Step]):
    """Steps in the order of the input, checked as a whole, each with the steps that it waits for.

    Make one with `Plan.rename`, `Plan.delete`, `Plan.save` or `Plan.of`. A plan is a sequence of
    `Step`: ``len(plan)`` is the number of steps (duplicate inputs are merged into one).
    ``bool(plan)`` is true if there are steps or saves of unknown outcome, so a loop until nothing
    is left to run uses ``len(plan)``. ``str(plan)`` is the whole plan as a table.
    """

    #: The steps. A plan of what remains keeps the indices of the first plan.
    steps: tuple[Step, ...] = attrs.field(converter=_as_steps)
    #: Non-fatal warnings, one sentence each. The plan can be run.
    warnings: tuple[str, ...] = attrs.field(default=(), converter=_as_texts, kw_only=True)
    #: Saves that an earlier run sent and that may have been carried out. They are not among the
    #: steps and are never sent again.
    unknown: tuple[Step, ...] = attrs.field(default=(), converter=_as_steps, kw_only=True)
    #: The digest of the first plan, if this is a plan of what remains of it; else None.
    origin: str | None = attrs.field(default=None, kw_only=True)
    #: The journal from which `Plan.resume` made this plan, or the plan that this one remains of;
    #: else None.
    journal: str | None = attrs.field(default=None, kw_only=True, eq=False, repr=False)
    #: The digest once it was asked for, since it takes a while; `digest` alone writes it.
    _known_digest: str | None = attrs.field(default=None, init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        indices = [step.index for step in (*self.steps, *self.unknown)]
        if None in indices:
            raise UsageError("a Plan is made with Plan.rename, Plan.delete, Plan.save or Plan.of")
        if len(set(indices)) != len(indices):
            raise UsageError(
                "two steps of this plan have one index: make it with Plan.of, which numbers them"
            )
        if not is_runnable(self.steps):
            raise UsageError(
                "the steps of this plan wait for each other, or for a step that is not there"
            )

    @classmethod
    def rename(
        cls,
        images: Mapping[Any, str] | Iterable[tuple[ImageLike, str] | ImageLike],
        *,
        to: Callable[[SavedImage], str] | None = None,
        existing: Iterable[SavedImage] | None = None,
    ) -> Self:
        """Plan new names, ordered so that no rename collides with an existing name.

        Chains, swaps and longer cycles are ordered as well. An image that already has its new name
        stays in the plan, and is reported UNCHANGED without a request.

        Args:
            images: A mapping of id to new name, pairs of image and new name, or images with ``to``.
            to: A function that takes a `SavedImage` and returns its new name. Ids are looked up in
                ``existing`` for it.
            existing: A fresh listing. It supplies the current names of ids, which the order needs,
                and the names that are taken. A `SavedImage` brings its own current name.

        Returns:
            The plan. Nothing is sent.

        Raises:
            UsageError: Some inputs are invalid; `UsageError.problems` has all of them. Each names
                its step, or its place in the input (from 1) if there is no step.
        """
        return cls._planned(Action.RENAME, images, to, existing)

    @classmethod
    def delete(
        cls,
        images: Iterable[ImageLike],
        *,
        existing: Iterable[SavedImage] | None = None,
        force: bool = False,
    ) -> Self:
        """Plan deletions. An image that is given twice becomes one step, with a warning.

        Args:
            images: The images, as `SavedImage` or id.
            existing: A fresh listing, to check the inputs against.
            force: Whether images that VMs, clones or autoscaling groups use may be deleted. It is
                not the command line's ``--force``, which skips a question.

        Returns:
            The plan. Nothing is sent.

        Raises:
            UsageError: Some inputs are invalid; `UsageError.problems` has all of them. Each names
                its step, or its place in the input (from 1) if there is no step.
        """
        return cls._planned(Action.DELETE, images, None, existing, force=force)

    @classmethod
    def save(
        cls,
        nodes: Mapping[Any, str] | Iterable[tuple[NodeLike, str] | NodeLike],
        *,
        to: Callable[[str], str] | None = None,
        existing: Iterable[SavedImage] | None = None,
        same_names: bool = False,
    ) -> Self:
        """Plan a new image of each node.

        Args:
            nodes: A mapping of node id to image name, pairs of node and name, or nodes with ``to``.
            to: A function that takes the id of a node and returns the name of its image.
            existing: A fresh listing. It supplies the names that are taken.
            same_names: Whether several nodes may have images of one name. The server may refuse the
                second one.

        Returns:
            The plan. Nothing is sent.

        Raises:
            UsageError: Some inputs are invalid; `UsageError.problems` has all of them. Each names
                its step, or its place in the input (from 1) if there is no step.
        """
        return cls._planned(Action.SAVE, nodes, to, existing, same_names=same_names)

    @classmethod
    def of(
        cls,
        steps: Iterable[Step],
        *,
        existing: Iterable[SavedImage] | None = None,
        force: bool = False,
    ) -> Self:
        """Plan single steps, whose actions may differ.

        The steps are checked, numbered and ordered again.

        Args:
            steps: The steps.
            existing: A fresh listing, to check the inputs against.
            force: Whether images that are in use may be deleted.

        Returns:
            The plan. Nothing is sent.

        Raises:
            UsageError: Some inputs are invalid; `UsageError.problems` has all of them. Each names
                its step, or its place in the input (from 1) if there is no step.
        """
        return cls._planned(None, steps, None, existing, force=force)

    @classmethod
    def _planned(
        cls,
        action: Action | None,
        source: object,
        to: Namer | None,
        existing: Iterable[SavedImage] | None,
        *,
        force: bool = False,
        same_names: bool = False,
    ) -> Self:
        items = collection(action, source, to)
        if isinstance(items, AsyncIterable):
            raise UsageError(
                "a plan needs all of its items at once:"
                " hand an async iterable to a bulk call or Images.stream"
            )
        steps, warnings = checked_steps(
            action, items, to=to, existing=existing, force=force, same_names=same_names
        )
        return cls(steps, warnings=warnings)

    @classmethod
    def resume(cls, path: str | os.PathLike[str]) -> Plan:
        """Return a plan of what remains of a run that kept a journal, as `Report.remaining` does.

        Run it with the same path as ``journal=``, so that the journal is continued. Without it, a
        warning is issued, and the next `resume` would offer the same steps again. Saves of unknown
        outcome are in `unknown`; `Images.reconcile` can settle them.

        Args:
            path: The file of the journal. It is only read.

        Raises:
            UsageError: The file cannot be read, is not a journal, or is damaged before its last
                line.
        """
        stored, records = journal_reader.read(path)
        remaining = remaining_plan(cls.from_dict(stored), records)
        return attrs.evolve(remaining, journal=os.fspath(path))

    @overload
    def __getitem__(self, place: int) -> Step: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Step, ...]: ...
    def __getitem__(self, place: int | slice) -> Step | tuple[Step, ...]:
        return self.steps[place]

    def __len__(self) -> int:
        return len(self.steps)

    def __bool__(self) -> bool:
        """Whether anything is left to see to: steps to run, or saves of unknown outcome."""
        return bool(self.steps or self.unknown)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    @property
    def digest(self) -> str:
        """The SHA-256 of the steps of the first plan, by which a journal identifies the plan."""
        if self.origin:
            return self.origin
        if self._known_digest is None:
            found = _digest((*self.steps, *self.unknown))
            object.__setattr__(self, "_known_digest", found)
            return found
        return self._known_digest

    @property
    def resumed(self) -> bool:
        """Whether this is a plan of what remains of an earlier run."""
        return self.origin is not None

    @property
    def action(self) -> Action | None:
        """The action of all steps; None if the actions differ or there are no steps."""
        actions = {step.action for step in (*self.steps, *self.unknown)}
        return actions.pop() if len(actions) == 1 else None

    def __repr__(self) -> str:
        idle = "nothing to send" if self.unknown else "nothing to do"
        parts = [_counted_steps(self.steps) or idle]
        if self.unknown:
            parts.append(f"{len(self.unknown)} unknown")
        if self.warnings:
            parts.append(counted(len(self.warnings), "warning"))
        return f"<Plan: {', '.join(parts)}>"

    def __str__(self) -> str:
        """The whole plan as a table, and its warnings."""
        title = "What remains of a plan" if self.resumed else "Plan"
        lines = [f"{title}: {self._summary()}"]
        if self.steps:
            header = ("step", "action", "target", "current name", "new name", "notes")
            lines += table(header, map(_row, self.steps))
        if self.unknown:
            lines += ["", *_UNKNOWN_SAVES]
            lines += table(
                ("step", "action", "target", "name"),
                ((s.index, s.action, s.target, s.name) for s in self.unknown),
            )
        if self.warnings:
            lines += ["", "Warnings:", *(f"  {escape(warning)}" for warning in self.warnings)]
        return "\n".join(lines)

    def _summary(self) -> str:
        unknown = f"{counted(len(self.unknown), 'save')} of unknown outcome"
        if not self.unknown:
            return _counted_steps(self.steps) or "nothing to do"
        if not self.steps:
            return f"nothing to send, but {unknown}"
        return f"{_counted_steps(self.steps)}; and {unknown}"

    def chunks(self, size: int) -> list[Plan]:
        """Split the plan into plans that can run in different processes and in any order.

        Steps that depend on each other stay together. Each chunk is a plan with its own digest, and
        keeps a journal of its own. Steps keep their indices, saves of unknown outcome go to the
        first chunk, and warnings stay with this plan.

        Args:
            size: The number of steps in a chunk, 1 or more. A chunk has more only if more steps
                depend on each other.

        Returns:
            The chunks; none if the plan has neither steps nor saves of unknown outcome.

        Raises:
            UsageError: The size is not a whole number of 1 or more.
        """
        size = _check.require_whole("chunks", size, 1)
        found: list[list[Step]] = []
        for group in groups(self.steps):
            if not found or len(found[-1]) + len(group) > size:
                found.append([])
            found[-1] += group
        if self.unknown and not found:
            found.append([])
        in_order = (sorted(chunk, key=index_of) for chunk in found)
        return [
            Plan(steps, unknown=() if place else self.unknown)
            for place, steps in enumerate(in_order)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as ``json.dumps`` takes it."""
        return {
            "version": VERSION,
            "digest": self.digest,
            "resumed": self.resumed,
            "steps": [step.to_dict() for step in self.steps],
            "unknown": [step.to_dict() for step in self.unknown],
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a plan from the result of `to_dict`. It is equal to the original.

        Args:
            data: The result of `to_dict`.

        Raises:
            UsageError: It is not a stored plan, it is damaged, or its steps were changed. To run
                changed steps, make a new plan with `Plan.of`.
        """
        stored = isinstance(cast("object", data), Mapping)
        if not stored or data.get("version") != VERSION:
            raise UsageError(
                f"this is no plan that Plan.to_dict wrote in version {VERSION}:"
                f" {_check.quoted(data)}"
            )
        fields = checked_fields(
            "this stored plan", {key: data.get(key) for key in _STORED}, _STORED
        )
        digest: str = fields["digest"]
        steps, unknown = _stored(data, "steps"), _stored(data, "unknown")
        try:
            plan = cls(
                steps,
                warnings=fields["warnings"],
                unknown=unknown,
                origin=digest if fields["resumed"] else None,
            )
        except UsageError as error:
            problem = f"this stored plan is damaged: {error}"
        else:
            if plan.digest == digest:
                return plan
            problem = (
                "the steps of this stored plan are not those it had; make a new one: Plan.of(steps)"
            )
        raise UsageError(problem)


def as_plan(
    source: Plan | Iterable[Step] | AsyncIterable[Step],
) -> Plan | Iterable[Step] | AsyncIterable[Step]:
    """A plan of steps in a collection with a length; what has none is streamed, and comes back."""
    if isinstance(source, Plan) or not isinstance(source, Iterable) or not is_planned(source):
        return source
    return Plan.of(source)


def steps_or_plan(
    action: Action,
    source: Iterable[Any] | AsyncIterable[Any],
    to: Callable[[Any], str] | None,
    existing: Iterable[SavedImage] | None,
    plan: Callable[[Any], Plan],
    *,
    force: bool = False,
) -> Plan | Iterable[Step] | AsyncIterable[Step]:
    """What a bulk call runs: a plan of a collection with a length; else a stream of steps.

    Raises:
        UsageError: Some inputs cannot be right.
    """
    if is_planned(source):
        return plan(source)
    if existing is not None:
        raise UsageError(
            "existing= checks a whole plan: give a list, not an iterable without a length"
        )
    return steps_of(action, source, to=to, force=force)


def plan_as_json(plan: Plan) -> str:
    """What `Plan.to_dict` gives, as JSON without spaces."""
    encode = json.JSONEncoder(separators=(",", ":")).encode
    values = {
        "version": encode(VERSION),
        "digest": encode(plan.digest),
        "resumed": encode(plan.resumed),
        "steps": f"[{','.join(_encoded(plan.steps, encode))}]",
        "unknown": f"[{','.join(_encoded(plan.unknown, encode))}]",
        "warnings": encode(plan.warnings),
    }
    return "{" + ",".join(f'"{key}":{value}' for key, value in values.items()) + "}"


def remaining_plan(plan: Plan, records: Mapping[int, StepRecord]) -> Plan:
    """What of a plan is worth running again, given how its steps ended.

    Kept is what was never sent, what failed by a fault that passes, and renames and deletes that
    may have been applied (`Step.open`). Saves that may have been applied stand in `Plan.unknown`.
    What was refused for good is left out, and so is what comes after it; `Plan.warnings` names
    those, and every image that carries a temporary name. Indices and digest stay those of the first
    plan.

    Args:
        plan: The plan that ran.
        records: How its steps ended, by index; a step without a record was never sent.
    """
    remaining = remaining_steps(plan.steps, plan.unknown, records)
    return Plan(
        remaining.steps,
        unknown=remaining.unknown,
        warnings=remaining.warnings,
        origin=plan.digest,
        journal=plan.journal,
    )


def _counted_steps(steps: Sequence[Step]) -> str:
    by_action = Counter(step.action for step in steps)
    return ", ".join(counted(number, action.value) for action, number in by_action.items())


def _row(step: Step) -> tuple[object, ...]:
    notes: list[str] = []
    if step.unchanged:
        notes.append("unchanged")
    if step.via:
        notes.append(f"through {step.via}")
    if step.after:
        notes.append(f"after {', '.join(map(str, step.after))}")
    if step.open:
        notes.append("may have been applied already")
    return (
        step.index,
        step.action,
        step.target,
        step.previous,
        step.name,
        "; ".join(notes),
    )


def _stored(data: Mapping[str, Any], key: str) -> list[Step]:
    """The steps that stand under a key of a stored plan."""
    if not isinstance(data.get(key), list):
        raise UsageError(f"this stored plan is damaged: its {key} are no list")
    items: list[Any] = data[key]
    steps: list[Step] = []
    for place, item in enumerate(items):
        try:
            steps.append(Step.from_dict(item))
        except UsageError as error:
            problem = f"this stored plan is damaged: {key}[{place}]: {error}"
        else:
            continue
        raise UsageError(problem)
    return steps
