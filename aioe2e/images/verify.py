"""Whether the listing shows what a run promised: images gone, names given, saves there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

import attrs

from aioe2e import bulk
from aioe2e._actions import ACTIONS
from aioe2e._call import Channel
from aioe2e._check import quoted
from aioe2e.errors import E2EError, OutcomeUnknownError, WaitTimeoutError
from aioe2e.models import Action, SaveAction, SavedImage

from .listing import Listing
from .memory import ImageMemory
from .waits import poll

#: Seconds between the first two listings; the interval grows.
_INTERVAL: Final = 0.5


class Verification:
    """Compares outcomes with listings until one shows all that they promise.

    Args:
        channel: The session's.
        memory: What the session knows of images.
    """

    def __init__(self, channel: Channel, memory: ImageMemory) -> None:
        self._channel = channel
        self._memory = memory

    async def __call__(
        self, outcomes: Sequence[bulk.Outcome], seconds: float
    ) -> list[bulk.Outcome]:
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


def _shows_instead(step: bulk.Step, listing: Listing) -> str:
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


def _named(outcome: bulk.Outcome, image: SavedImage) -> bulk.Outcome:
    """The outcome of a save with the id of its image."""
    assert isinstance(outcome.result, SaveAction)
    return attrs.evolve(outcome, result=attrs.evolve(outcome.result, image_id=image.image_id))


def _unknown(outcome: bulk.Outcome, shows: str, seconds: float) -> bulk.Outcome:
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
    return attrs.evolve(outcome, status=bulk.Status.UNKNOWN, result=None, error=error)
