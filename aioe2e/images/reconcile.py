"""Settles what a run had to leave unknown, where a later listing proves it."""

from __future__ import annotations

from collections.abc import Sequence

from aioe2e._call.channel import Core
from aioe2e.bulk import Outcome, Status
from aioe2e.models import Action, ActionResult, SaveAction

from .listing import Listing
from .proof import Doubt, evidence_of


def settle(core: Core, unknown: Sequence[Outcome], listing: Listing, lag: float) -> list[Outcome]:
    """The outcomes of UNKNOWN steps that a listing proves to be done.

    Args:
        core: The session's shared parts.
        unknown: The outcomes.
        listing: A listing from after the run.
        lag: Seconds by which the listing may be late.
    """
    for outcome in unknown:
        step = outcome.step
        if step.action is Action.SAVE and step.sent_at is not None:
            # All saves of an earlier process are known before any is settled: each may have made
            # another's image.
            core.saves.recall(str(step.name), listing.received - (core.clock.wall() - step.sent_at))
    settled = (_settled(core, outcome, listing, lag) for outcome in unknown)
    return [outcome for outcome in settled if outcome is not None]


def _settled(core: Core, outcome: Outcome, listing: Listing, lag: float) -> Outcome | None:
    step = outcome.step
    result: SaveAction | ActionResult
    if step.action is Action.SAVE:
        image = core.saves.settle(str(step.name), listing)
        if image is None:
            return None
        result = SaveAction(node_id=step.target, name=str(step.name), image_id=image.image_id)
    else:
        # What was sent by another session or process was sent long ago.
        doubt = Doubt(
            step.action, step.target, step.name or "", core.sightings.doubt_began(step.target)
        )
        evidence = evidence_of(core, doubt, listing, lag)
        if evidence is None or evidence.proven_from > listing.started:
            return None
        result = ActionResult()
    return Outcome(step, Status.DONE, result, attempts=outcome.attempts, elapsed=outcome.elapsed)
