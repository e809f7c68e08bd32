"""Settles what a run had to leave unknown, where a later listing proves it."""

from __future__ import annotations

from ._core import Core
from ._listing import Listing
from ._look import Doubt, proof_of
from ._step import Status
from .models import Action, ActionResult, SaveAction
from .report import Outcome


def settle(core: Core, outcome: Outcome, listing: Listing, lag: float) -> Outcome | None:
    """The outcome of an UNKNOWN step as a listing proves it; None where it proves nothing.

    Args:
        core: The session's shared parts.
        outcome: The outcome.
        listing: A listing from after the run.
        lag: Seconds by which the listing may be late.
    """
    step = outcome.step
    result: SaveAction | ActionResult
    if step.action is Action.SAVE:
        age = None if step.sent_at is None else core.clock.wall() - step.sent_at
        image = core.saves.settle(str(step.name), listing, age)
        if image is None:
            return None
        result = SaveAction(node_id=step.target, name=str(step.name), image_id=image.image_id)
    else:
        began = core.sightings.doubt_began(step.target)
        doubt = Doubt(step.action, step.target, step.name or "", began, step.previous)
        if proof_of(core, doubt, listing, lag) is None:
            return None
        result = ActionResult()
    return Outcome(step, Status.DONE, result, attempts=outcome.attempts, elapsed=outcome.elapsed)
