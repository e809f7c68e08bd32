"""What of a run is worth running again: the one rule behind `Report.remaining` and `Plan.resume`.

Why the remaining steps can run without a collision: the order of the first plan is kept and never
worked out anew. A step loses a dependency only when the name that it waited for is known to be
free, that is when the other step is done, or when its image is known to carry the temporary name.
It is left out when the other step is left out and still holds that name. What may have been sent
(`Step.open`) is treated as if it still held its old name, and sending a rename or a delete once
more does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import attrs

from .order import is_temporary
from .step import Status, Step, StepRecord, index_of

__all__ = ["Remaining", "remaining_steps"]

_NEVER_SENT = StepRecord(Status.SKIPPED)


class Remaining(NamedTuple):
    """The outcome of the rule."""

    #: What may be sent again, in the order of the plan.
    steps: tuple[Step, ...]
    #: Saves that were sent and may have been carried out: never to be sent again blindly.
    unknown: tuple[Step, ...]
    #: Steps that are left out, images that carry a temporary name, and open saves.
    warnings: tuple[str, ...]


def remaining_steps(
    steps: Sequence[Step], unknown: Sequence[Step], records: Mapping[int, StepRecord]
) -> Remaining:
    """Judge every step by its record; one without a record was never sent.

    Args:
        steps: The steps of the plan that ran.
        unknown: The open saves that the plan already had.
        records: By index.
    """
    return _Rule(steps, unknown, records).remaining()


class _Rule:
    def __init__(
        self, steps: Sequence[Step], unknown: Sequence[Step], records: Mapping[int, StepRecord]
    ) -> None:
        self._steps = steps
        self._unknown = unknown
        self._records = records
        #: Indices of the steps whose old name is free.
        self._freed = {
            index
            for index in map(index_of, (*steps, *unknown))
            if self._of(index).settled or self._of(index).halfway
        }
        self._open_saves = [step for step in (*unknown, *steps) if self._is_open_save(step)]
        self._open_save_indices = {index_of(step) for step in self._open_saves}
        #: By index: why a step is left out.
        self._reasons = self._left_out()

    def remaining(self) -> Remaining:
        kept = [self._again(step) for step in self._steps if self._is_kept(step)]
        open_saves = sorted(self._open_saves, key=index_of)
        unknown = [self._as_open(step) for step in open_saves]
        return Remaining(tuple(kept), tuple(unknown), tuple(self._warnings()))

    def _of(self, index: int) -> StepRecord:
        return self._records.get(index, _NEVER_SENT)

    def _is_open_save(self, step: Step) -> bool:
        record = self._of(index_of(step))
        if step.repeatable or record.settled:
            return False
        return step.open or record.status is Status.UNKNOWN

    def _is_kept(self, step: Step) -> bool:
        index = index_of(step)
        if index in self._reasons or index in self._open_save_indices:
            return False
        return not self._of(index).settled

    def _left_out(self) -> dict[int, str]:
        reasons: dict[int, str] = {}
        waiters: dict[int, list[Step]] = {}
        for step in self._steps:
            if reason := self._reason(step):
                reasons[index_of(step)] = reason
            for index in step.after:
                waiters.setdefault(index, []).append(step)
        # What waits for a name that stays in use is left out too.
        spreading = [*reasons, *self._open_save_indices]
        for index in spreading:  # grows while it is walked
            for waiter in map(index_of, waiters.get(index, ())):
                if waiter not in reasons and not self._of(waiter).settled:
                    reasons[waiter] = f"it comes after step {index}"
                    spreading.append(waiter)
        return reasons

    def _reason(self, step: Step) -> str:
        """Why a step is left out for its own record; empty if it is not."""
        index = index_of(step)
        record = self._of(index)
        if record.status is Status.UNKNOWN and record.refused:
            # It was run again in the hope of an answer, and only the listing can give one now.
            return "it may have been applied, and is refused when it is sent again"
        if record.status is not Status.FAILED or record.passing:
            return ""
        if index in self._open_save_indices:
            return ""
        # The second request of a swap goes out only when its name is free. If that is not so, the
        # request was never sent, and so it was not refused.
        name_is_free = all(index in self._freed for index in step.after)
        if record.halfway and not name_is_free:
            return ""
        return "it was refused for good"

    def _again(self, step: Step) -> Step:
        """The step as the next run has to make it."""
        record = self._of(index_of(step))
        after = tuple(index for index in step.after if index not in self._freed)
        unsure = record.status is Status.UNKNOWN
        if record.halfway and step.via is not None:
            # Its image has left its old name: what may be open is the second request alone.
            return attrs.evolve(step, previous=step.via, via=None, after=after, open=unsure)
        # With a `via`, both requests of an open step are made again: to give an image the name that
        # it has is harmless.
        is_open = step.open or unsure
        if after == step.after and is_open == step.open:
            return step
        return attrs.evolve(step, after=after, open=is_open)

    def _as_open(self, step: Step) -> Step:
        sent_at = step.sent_at or self._of(index_of(step)).sent_at
        return attrs.evolve(step, open=True, sent_at=sent_at)

    def _warnings(self) -> Iterator[str]:
        for step in self._steps:
            if reason := self._reasons.get(index_of(step)):
                yield f"step {step.index} ({step}) is left out: {reason}"
        for step in self._steps:
            if warning := self._temporary_name(step):
                yield warning
        for step in self._open_saves:
            yield (
                f"step {step.index} ({step}) was sent and may have been applied: check the listing"
            )

    def _temporary_name(self, step: Step) -> str:
        """A warning for an image that carries a temporary name, or may do so; else empty."""
        record = self._of(index_of(step))
        if record.settled:
            return ""
        unsure = record.status is Status.UNKNOWN or step.open
        name: str | None = None
        if step.via is None:
            # It may be what remains of an earlier run, and then starts from the temporary name.
            name = step.previous
        elif record.halfway or unsure:
            name = step.via
        if not is_temporary(name):
            return ""
        carries = "may carry" if unsure else "carries"
        ending = f"step {step.index} of what remains finishes it"
        if index_of(step) in self._reasons:
            ending = f"rename it to {step.name!r} yourself"
        return f"image {step.target} {carries} the temporary name {name!r}: {ending}"
