"""What a run needs of the images: its steps carried out, its outcomes verified and settled.

It loads with the first run, and the room of bulk runs with it.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Sequence
from functools import partial
from typing import Final, Unpack, assert_never

import attrs

from aioe2e._actions import ACTIONS, ProvenBy
from aioe2e._call import Channel, Options
from aioe2e._check import quoted
from aioe2e._record import CallRecord
from aioe2e.bulk import (
    Ending,
    Outcome,
    Plan,
    Report,
    RunOptions,
    Status,
    Step,
    Stream,
    as_plan,
)
from aioe2e.errors import E2EError, OutcomeUnknownError, WaitTimeoutError
from aioe2e.models import Action, ActionResult, SaveAction, SavedImage

from .listing import Listing
from .memory import ImageMemory
from .proof import OpenWrite, proof_of
from .waits import poll
from .writes import Writes

#: Seconds between the first two listings of a verification; the interval grows.
_INTERVAL: Final = 0.5


class Runs:
    """Bulk runs of one view of a session.

    Args:
        channel: The session's.
        memory: What is known of the images.
        options: Of the view.
    """

    def __init__(self, channel: Channel, memory: ImageMemory, options: Options) -> None:
        self._channel = channel
        self._memory = memory
        self._options = options
        self._writes = Writes(channel, memory, options)

    def stream(
        self,
        plan: Plan | Iterable[Step] | AsyncIterable[Step],
        *,
        missing_ok: bool,
        **options: Unpack[RunOptions],
    ) -> Stream:
        """A run that has not begun; see `Images.stream`."""
        channel = self._channel
        tell = None
        if channel.settings.hooks:
            tell = channel.emit
        stream = Stream(
            as_plan(plan),
            perform=partial(self.perform, missing_ok=missing_ok),
            session_limit=channel.limits.in_flight,
            current_limit=lambda: channel.gate.limit,
            rest=channel.rest,
            is_closed=lambda: channel.closed,
            check=Verification(channel, self._memory),
            longest_wait=self._options.retry.max_retry_after,
            clock=channel.clock,
            tell=tell,
            **options,
        )
        limit = options.get("limit")
        if limit is not None:
            channel.warn_of_limit(limit)
        return stream

    async def perform(self, step: Step, record: CallRecord, *, missing_ok: bool) -> Ending:
        """Carry out one step; what the bulk engine is handed."""
        writes, target, name = self._writes, step.target, str(step.name)
        match step.action:
            case Action.SAVE:
                return Ending(Status.DONE, await writes.save(target, name, record))
            case Action.RENAME:
                renamed = await writes.rename(target, name, record, in_doubt=step.open)
                return Ending(Status.DONE, renamed)
            case Action.DELETE:
                result, found = await writes.delete(
                    target, record, missing_ok=missing_ok, in_doubt=step.open
                )
                return Ending(Status.DONE if found else Status.UNCHANGED, result)
            case _:
                assert_never(step.action)

    async def reconcile(self, report: Report) -> Report:
        """Settle what one listing proves; see `Images.reconcile`."""
        unknown = report.where(Status.UNKNOWN)
        if not unknown:
            return report
        listing = await self._memory.list_with_retries(self._options, CallRecord())
        self._recall_saves(unknown, listing)
        proven = (self._proven(outcome, listing) for outcome in unknown)
        return report.settle([outcome for outcome in proven if outcome is not None])

    def _recall_saves(self, unknown: Sequence[Outcome], listing: Listing) -> None:
        """Make the saves of an earlier process known, all of them before any is settled.

        Each may have made another's image.
        """
        for outcome in unknown:
            step = outcome.step
            if _is_save(step) and step.sent_at is not None:
                ago = self._channel.clock.wall() - step.sent_at
                self._memory.saves.recall(str(step.name), listing.received - ago)

    def _proven(self, outcome: Outcome, listing: Listing) -> Outcome | None:
        """The outcome as DONE, if a listing from after the run proves that."""
        result: SaveAction | ActionResult | None
        if _is_save(outcome.step):
            result = self._settled_save(outcome.step, listing)
        else:
            result = self._settled_change(outcome.step, listing)
        if result is None:
            return None
        return Outcome(
            outcome.step,
            Status.DONE,
            result,
            attempts=outcome.attempts,
            elapsed=outcome.elapsed,
        )

    def _settled_save(self, step: Step, listing: Listing) -> SaveAction | None:
        image = self._memory.saves.settle(str(step.name), listing)
        if image is None:
            return None
        return SaveAction(node_id=step.target, name=str(step.name), image_id=image.image_id)

    def _settled_change(self, step: Step, listing: Listing) -> ActionResult | None:
        # What was sent by another session or process was sent long ago.
        began = self._memory.known.open_since(step.target)
        write = OpenWrite(step.action, step.target, step.name or "")
        lag = self._options.retry.look
        proof = proof_of(self._memory, write, listing, began=began, lag=lag)
        if proof is not None and proof.holds:
            return ActionResult()
        return None


def _is_save(step: Step) -> bool:
    """Whether a step is proven by an image of its own, and so needs a claim on it."""
    return ACTIONS[step.action].proven_by is ProvenBy.NEW_IMAGE


class Verification:
    """Compares outcomes with listings until one shows all that they promise.

    Args:
        channel: The session's.
        memory: What the session knows of images.
    """

    def __init__(self, channel: Channel, memory: ImageMemory) -> None:
        self._channel = channel
        self._memory = memory

    async def __call__(self, outcomes: Sequence[Outcome], seconds: float) -> list[Outcome]:
        """The outcomes of which more is known in so many seconds.

        They are those that did not come true, as UNKNOWN, and those of saves of which the server
        did not name the image, with its id.

        Args:
            outcomes: Of steps that are DONE or UNCHANGED.
            seconds: Above 0.
        """
        #: By place in `outcomes`: what the latest listing shows instead.
        untrue = dict.fromkeys(range(len(outcomes)), "no listing could be read")
        #: By place: the images of saves.
        made: dict[int, SavedImage] = {}

        def found(listing: Listing) -> bool | None:
            untrue.clear()
            for place, outcome in enumerate(outcomes):
                if isinstance(outcome.result, SaveAction):
                    image = self._image_of(outcome.result, made.get(place), listing)
                    shows = "" if image is not None else "the listing shows no image of it"
                    if image is not None:
                        made[place] = image
                else:
                    shows = _shows_instead(outcome.step, listing)
                if shows:
                    untrue[place] = shows
            return None if untrue else True

        reason = ""
        try:
            await poll(
                self._channel,
                self._memory.listings,
                found,
                waiting_for="verifying a run",
                timeout=seconds,
                interval=min(_INTERVAL, max(seconds / 4, 0.01)),
            )
        except WaitTimeoutError:
            pass  # what is untrue by now stays so
        except E2EError as error:
            reason = f" ({error})"
        return [
            *(
                _unknown(outcomes[place], f"{shows}{reason}", seconds)
                for place, shows in untrue.items()
            ),
            *(
                _named(outcomes[place], image)
                for place, image in made.items()
                if place not in untrue
            ),
        ]

    def _image_of(
        self, action: SaveAction, known: SavedImage | None, listing: Listing
    ) -> SavedImage | None:
        """The image of a save in a listing; `known` is that of an earlier one."""
        image_id = action.image_id
        if known is not None:
            image_id = known.image_id
        if image_id is not None:
            return listing.by_id.get(image_id)
        return self._memory.saves.awaited(action, listing)


def _shows_instead(step: Step, listing: Listing) -> str:
    """What a listing shows instead of what a step promised; empty if it shows just that."""
    image = listing.by_id.get(step.target)
    match step.action:
        case Action.DELETE:
            if image is not None:
                return f"the listing still shows it (state {quoted(image.image_state)})"
            return "the listing may be incomplete" if listing.partial else ""
        case Action.RENAME:
            if image is None:
                return "the listing does not show the image"
            is_named = image.name == step.name
            return "" if is_named else f"the listing shows the name {quoted(image.name)}"
        case Action.SAVE:
            raise AssertionError(step)  # a save has a SaveAction, and is looked for by it
        case _:
            assert_never(step.action)


def _named(outcome: Outcome, image: SavedImage) -> Outcome:
    """The outcome of a save with the id of its image."""
    assert isinstance(outcome.result, SaveAction)
    return attrs.evolve(outcome, result=attrs.evolve(outcome.result, image_id=image.image_id))


def _unknown(outcome: Outcome, shows: str, seconds: float) -> Outcome:
    step = outcome.step
    error = OutcomeUnknownError(
        f"the server said that it is done, and after {seconds:.3g} s {shows};"
        f" {ACTIONS[step.action].advice_in_run}",
        action=step.action.value,
        target=step.target,
        attempts=outcome.attempts,
        looked=True,
        subject=str(step),
    )
    return attrs.evolve(outcome, status=Status.UNKNOWN, result=None, error=error)
