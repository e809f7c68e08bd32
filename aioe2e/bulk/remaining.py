"""What of a run is worth running again: the one rule behind `Report.remaining` and `Plan.resume`.

Why what is left can run without a collision: the order of the first plan is kept and never worked
out anew. A step loses a dependency only when the name that it waited for is known to be free, that
is when the other step is done, or when its image is known to carry the temporary name. It is left
out when the other step is left out and still holds that name. What may have been sent (`Step.open`)
is treated as if it still held its old name, and sending a rename or a delete once more does no
harm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from .order import is_temporary
from .step import Status, Step, StepFate

__all__ = ["LeftOver", "what_is_left"]

_NEVER_SENT = StepFate(Status.SKIPPED)


@attrs.frozen(eq=False, repr=False)
class LeftOver:
    """The outcome of the rule.

    Attributes:
        steps: What may rightly be sent again, in the order of the plan.
        unknown: Saves that were sent and whose fate is not known: never to be sent again blindly.
        warnings: Steps that are left out, images that carry a temporary name, and open saves.
    """

    steps: tuple[Step, ...]
    unknown: tuple[Step, ...]
    warnings: tuple[str, ...]


def what_is_left(
    steps: Sequence[Step], unknown: Sequence[Step], fates: Mapping[int, StepFate]
) -> LeftOver:
    """Judge every step by its fate; one without a fate was never sent.

    Args:
        steps: The steps of the plan that ran.
        unknown: The open saves that the plan already had.
        fates: By index.
    """
    fate_of = {_index(step): fates.get(_index(step), _NEVER_SENT) for step in (*steps, *unknown)}
    freed = {index for index, fate in fate_of.items() if fate.settled or fate.halfway}
    open_saves = [
        step
        for step in (*unknown, *steps)
        if not step.repeatable
        and not fate_of[_index(step)].settled
        and (step.open or fate_of[_index(step)].status is Status.UNKNOWN)
    ]
    saved = {_index(step) for step in open_saves}
    reasons = _left_out(steps, fate_of, freed, saved)
    kept = [
        _again(step, fate_of[_index(step)], freed)
        for step in steps
        if _index(step) not in reasons
        and _index(step) not in saved
        and not fate_of[_index(step)].settled
    ]
    warnings = [
        *(
            f"step {step.index} ({step}) is left out: {reasons[_index(step)]}"
            for step in steps
            if _index(step) in reasons
        ),
        *(_temporary(step, fate_of[_index(step)], _index(step) in reasons) for step in steps),
        *(
            f"step {step.index} ({step}) was sent and may have been applied: look at the listing"
            for step in open_saves
        ),
    ]
    return LeftOver(
        tuple(kept),
        tuple(
            attrs.evolve(step, open=True, sent_at=step.sent_at or fate_of[_index(step)].sent_at)
            for step in sorted(open_saves, key=_index)
        ),
        tuple(filter(None, warnings)),
    )


def _index(step: Step) -> int:
    assert step.index is not None
    return step.index


def _left_out(
    steps: Sequence[Step], fate_of: Mapping[int, StepFate], freed: set[int], saved: set[int]
) -> dict[int, str]:
    """By index: why a step is left out. What waits for a name that stays in use goes with it."""
    reasons: dict[int, str] = {}
    waiters: dict[int, list[Step]] = {}
    for step in steps:
        fate = fate_of[_index(step)]
        # The second request of a swap goes out only when its name is free: if it was not, nobody
        # refused it.
        blocked = fate.halfway and any(index not in freed for index in step.after)
        if (
            fate.status is Status.FAILED
            and not fate.passing
            and not blocked
            and _index(step) not in saved
        ):
            reasons[_index(step)] = "it was refused for good"
        elif fate.status is Status.UNKNOWN and fate.refused:
            # It was run again in the hope of an answer, and only the listing can give one now.
            reasons[_index(step)] = "it may have been applied, and is refused when it is sent again"
        for index in step.after:
            waiters.setdefault(index, []).append(step)
    spreading = [*reasons, *saved]
    for index in spreading:  # grows while it is walked
        for waiter in waiters.get(index, ()):
            if _index(waiter) not in reasons and not fate_of[_index(waiter)].settled:
                reasons[_index(waiter)] = f"it comes after step {index}"
                spreading.append(_index(waiter))
    return reasons


def _again(step: Step, fate: StepFate, freed: set[int]) -> Step:
    """The step as the next run has to make it."""
    after = tuple(index for index in step.after if index not in freed)
    unsure = fate.status is Status.UNKNOWN
    if fate.halfway and step.via is not None:
        # Its image has left its old name for certain: what may be open is the second request alone.
        return attrs.evolve(step, previous=step.via, via=None, after=after, open=unsure)
    # With a `via`, both requests of an open step are made again: to give an image the name that it
    # has is harmless.
    if after == step.after and (step.open or not unsure):
        return step
    return attrs.evolve(step, after=after, open=step.open or unsure)


def _temporary(step: Step, fate: StepFate, left_out: bool) -> str | None:
    """A warning for an image that carries a temporary name, or may do so."""
    if fate.settled:
        return None
    unsure = fate.status is Status.UNKNOWN or step.open
    # Without a `via` it is a step of an earlier run's left-over, which starts from the temporary
    # name.
    name = step.previous if step.via is None else step.via if fate.halfway or unsure else None
    if name is None or not is_temporary(name):
        return None
    ending = (
        f"rename it to {step.name!r} yourself"
        if left_out
        else f"step {step.index} of what is left finishes it"
    )
    return f"image {step.target} {'may carry' if unsure else 'carries'} the temporary name {name!r}: {ending}"
